"""What the search makes small: the distances of a schedule's pictures, one by one and as a set, on seeds not yet run.

A few seeds end in another picture, and they rule the mean; which schedule they spare on the seeds at hand is mostly
luck. But how often they do so goes with the error of the model's prediction at the noise level where it is decided what
the picture shows, and that error is foretold for every schedule at no cost (`SignedDefect.midway`). So the distances
are taken to consist of the typical one, the geometric mean, and an excess, and the excess that is measured is trusted
the more, the more seeds there are; otherwise that which the foretold error, the risk, lets one expect.

A set of pictures is as far from the converged set as its errors are alike: a shift of the mean picture and a change of
contrast count almost fully, while errors that differ from picture to picture hardly change the set. And a few pictures
may be much larger than the others, too few to be among the seeds; they are looked for, and count with their share
(larger.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TRUSTED_SEEDS = 20  # on so many the excess measured counts as much as the expected one
BOUNDS = (1e-9, 1e9)  # of distances, also of exact or broken latents
SHIFT, CONTRAST, SCATTER = 0.8, 0.6, 0.1  # squares in that of a set's distance; least squares, swd on six cells
SETS = 0.5  # share of the set in the loss


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


@dataclass(frozen=True)
class SetLoss:
    """Of the pictures one by one, and of their set, in equal shares.

    mean: the loss of single pictures. chance: of larger pictures that have been met.
    """

    mean: Loss
    chance: float = 0.0

    def __call__(self, distances: Array, risk: Array | float, systematic: Array | float, met: Array | float) -> Array:
        """The logarithm of an error.

        Of distances (..., seeds), risks (...), `systematic_square` (...), and the errors (...) of the larger pictures.
        """
        trust = distances.shape[-1] / (distances.shape[-1] + TRUSTED_SEEDS)
        expected = np.exp(self.mean(distances, risk)) + self.chance * met
        scatter = np.square(expected) + trust * distances.clip(*BOUNDS).var(-1)
        square = systematic + SCATTER * scatter + self.chance * np.square(met)
        return np.asarray((1 - SETS) * np.log(expected) + SETS * 0.5 * np.log(square))


def systematic_square(shift: Array | float, squares: Array, along: Array, energies: Array) -> Array:
    """What the errors of a set have in common, in the square of its distance (...).

    shift: (...) mean square of the mean error. squares: (..., seeds) those of the errors. along: (..., seeds) means
    over values of the error times the converged picture less its brightness; energies: (seeds,) that picture's square.
    """
    seeds = squares.shape[-1]
    alone = (seeds**2 * shift - squares.sum(-1)) / max(seeds * (seeds - 1), 1)  # without what is each seed's own
    contrast = np.square(along.sum(-1)) / max(float(seeds * energies.sum()), BOUNDS[0] ** 2)
    return np.asarray(SHIFT * np.clip(alone, 0, None) + CONTRAST * contrast)


def _typical_and_excess(distances: Array) -> tuple[Array, Array]:
    bounded = distances.clip(*BOUNDS)
    typical = np.exp(np.log(bounded).mean(-1))
    return typical, bounded.mean(-1) - typical
