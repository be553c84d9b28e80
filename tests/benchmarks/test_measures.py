"""The measures against scipy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from benchmarks.measures import distances as measures
from benchmarks.measures.cells import Cell


def sample(seed: int, shift: float = 0.0, count: int = 400) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.randn(count, 6, generator=generator, dtype=torch.float64) @ mixing + shift


def test_frechet_distance_is_the_formula() -> None:
    first, second = sample(1), 1.5 * sample(2, shift=0.3)
    moments = [(x.mean(0).numpy(), np.cov(x.numpy().T)) for x in (first, second)]
    (m, c), (n, d) = moments
    expected = np.square(m - n).sum() + np.trace(c + d - 2 * scipy.linalg.sqrtm(c @ d).real)

    assert measures.frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)
    assert measures.frechet_distance(first, first + 2.0) == pytest.approx(6 * 2.0**2, rel=1e-8)


def test_sliced_wasserstein_of_a_shift_and_of_one_dimension() -> None:
    first, second = sample(1), sample(2)
    shift = measures.sliced_wasserstein(first, first + 0.7, projections=20_000)
    line = first[:, :1], second[:, :1]
    gap = np.sort(line[0].numpy(), 0) - np.sort(line[1].numpy(), 0)

    assert shift == pytest.approx(0.7, rel=0.02)
    assert measures.sliced_wasserstein(*line) == pytest.approx(np.sqrt(np.square(gap).mean()))


def test_principal_features_keep_the_variance() -> None:
    latents = sample(1)
    kept = measures.principal_features(latents, 6)(latents).var(0)

    assert kept.sum() == pytest.approx(float(latents.var(0).sum()))
    assert (kept.diff() <= 0).all()


def test_bootstrap_interval_is_that_of_scipy() -> None:
    values = torch.rand(128, generator=torch.Generator().manual_seed(4), dtype=torch.float64).exp()
    low, high = measures.mean_interval(values)
    expected = scipy.stats.bootstrap(
        (values.numpy(),), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval

    assert (low, high) == pytest.approx((expected.low, expected.high), rel=0.02)
    assert measures.ratio_interval(values, 2 * values) == pytest.approx((0.5, 0.5))


def test_calibrations_that_differ_widen_the_interval() -> None:
    values = torch.ones(128, dtype=torch.float64)
    assert measures.ratio_interval(torch.stack([values, 3 * values]), values) == pytest.approx((1.0, 3.0))


def test_a_cell_of_several_calibrations_holds_the_errors_of_all() -> None:
    def cell(*errors: float) -> Cell:
        return Cell("hsc32", "euler", 4, "calibrated", (1.0, 0.0), errors, swd=errors[0], fd=0.5, evaluations=4)

    both = Cell.of_all([cell(1.0, 2.0), cell(3.0, 6.0)])
    assert both.error_tensor.tolist() == [[1.0, 2.0], [3.0, 6.0]]
    summary = both.summary()
    geometric = {"rmse_mean": (1.5 * 4.5) ** 0.5, "rmse_median": (1.5 * 4.5) ** 0.5, "swd": 3**0.5, "fd": 0.5}
    assert {name: summary[name] for name in geometric} == pytest.approx(geometric, rel=1e-4)
    assert summary["calibrations"] == 2
    assert "calibrations" not in cell(1.0).summary()
