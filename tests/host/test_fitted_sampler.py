"""A fitted sampler in ComfyUI's own sampling: on every kind of model, in parts, under a mask, as text in a workflow."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest
import torch

import host_import

host_import.import_host()

import comfy.samplers  # noqa: E402
from comfy_extras import nodes_custom_sampler as core  # noqa: E402

import tiny_models  # noqa: E402

CFG = 3.0


@pytest.fixture(scope="module")
def module(pack: ModuleType) -> ModuleType:
    return importlib.import_module(f"{pack.__name__}.nodes.sampling.fitted_sampler")


@pytest.fixture(scope="module")
def solver(pack: ModuleType) -> Any:
    """solver(model, name, steps): the pack's own table of one of the host's solvers, on its karras or simple steps."""
    solvers = importlib.import_module(f"{pack.__name__}.hso_core.solvers")
    host = importlib.import_module(f"{pack.__name__}.nodes.host")
    return lambda model, name, steps=5: solvers.known_solver(name, schedule(model, steps), host.noise_schedule(model))


def schedule(model: Any, steps: int) -> torch.Tensor:
    return comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "karras", steps)


def sample(model: Any, sampler: Any, sigmas: torch.Tensor, latent: dict[str, Any], seed: int = 4) -> torch.Tensor:
    """Through SamplerCustom, the host's own node."""
    prompt = tiny_models.conditioning()
    result = core.SamplerCustom.execute(model, True, seed, CFG, prompt, prompt, sampler, sigmas, latent)
    return (result.args if hasattr(result, "args") else result)[0]["samples"]


@pytest.mark.parametrize("kind", [*tiny_models.KINDS, "video"])
@pytest.mark.parametrize("name", ["euler", "dpmpp_2m", "res_multistep", "ipndm"])
def test_with_the_weights_of_the_hosts_sampler_it_gives_the_hosts_picture(module, solver, kind, name):
    model = tiny_models.tiny_model(kind)
    latent = {
        "samples": torch.zeros(2, model.model.latent_format.latent_channels, *([3] if kind == "video" else []), 8, 8)
    }
    fitted = solver(model, name)

    ours = sample(model, module.as_sampler(fitted), fitted.sigmas, latent)
    theirs = sample(model, comfy.samplers.sampler_object(name), fitted.sigmas, latent)

    assert theirs.std() > 0.1
    rounding = 2e-6 * float(fitted.sigmas[0])  # the host reckons with x / sigma, in float32, from x as large as sigma
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=max(rounding, 1e-4))


def test_the_unmasked_part_stays_as_with_the_hosts_sampler(module, solver):
    model = tiny_models.tiny_model("eps")
    mask = torch.zeros(1, 8, 8)
    mask[:, :, 4:] = 1
    latent = {"samples": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3)), "noise_mask": mask}
    fitted = solver(model, "dpmpp_2m")

    ours = sample(model, module.as_sampler(fitted), fitted.sigmas, latent)
    theirs = sample(model, comfy.samplers.sampler_object("dpmpp_2m"), fitted.sigmas, latent)

    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours[..., :4], latent["samples"][..., :4], rtol=0, atol=1e-2)


def test_a_half_precision_latent_gives_nearly_the_same(module, solver):
    model = tiny_models.tiny_model("flow")
    fitted = solver(model, "dpmpp_2m")
    whole = sample(model, module.as_sampler(fitted), fitted.sigmas, tiny_models.empty_latent(model))
    half = tiny_models.empty_latent(model, dtype=torch.bfloat16)
    assert (sample(model, module.as_sampler(fitted), fitted.sigmas, half).float() - whole).abs().max() < 0.05


def test_the_callback_shows_each_step(module, solver):
    model = tiny_models.tiny_model("eps")
    fitted, seen = solver(model, "dpmpp_2m", 4), []
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(tiny_models.conditioning(), tiny_models.conditioning())
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    guider.sample(
        noise, torch.zeros_like(noise), module.as_sampler(fitted), fitted.sigmas,
        callback=lambda step, denoised, x, total: seen.append((step, total, tuple(denoised.shape))), disable_pbar=True,
    )  # fmt: skip
    assert seen == [(step, 4, (1, 4, 8, 8)) for step in range(4)]


def test_other_sigmas_are_refused_in_one_sentence(module, solver):
    model = tiny_models.tiny_model("eps")
    fitted = solver(model, "dpmpp_2m", 5)
    for sigmas in (schedule(model, 6), schedule(model, 4), fitted.sigmas * 0.9):
        with pytest.raises(ValueError, match="^Fitted Sampler .HSO.: this sampler is made for the 5 steps of its own"):
            sample(model, module.as_sampler(fitted), sigmas, tiny_models.empty_latent(model))


def test_a_first_part_and_the_rest_are_sampled_each(module, solver):
    """Euler remembers nothing, so that two parts give the whole."""
    model = tiny_models.tiny_model("eps")
    fitted = solver(model, "euler", 5)
    sampler, empty = module.as_sampler(fitted), tiny_models.empty_latent(model)
    whole = sample(model, sampler, fitted.sigmas, empty)
    high = {"samples": sample(model, sampler, fitted.sigmas[:3], empty)}
    prompt = tiny_models.conditioning()
    rest = core.SamplerCustom.execute(model, False, 0, CFG, prompt, prompt, sampler, fitted.sigmas[2:], high)
    rest = (rest.args if hasattr(rest, "args") else rest)[0]["samples"]
    torch.testing.assert_close(rest, whole, rtol=1e-4, atol=1e-4)


def test_a_denoise_starts_within_a_step(module, solver):
    model = tiny_models.tiny_model("eps")
    fitted = solver(model, "dpmpp_2m", 6)
    start = float(fitted.sigmas[2] * 0.9)
    part = torch.cat([torch.tensor([start]), fitted.sigmas[3:]])
    latent = {"samples": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))}
    assert sample(model, module.as_sampler(fitted), part, latent).isfinite().all()


def execute(node_classes: dict[str, type], **values: Any) -> tuple[Any, ...]:
    result = node_classes["HSOFittedSampler"].execute(**{"text": "", **values})
    return result.args


def test_the_node_keeps_a_sampler_as_text_and_gives_the_same_picture(node_classes, module, solver):
    model = tiny_models.tiny_model("eps")
    fitted = solver(model, "dpmpp_2m").rounded()
    sampler, sigmas, text = execute(node_classes, sampler=module.as_sampler(fitted), model=model)
    again, same_sigmas, same_text = execute(node_classes, text=text)

    latent = tiny_models.empty_latent(model)
    assert text == same_text and torch.equal(sigmas, same_sigmas)
    assert torch.equal(sample(model, sampler, sigmas, latent), sample(model, again, same_sigmas, latent))


def test_the_connected_sampler_is_only_asked_for_without_a_text(node_classes):
    status = node_classes["HSOFittedSampler"].check_lazy_status
    assert status(text=" ", sampler=None) == ["sampler"]
    assert status(text="sigmas: 1, 0 weights: 1", sampler=None) == status(text="") == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "there is no sampler; connect Calibrate Sampler"),
        ({"sampler": comfy.samplers.sampler_object("euler")}, "the connected sampler was not fitted"),
        ({"text": "14, 7, 0"}, "this text holds no fitted sampler; write it as"),
        ({"text": "sigmas: 9, 1, 0\nweights:\n1\n0.5, 0.4"}, "sum"),
    ],
)
def test_what_is_no_fitted_sampler_is_refused(node_classes, values, message):
    with pytest.raises(ValueError, match=f"^Fitted Sampler .HSO.: .*{message}"):
        execute(node_classes, **values)


def test_a_wrong_text_is_refused_before_the_workflow_runs(node_classes):
    validate = node_classes["HSOFittedSampler"].validate_inputs
    assert validate(text="sigmas: 9, 1, 0\nweights:\n1\n-0.5, 1.5") is True
    assert "holds no fitted sampler" in validate(text="nonsense") and validate(text="") is True


def test_sigmas_above_the_models_are_refused(node_classes):
    with pytest.raises(ValueError, match="^Fitted Sampler .HSO.: "):
        execute(node_classes, text="sigmas: 9, 1, 0\nweights:\n1\n-0.5, 1.5", model=tiny_models.tiny_model("flow"))


def test_it_is_a_sampler_to_samplercustomadvanced(node_classes, module, solver):
    model = tiny_models.tiny_model("flow")
    fitted, latent = solver(model, "res_multistep"), tiny_models.empty_latent(model)
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(tiny_models.conditioning(), tiny_models.conditioning())
    guider.set_cfg(CFG)
    result = core.SamplerCustomAdvanced.execute(
        core.Noise_RandomNoise(4), guider, module.as_sampler(fitted), fitted.sigmas, latent
    )
    advanced = (result.args if hasattr(result, "args") else result)[0]["samples"]
    torch.testing.assert_close(advanced, sample(model, module.as_sampler(fitted), fitted.sigmas, latent))


def test_the_same_content_has_the_same_name_to_the_calibration(pack, module, solver):
    fingerprint = importlib.import_module(f"{pack.__name__}.nodes.measuring.fingerprint").fingerprint
    model = tiny_models.tiny_model("eps")
    first, again = module.as_sampler(solver(model, "euler")), module.as_sampler(solver(model, "euler"))
    assert fingerprint(first) == fingerprint(again) != fingerprint(module.as_sampler(solver(model, "dpmpp_2m")))
