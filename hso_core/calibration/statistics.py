"""Comparing two schedules seed by seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

Array = NDArray[np.float64]

CONFIDENCE = 0.9
RESAMPLES = 999
BOOTSTRAP_SEED = 66


@dataclass(frozen=True)
class PairedRatio:
    """One schedule's distances over another's, over the same seeds.

    of_means, interval: of the arithmetic means, with its bootstrap interval; geometric: of the geometric means, which a
    few seeds that end in another picture do not rule; seeds: how many.
    """

    of_means: float
    interval: tuple[float, float]
    geometric: float
    seeds: int


def paired_ratio(distances: Mapping[int, float], others: Mapping[int, float]) -> PairedRatio:
    """Distances over others, by seed; seeds that only one has are left out. Raises ValueError where none is shared."""
    shared = sorted(set(distances) & set(others))
    if not shared:
        raise ValueError("the two schedules were not run on a common seed")
    own, other = (np.array([errors[seed] for seed in shared]).clip(1e-12, 1e12) for errors in (distances, others))
    of_means = float(own.mean() / other.mean())
    interval = of_means, of_means
    if len(shared) > 2 and np.ptp(own / other) > 0:
        resampled = bootstrap(
            (own, other),
            lambda a, b, axis: a.mean(axis) / b.mean(axis),
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(BOOTSTRAP_SEED),
        )
        interval = float(resampled.confidence_interval.low), float(resampled.confidence_interval.high)
    return PairedRatio(of_means, interval, float(np.exp(np.log(own / other).mean())), len(shared))
