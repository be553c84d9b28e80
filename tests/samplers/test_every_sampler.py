"""Every sampler of ComfyUI follows the schedule of KSampler (HSO) and of core's SamplerCustom: whole pictures, image to
image, a mask, batches, half precision."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
import torch

import host_import

host_import.import_host()

import comfy.samplers  # noqa: E402

import tiny_models  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("default:Should have :UserWarning:torchsde"),  # theirs: a bound rounded to float32
    pytest.mark.filterwarnings("default:To copy construct:UserWarning:comfy"),
]

STEPS = (1, 2, 3, 4, 5, 8)
SAMPLERS = list(comfy.samplers.SAMPLER_NAMES)
OWN_STEPS = {"dpm_fast", "dpm_adaptive"}
END_ABOVE_ZERO = {"uni_pc", "uni_pc_bh2"}  # at 0.001


@pytest.fixture(scope="module")
def models() -> Any:
    made = {kind: tiny_models.tiny_model(kind) for kind in tiny_models.KINDS}
    yield made
    made.clear()  # a ModelPatcher that lives until the interpreter ends complains then that its modules are gone


@pytest.fixture(scope="module")
def host(pack: Any) -> Any:
    return sys.modules[pack.__name__ + ".nodes.host"]


@pytest.fixture(scope="module")
def notes(pack: Any) -> Any:
    return sys.modules[pack.__name__ + ".nodes.sampling.notes"]


@pytest.fixture(scope="module")
def schedules(models: Any, node_classes: Any) -> dict[tuple[str, int, float], torch.Tensor]:
    """What Scheduler (HSO) puts out, for each kind of model, step count and denoise."""
    return {
        (kind, steps, denoise): node_classes["HSOOptimizeSchedule"]
        .execute(model=model, steps=steps, denoise=denoise, start="auto")
        .args[0]
        for kind, model in models.items()
        for steps in STEPS
        for denoise in (1.0, 0.5)
    }


def picture(latent: dict[str, Any]) -> dict[str, Any]:
    shape = latent["samples"].shape
    return {**latent, "samples": torch.linspace(-1, 1, latent["samples"].numel()).reshape(shape)}


def half_mask() -> torch.Tensor:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    return mask


def variants(model: Any) -> list[tuple[str, float, dict[str, Any]]]:
    """(name, denoise, LATENT)"""
    empty = tiny_models.empty_latent
    return [
        ("full", 1.0, empty(model)),
        ("image to image", 0.5, picture(empty(model))),
        ("mask", 1.0, {**picture(empty(model)), "noise_mask": half_mask()}),
        ("batch of 3", 1.0, empty(model, batch=3)),
        ("float16", 1.0, empty(model, dtype=torch.float16)),
        ("bfloat16", 1.0, empty(model, dtype=torch.bfloat16)),
    ]


@pytest.mark.parametrize("kind", tiny_models.KINDS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampler_in_ksampler_hso(sampler, kind, models, schedules, node_classes, notes, figure):
    model, conds = models[kind], tiny_models.conditioning()
    ksampler = node_classes["HSOKSampler"]
    runs = 0
    for name, denoise, latent in variants(model):
        before = latent["samples"].clone()
        for steps in STEPS:
            sigmas = schedules[kind, steps, denoise]
            expected = sigmas.tolist()
            with torch.inference_mode():
                result = ksampler.execute(model, 5, 1.0, sampler, conds, conds, latent, sigmas).args[0]
            where = (sampler, kind, name, steps)
            assert result["samples"].shape == before.shape, where
            assert bool(result["samples"].isfinite().all()), where
            assert float(result["samples"].float().std()) > 0, where
            assert sigmas.tolist() == expected, where
            assert torch.equal(latent["samples"], before), where
            if name == "mask" and notes.note_on_sampler(sampler, steps) is None:
                error = (result["samples"][..., 4:] - before[..., 4:]).abs().max()
                assert float(error) < (0.05 if sampler in END_ABOVE_ZERO else 1e-3), where
            runs += 1
    figure("samplers: runs", runs)


@pytest.mark.parametrize("kind", ["eps", "flow"])
def test_samplers_of_cores_custom_sampling_leave_the_schedule_unchanged(kind, models, schedules, figure):
    """Core gives the sampler the very tensor that our node put out; uni_pc writes into it."""
    import comfy_extras.nodes_custom_sampler as core

    model, conds = models[kind], tiny_models.conditioning()
    sample = getattr(core.SamplerCustom, "execute", None) or core.SamplerCustom().sample
    for sampler in SAMPLERS:
        for steps in (1, 2, 5):
            sigmas = schedules[kind, steps, 1.0]
            expected = sigmas.tolist()
            chosen = comfy.samplers.sampler_object(sampler)
            with torch.inference_mode():
                out = sample(model, True, 5, 1.0, conds, conds, chosen, sigmas, tiny_models.empty_latent(model))
            assert bool(getattr(out, "args", out)[0]["samples"].isfinite().all()), (sampler, steps)
            assert sigmas.tolist() == expected, (sampler, steps)
    figure("samplers: samplers of this ComfyUI", f"{len(SAMPLERS)}")


def evaluations(host: Any, model: Any, sampler: str, sigmas: torch.Tensor) -> list[float]:
    """The noise levels at which the network is asked."""
    asked: list[float] = []

    def wrapper(apply: Any, options: dict[str, Any]) -> torch.Tensor:
        asked.append(float(options["timestep"][0]))
        return apply(options["input"], options["timestep"], **options["c"])

    watched = model.clone()
    watched.set_model_unet_function_wrapper(wrapper)
    conds, latent = tiny_models.conditioning(), tiny_models.empty_latent(watched)
    with torch.inference_mode():
        host.sample_with_sigmas(watched, 5, 1.0, host.sampler(sampler), sigmas, conds, conds, latent)
    return asked


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_but_two_asks_the_network_at_each_sigma(sampler, models, schedules, host):
    """So that the list of those that we tell the user about is the true one."""
    sigmas = schedules["eps", 5, 1.0]
    asked = evaluations(host, models["eps"], sampler, sigmas)
    met = [any(abs(a - s) <= 1e-3 * s for a in asked) for s in sigmas[:-1].tolist()]
    assert all(met) == (sampler not in OWN_STEPS), (met, asked)


def test_the_samplers_that_ignore_the_schedule_are_told_where_they_are_chosen(
    models, schedules, node_classes, notes, caplog
):
    assert set(notes.OWN_STEPS) == OWN_STEPS
    tooltip = node_classes["HSOKSampler"].GET_NODE_INFO_V1()["input"]["required"]["sampler_name"][1]["tooltip"]
    assert all(name in tooltip for name in OWN_STEPS)
    model, conds = models["eps"], tiny_models.conditioning()
    for sampler in (*OWN_STEPS, "euler"):
        caplog.clear()
        with torch.inference_mode(), caplog.at_level(logging.WARNING):
            node_classes["HSOKSampler"].execute(
                model, 1, 1.0, sampler, conds, conds, tiny_models.empty_latent(model), schedules["eps", 4, 1.0]
            )
        assert (f"KSampler (HSO): the sampler {sampler} chooses its own steps" in caplog.text) == (sampler != "euler")


def test_cores_ksampler_drops_a_step_exactly_where_we_say_so(models, notes):
    model = models["eps"]
    for sampler in SAMPLERS:
        with_entry = comfy.samplers.KSampler(model, 5, "cpu", sampler=sampler, scheduler="hso").sigmas
        asked_for = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "hso", 5)
        dropped = with_entry.tolist() != asked_for.tolist()
        note = notes.note_on_ksampler(sampler)
        assert dropped == (note is not None and "leaves out the last sigma above 0" in note), sampler
        assert (note is None) == (not dropped and sampler not in OWN_STEPS), sampler


def test_a_queued_workflow_is_told_of_its_samplers(notes, caplog):

    def ksampler(sampler: Any, scheduler: str = "hso") -> dict[str, Any]:
        return {"class_type": "KSampler", "inputs": {"sampler_name": sampler, "scheduler": scheduler}}

    prompt = {
        "1": ksampler("uni_pc"),
        "2": ksampler("dpm_fast"),
        "3": ksampler("euler"),
        "4": ksampler("uni_pc", "karras"),
        "5": ksampler(["9", 0]),
        "6": "not a node",
        "7": {"class_type": "KSampler", "inputs": []},
    }
    told = notes.tell_of_nodes(prompt, "hso")
    assert len(told) == 2 and told[0].startswith("KSampler (node 1), scheduler 'hso': for the sampler uni_pc ComfyUI's")
    assert told[1].startswith("KSampler (node 2), scheduler 'hso': the sampler dpm_fast chooses its own steps")
    assert [record.getMessage() for record in caplog.records] == told
