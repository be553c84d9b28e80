"""How far samples are from the converged ones: one by one, and as distributions; and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PROJECTIONS = 256
COMPONENTS = 16
DRAWS = 2000


@dataclass(frozen=True)
class Features:
    """The `COMPONENTS` leading principal components of a set of pictures: fixed features for a Frechet distance.

    mean (d,), axes (d, COMPONENTS). A hundred samples say nothing about the covariance of a thousand pixels; of 16
    numbers that carry most of the variance they do.
    """

    mean: Tensor
    axes: Tensor

    def __call__(self, latents: Tensor) -> Tensor:
        """(n, ...) -> (n, COMPONENTS)."""
        return (latents.flatten(1).double() - self.mean) @ self.axes


def principal_features(latents: Tensor, components: int = COMPONENTS) -> Features:
    flat = latents.flatten(1).double()
    mean = flat.mean(0)
    axes = torch.linalg.svd(flat - mean, full_matrices=False)[2][:components].T
    return Features(mean, axes)


def frechet_distance(features: Tensor, others: Tensor) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) of the normal distributions with the moments of two sets (n, d)."""
    mean_term = (features.mean(0) - others.mean(0)).square().sum()
    first, second = torch.cov(features.T), torch.cov(others.T)
    root = _square_root(first)
    cross = _square_root(root @ second @ root)  # has the trace of (C C')^(1/2), and is symmetric
    return max(0.0, float(mean_term + first.trace() + second.trace() - 2 * cross.trace()))


def _square_root(matrix: Tensor) -> Tensor:
    """Of a symmetric matrix without negative eigenvalues (rounding aside)."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def sliced_wasserstein(latents: Tensor, others: Tensor, projections: int = PROJECTIONS, seed: int = 0) -> float:
    """2-Wasserstein distance of two sets of n samples on random lines: root mean square over the lines.

    A shift by a vector v gives about |v| / sqrt(d): the units of one coordinate.
    """
    first, second = latents.flatten(1).double(), others.flatten(1).double()
    generator = torch.Generator().manual_seed(seed)
    lines = torch.randn(first.shape[1], projections, generator=generator, dtype=torch.float64)
    lines /= lines.norm(dim=0)
    gap = (first @ lines).sort(0).values - (second @ lines).sort(0).values
    return float(gap.square().mean().sqrt())


def bootstrap_draws(count: int, draws: int = DRAWS, seed: int = 0) -> Tensor:
    """Indices (draws, count) of samples drawn with replacement."""
    return torch.randint(count, (draws, count), generator=torch.Generator().manual_seed(seed))


def mean_interval(values: Tensor) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of values (n,)."""
    return _middle_95(values[bootstrap_draws(len(values))].mean(1))


def ratio_interval(values: Tensor, others: Tensor) -> tuple[float, float]:
    """95 % bootstrap interval of mean(values (n,)) / mean(others (n,)), the same seeds drawn for both.

    Of values (k, n), of k calibrations, that of the geometric mean of their ratios; the calibrations are drawn, too.
    """
    draws = bootstrap_draws(len(others))
    means = torch.stack([one[draws].mean(1) for one in values.view(-1, len(others))], 1)  # (draws, k)
    drawn = means.log().gather(1, bootstrap_draws(means.shape[1], seed=1))
    return _middle_95(drawn.mean(1).exp() / others[draws].mean(1))


def _middle_95(values: Tensor) -> tuple[float, float]:
    low, high = values.double().quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high
