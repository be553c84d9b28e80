"""The time that calibration adds is measured on a network that is slow for each latent, not for each batch."""

from __future__ import annotations

import pytest
import torch
from benchmarks.measures.overhead import Stopwatch, overhead


def test_a_batch_takes_as_long_as_its_latents() -> None:
    network = torch.nn.Identity()
    watch = Stopwatch(network, 0.01)

    network(torch.zeros(3, 1))
    network(torch.zeros(1, 1))

    assert watch.latents == 4
    assert watch.inside >= 0.04


def test_a_calibration_through_the_node_is_timed(node_classes: dict[str, type]) -> None:
    node = node_classes["HSOCalibrateSchedule"]
    found, again = (overhead(node, seconds=1e-4) for _ in range(2))

    assert 200 < found.latents <= 300
    assert again.latents == found.latents  # nothing is remembered from the first
    assert found.inside >= 1e-4 * found.latents
    assert found.share == pytest.approx((found.total - found.inside) / found.inside) and found.share > 0
