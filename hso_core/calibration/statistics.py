"""Comparing two schedules seed by seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Array = NDArray[np.float64]

CONFIDENCE = 0.9
UNKNOWN = 0.4  # deviation of one seed's logarithm, where there is only one


@dataclass(frozen=True)
class PairedRatio:
    """One schedule's distances over another's, over the same seeds.

    of_means, interval: of the arithmetic means, and where it lies for all seeds; geometric: of the geometric means,
    which a few seeds that end in another picture do not rule; doubt: the deviation of the logarithm of the latter, were
    other seeds drawn; seeds: how many.
    """

    of_means: float
    interval: tuple[float, float]
    geometric: float
    doubt: float
    seeds: int


def paired_ratio(distances: Mapping[int, float], others: Mapping[int, float]) -> PairedRatio:
    """Finite distances over others, by seed; seeds that only one has are left out.

    The interval is Student's, of the ratio by the delta method (a / b deviates by (a_i - b_i a / b) / b): a percentile
    bootstrap is much too narrow for a few seeds. Of no width for fewer than three.

    Raises ValueError where no seed is shared.
    """
    shared = sorted(set(distances) & set(others))
    if not shared:
        raise ValueError("the two schedules were not run on a common seed")
    own, other = (np.array([errors[seed] for seed in shared]).clip(1e-12) for errors in (distances, others))
    of_means = float(own.mean() / other.mean())
    width = 0.0
    if len(shared) > 2:
        deviations = (own - of_means * other) / other.mean()
        width = float(student.ppf((1 + CONFIDENCE) / 2, len(shared) - 1) * deviations.std(ddof=1) / len(shared) ** 0.5)
    interval = max(of_means - width, 0.0), of_means + width
    logs = np.log(own / other)
    doubt = float(logs.std(ddof=1)) if len(shared) > 1 else UNKNOWN
    return PairedRatio(of_means, interval, float(np.exp(logs.mean())), doubt / len(shared) ** 0.5, len(shared))
