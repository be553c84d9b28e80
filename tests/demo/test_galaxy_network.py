"""The torch port of hsc32 computes what its authors' own JAX code computes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import workbench
from by_path import import_path

# It needs neither ComfyUI nor its package.
galaxy_network = import_path(workbench.REPOSITORY / "demo/galaxy_network.py", "galaxy_network")

# Made once by running the authors' Equinox module with the same weights on the picture of `example()`:
# time -> score at the pixels of PIXELS, root mean square of the score.
PIXELS = [(0, 0), (5, 20), (15, 17), (31, 30)]
EQUINOX = {
    0.02: ([0.3915179, 14.2489, -2.73603, 12.28769], 8.312083),
    0.5: ([-0.03208752, 2.414004, -1.043841, 2.1768], 1.746674),
    3.0: ([-0.006519723, 0.9903758, -2.686817, 0.8845271], 0.7508105),
    10.0: ([-0.007315541, 0.9464107, -3.794406, 0.8377563], 0.7756916),
}


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return galaxy_network.load_network(workbench.demo_weights())


def example() -> torch.Tensor:
    """A wavy sky with a round source: (1, 1, 32, 32)."""
    row, column = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    waves = torch.sin(0.7 * row + 1.3 * column)
    source = 3 * torch.exp(-((row - 15) ** 2 + (column - 17) ** 2) / 8)
    return (waves + source)[None, None]


@pytest.mark.parametrize("time", EQUINOX)
def test_score_is_the_authors(network: torch.nn.Module, time: float) -> None:
    score = network.score(example(), torch.tensor([time]))[0, 0]
    values, root_mean_square = EQUINOX[time]

    assert [score[pixel].item() for pixel in PIXELS] == pytest.approx(values, rel=1e-4, abs=1e-4 * root_mean_square)
    assert score.square().mean().sqrt().item() == pytest.approx(root_mean_square, rel=1e-5)


def test_pure_noise_at_the_last_time_has_the_score_of_a_normal_distribution(network: torch.nn.Module) -> None:
    noise = torch.randn(32, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    score = network.score(noise, torch.full((32,), 10.0))

    assert (score + noise).norm() < 0.02 * noise.norm()


def test_predicted_noise_has_unit_size_at_every_time(network: torch.nn.Module) -> None:
    noise = torch.randn(32, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    for time in (0.02, 0.1, 1.0, 5.0, 10.0):
        noisy = noise * math.sqrt(1 - math.exp(-time))  # an empty sky
        assert (network(noisy, torch.full((32,), time)) - noise).norm() < 0.25 * noise.norm()


def test_each_picture_of_a_batch_is_its_own(network: torch.nn.Module) -> None:
    pictures = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([0.1, 2.0, 9.0])
    alone = torch.cat([network(picture[None], time[None]) for picture, time in zip(pictures, times, strict=True)])

    torch.testing.assert_close(network(pictures, times), alone, rtol=1e-4, atol=1e-5)


def test_lower_precision_stays_close(network: torch.nn.Module) -> None:
    half = galaxy_network.load_network(workbench.demo_weights()).to(torch.bfloat16)
    expected = network(example(), torch.tensor([2.0]))
    found = half(example().to(torch.bfloat16), torch.tensor([2.0]))

    assert half.dtype is found.dtype is torch.bfloat16
    assert (found.float() - expected).norm() < 0.1 * expected.norm()


def test_another_files_arrays_are_refused(tmp_path: Path) -> None:
    whole = workbench.demo_weights().read_bytes()
    records = tmp_path / "short.eqx"
    records.write_bytes(whole[: len(whole) - 136])  # without the last record, a number

    with pytest.raises(ValueError, match="short.eqx holds 54 arrays; the network hsc32 has 55"):
        galaxy_network.load_network(records)
