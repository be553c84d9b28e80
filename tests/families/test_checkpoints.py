"""Checkpoints of four families through ComfyUI's own loader: the schedule is that of the family, and it samples."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest
import torch

import host_import
from hso_core import named_schedule, optimize_schedule

host_import.import_host()

import comfy.sd  # noqa: E402

import tiny_checkpoints  # noqa: E402

FAMILIES = {  # the class that the loader must find, its prediction, and the noise schedule by our own arithmetic
    "SD15": ("SD15", "EPS", "sd15"),
    "SD20": ("SD20", "V_PREDICTION", "sd15"),
    "SDXL": ("SDXL", "V_PREDICTION", None),
    "SD3": ("SD3", "FLOW", "flow:3"),
}


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    path = tiny_checkpoints.write_checkpoint(request.param, tmp_path)
    model = comfy.sd.load_checkpoint_guess_config(str(path), output_vae=False, output_clip=False)[0]
    yield request.param, model
    del model
    gc.collect()
    path.unlink()


def test_a_loaded_checkpoint_gets_the_schedule_of_its_family(loaded, pack, node_classes, figure):
    name, model = loaded
    config, prediction, schedule = FAMILIES[name]
    assert type(model.model.model_config).__name__ == config and model.model.model_type.name == prediction
    noise = sys.modules[pack.__name__ + ".nodes.host"].noise_schedule(model)
    if schedule:
        assert noise.fingerprint == named_schedule(schedule).fingerprint
    else:
        assert noise.sigma_max > 4000 and noise.sigma_min == pytest.approx(named_schedule("sd15").sigma_min)
    with torch.inference_mode():
        sigmas = node_classes["HSOOptimizeSchedule"].execute(model=model, steps=5, denoise=1.0, start="auto").args[0]
    assert sigmas.tolist() == list(optimize_schedule(type(noise)(noise.sigmas, noise.family), 5).sigmas)
    figure("families: checkpoints through the host's loader", 1)


@pytest.mark.parametrize("loaded", ["SD15", "SD3"], indirect=True)
def test_a_loaded_checkpoint_samples(loaded, node_classes):
    name, model = loaded
    width, channels = (768, 4) if name == "SD15" else (4096, 16)
    conds = [[torch.randn(1, 7, width), {"pooled_output": torch.zeros(1, 2048)}]]
    sigmas = node_classes["HSOOptimizeSchedule"].execute(model=model, steps=2, denoise=1.0, start="auto").args[0]
    with torch.inference_mode():
        out = node_classes["HSOKSampler"].execute(
            model, 1, 3.0, "dpmpp_2m", conds, conds, {"samples": torch.zeros(1, channels, 8, 8)}, sigmas
        )
    assert bool(out.args[0]["samples"].isfinite().all()) and float(out.args[0]["samples"].std()) > 0
