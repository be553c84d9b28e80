"""What the search makes small: the mean distance of a schedule on seeds that it has not been run on.

A few seeds end in another picture, and they rule the mean; which schedule they spare on the seeds at hand is mostly
luck. But how often they do so goes with the error of the model's prediction at the noise level where it is decided what
the picture shows, and that error is foretold for every schedule at no cost (`SignedDefect.midway`). So the distances
are taken to consist of the typical one, the geometric mean, and an excess, and the excess that is measured is trusted
the more, the more seeds there are; otherwise that which the foretold error, the risk, lets one expect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TRUSTED_SEEDS = 20  # on so many the excess measured counts as much as the expected one
BOUNDS = (1e-9, 1e9)  # of distances, also of exact or broken latents


@dataclass(frozen=True)
class Loss:
    """slope: the excess that goes with a risk of 1."""

    slope: float = 0.0

    @classmethod
    def fitted(cls, distances: Sequence[Array], risks: Sequence[float], furthest: float) -> Loss:
        """To schedules with the distances (seeds,) measured and their risks: least squares, each seed counting once.

        furthest: what is further away than that is no other picture, but a broken one, and tells nothing more.
        Without a constant: that would tell risky schedules apart less, and came out worse on seeds not yet seen.
        """
        excess = np.array([_typical_and_excess(values.clip(max=furthest))[1] for values in distances])
        weighted = np.array([len(values) for values in distances]) * np.asarray(risks)
        return cls(max(float((weighted * excess).sum() / max((weighted * risks).sum(), 1e-300)), 0.0))

    def __call__(self, distances: Array, risk: Array | float) -> Array:
        """The logarithm of the mean to be expected, of distances (..., seeds) and risks (...)."""
        typical, excess = _typical_and_excess(distances)
        trust = distances.shape[-1] / (distances.shape[-1] + TRUSTED_SEEDS)
        return np.asarray(np.log(typical + trust * excess + (1 - trust) * self.slope * risk))


def _typical_and_excess(distances: Array) -> tuple[Array, Array]:
    bounded = distances.clip(*BOUNDS)
    typical = np.exp(np.log(bounded).mean(-1))
    return typical, bounded.mean(-1) - typical
