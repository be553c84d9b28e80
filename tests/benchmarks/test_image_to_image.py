"""What is compared where a picture is changed."""

from __future__ import annotations

import pytest
import torch
from benchmarks.models.catalogue import load_model
from benchmarks.rivals.schedules import is_schedule
from benchmarks.studies.image_to_image import ChangeRun, at_hand


@pytest.mark.parametrize("name", ["gaussian", "digits-flow"])
def test_all_start_at_the_noise_level_of_denoise(name: str) -> None:
    model = load_model(name)
    schedules = at_hand(model, "dpmpp_2m", 4, 0.4)

    assert {"hso", "karras", "simple"} <= schedules.keys()
    assert all(is_schedule(sigmas, 4) for sigmas in schedules.values())
    starts = {float(sigmas[0]) for sigmas in schedules.values()}
    assert starts == {float(torch.tensor(model.noise.sigma_of_denoise(0.4)).float())}


@pytest.mark.parametrize("name, alpha", [("gaussian", 1.0), ("digits-flow", 0.7)])
def test_it_starts_from_the_picture_with_noise_on_it(name: str, alpha: float) -> None:
    model = load_model(name)
    picture = torch.ones(model.shape)
    run, seen = ChangeRun(model, "euler", picture), []

    run(torch.tensor([0.3, 0.1, 0.0]), [5], observe=lambda sigma, x, denoised: seen.append(x.clone()))

    torch.testing.assert_close(seen[0], alpha * picture + 0.3 * run.start_noise([5]))
