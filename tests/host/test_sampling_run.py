"""The sampler run of the calibration, on a real network through a real ComfyUI in this process."""

from __future__ import annotations

import gc
import itertools
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import host_import

host_import.import_host()

import comfy.k_diffusion.sampling as k_diffusion  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.samplers  # noqa: E402
import nodes as core_nodes  # noqa: E402
from comfy.patcher_extension import CallbacksMP  # noqa: E402
from comfy_extras import nodes_custom_sampler, nodes_easycache  # noqa: E402

import galaxies  # noqa: E402
import tiny_models  # noqa: E402

CFG = 2.0


@pytest.fixture(scope="module")
def nodes(pack):
    """The pack's modules, by name."""
    import importlib

    return lambda name: importlib.import_module(f"{pack.__name__}.nodes.{name}")


@pytest.fixture(scope="module")
def budget_spent(pack):
    """The pack's own class: the tests' hso_core is another import of the same files."""
    return sys.modules[f"{pack.__name__}.hso_core.calibration.run"].BudgetSpent


@pytest.fixture(scope="module")
def model():
    return galaxies.guided(galaxies.galaxy_model())


@pytest.fixture
def open_run(nodes, model):
    """A function that makes a run of a sampler (a name or a SAMPLER) with both halves of the guidance."""

    def make(sampler="dpmpp_2m", model=model, latent=None, **options):
        host, prompt = nodes("host"), galaxies.conditioning()
        chosen = host.sampler(sampler) if isinstance(sampler, str) else sampler
        latent = latent or galaxies.galaxy_latent()
        return nodes("measuring.run").SamplingRun(host.guider(model, prompt, prompt, CFG), chosen, latent, **options)

    return make


def schedule(model, steps: int, name: str = "karras") -> torch.Tensor:
    return comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), name, steps)


def rmse(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).square().mean().sqrt())


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "lms", "euler_cfg_pp"])
def test_a_seed_gives_what_ksampler_gives_however_it_is_batched(open_run, model, sampler):
    prompt, sigmas = galaxies.conditioning(), schedule(model, 5)
    seeds = [3, 2**64 - 2, 11]  # to the largest newer ComfyUIs add 1 for some samplers, and fail
    together = open_run(sampler)(sigmas, seeds).latents
    for seed, latents in zip(seeds, together, strict=True):
        (expected,) = core_nodes.common_ksampler(
            model, seed, 5, CFG, sampler, "karras", prompt, prompt, galaxies.galaxy_latent()
        )
        torch.testing.assert_close(latents[None], expected["samples"], rtol=1e-4, atol=1e-5)
    assert torch.equal(
        open_run(sampler, largest_batch=1)(sigmas, [11]).latents, open_run(sampler)(sigmas, [11]).latents
    )


def test_a_guider_of_core_gives_what_its_own_sampling_gives(nodes, model):
    guider = nodes_custom_sampler.BasicGuider.execute(model, galaxies.conditioning()).args[0]
    sampler = comfy.samplers.sampler_object("uni_pc")
    sigmas = schedule(model, 6, "simple")
    latent = galaxies.galaxy_latent()
    run = nodes("measuring.run").SamplingRun(guider, sampler, latent)
    noise = nodes_custom_sampler.RandomNoise.execute(5).args[0]
    expected = nodes_custom_sampler.SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas.clone(), latent).args[
        0
    ]
    assert torch.equal(run(sigmas, [5]).latents, expected["samples"])
    assert sigmas[-1] == 0, "uni_pc wrote into the schedule that it was given"


def test_evaluations_are_counted_and_never_exceed_the_limit(open_run, model, budget_spent):
    passed = []
    network = model.model.diffusion_model
    hook = network.register_forward_hook(lambda _module, arguments, _output: passed.append(len(arguments[0])))
    try:
        result = open_run("heun")(schedule(model, 4), [1, 2, 3], limit=3 * 7)
        assert result.evaluations == 3 * 7  # the last step of heun is one of euler
        assert sum(passed) == 2 * (3 + 2) * 7, "a positive and a negative half count as one; a pair is run, too"
        passed.clear()
        run = open_run("heun")
        run(schedule(model, 4), [1, 2])
        assert run.evaluations == 4 * 7 and run.proof == 2 * 7
        run.evaluations = 0
        passed.clear()
        with pytest.raises(budget_spent, match="18 of 20 evaluations are made, and the next batch needs 3") as spent:
            run(schedule(model, 4), [1, 2, 3], limit=20)
        assert sum(passed) == 2 * 18 and run.evaluations == spent.value.evaluations == 18
        run.with_other_randomness(schedule(model, 4), 1)
        assert sum(passed) == 2 * (18 + 7) and run.evaluations == 18 + 7
    finally:
        hook.remove()


def test_a_seed_beyond_the_largest_begins_anew(open_run, model):
    sigmas = schedule(model, 3)
    found = open_run("euler")(sigmas, [2**64 - 1, 2**64, 2**64 + 1]).latents
    assert torch.equal(found, open_run("euler")(sigmas, [2**64 - 1, 0, 1]).latents)


def test_the_observer_sees_every_evaluation(open_run, model):
    seen = []
    sigmas = schedule(model, 3)
    result = open_run("euler")(sigmas, [4], observe=lambda sigma, x, denoised: seen.append((sigma, x, denoised)))
    assert [sigma for sigma, _, _ in seen] == pytest.approx(sigmas[:-1].tolist())
    torch.testing.assert_close(result.latents, seen[-1][2])  # the last step of euler goes to what was denoised
    assert rmse(seen[0][1], seen[0][2]) > 100  # x at sigma 148


def test_the_model_is_loaded_once_for_many_runs(open_run):
    model = galaxies.galaxy_model()
    loads = []
    model.add_callback(CallbacksMP.ON_LOAD, lambda *_: loads.append(1))
    run = open_run("euler", model)
    for _ in range(5):
        run(schedule(model, 2), [1, 2])
    assert len(loads) == 1


def test_as_many_latents_are_sampled_together_as_fit_beside_the_whole_model(nodes, monkeypatch):
    """Each in two halves of 10. Of the model's 100, 60 are loaded already, so 40 of the free memory are to be its.

    What is loaded elsewhere, or of a model that is gone, makes no room.
    """
    cpu, host, free = torch.device("cpu"), nodes("host"), {}
    model = SimpleNamespace(load_device=cpu, model_size=lambda: 100, memory_required=lambda shape: 10 * shape[0])
    entries = [
        SimpleNamespace(
            device=device, model=loaded, model_loaded_memory=lambda memory=memory: memory, is_dead=lambda: False
        )
        for device, loaded, memory in ((cpu, model, 60), (cpu, None, 1000), (torch.device("meta"), model, 1000))
    ]
    monkeypatch.setattr(comfy.model_management, "current_loaded_models", entries)
    monkeypatch.setattr(comfy.model_management, "get_free_memory", free.get)
    for free[cpu], fits in ((125, 4), (120, 4), (119, 3), (10, 1), (1000, 8)):
        assert host.batch_that_fits(model, (1, 4, 8, 8), 8) == fits


def test_a_batch_that_does_not_fit_is_halved(open_run, nodes, model):
    sizes = []

    def predict(apply, arguments):
        sizes.append(len(arguments["input"]))
        if sizes[-1] > 2:
            raise nodes("host").OUT_OF_MEMORY
        return apply(arguments["input"], arguments["timestep"], **arguments["c"])

    small = model.clone()
    small.set_model_unet_function_wrapper(predict)
    small.model_options["disable_cfg1_optimization"] = False
    seeds = list(range(5))
    result = open_run("euler", small)(schedule(model, 2), seeds, limit=10)
    assert result.evaluations == 10 and result.latents.shape == (5, 1, 32, 32) and max(sizes[-4:]) <= 2
    plain = galaxies.galaxy_model()
    torch.testing.assert_close(result.latents, open_run("euler", plain)(schedule(model, 2), seeds).latents)


def test_a_patched_model_that_is_gone_is_no_hindrance(nodes):
    """Its network is still loaded for another MODEL, and ComfyUI's list of loaded ones has an entry without a MODEL."""
    host, prompt, model = nodes("host"), tiny_models.conditioning(), tiny_models.tiny_model("eps")

    def sample(patched):
        guider, latent = host.guider(patched, prompt, prompt, 1.0), tiny_models.empty_latent(patched)
        return nodes("measuring.run").SamplingRun(guider, host.sampler("euler"), latent)(schedule(model, 2), [1, 2])

    def wrapped_patch(parent):
        patched = parent.clone()

        def wrapper(apply, arguments, _itself=patched):  # a circle, as packs make them
            return apply(arguments["input"], arguments["timestep"], **arguments["c"])

        patched.set_model_unet_function_wrapper(wrapper)
        return patched

    sample(wrapped_patch(model.clone()))
    gc.collect()
    assert any(entry.model is None for entry in comfy.model_management.current_loaded_models)
    assert sample(model.clone()).evaluations == 4


def test_a_cancellation_ends_the_run_and_is_still_comfyuis_to_see(open_run, nodes, model):
    calls = []

    def cancel_at_the_third(*_):
        calls.append(1)
        if len(calls) == 3:
            comfy.model_management.interrupt_current_processing()

    run = open_run("euler")
    try:
        with pytest.raises(nodes("measuring.run").Cancelled):
            run(schedule(model, 8), [1], observe=cancel_at_the_third)
        assert len(calls) == 3 and run.evaluations == 3
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            nodes("host").stop_if_cancelled()
    finally:
        comfy.model_management.interrupt_current_processing(False)


def test_a_mask_is_kept(open_run, model):
    latent = {"samples": torch.full((1, 1, 32, 32), 2.0), "noise_mask": torch.zeros(1, 1, 32, 32)}
    latent["noise_mask"][..., 16:] = 1
    result = open_run("euler", latent=latent)(schedule(model, 4), [1, 2]).latents
    torch.testing.assert_close(result[..., :8], torch.full((2, 1, 32, 8), 2.0), rtol=0, atol=0.2)
    assert result[..., 20:].std() > 0.1


def test_what_lies_under_a_mask_does_not_depend_on_the_other_seeds_of_a_call(open_run, model):
    """ddim draws it from the first seed of a batch."""
    latent = {"samples": torch.zeros(1, 1, 32, 32), "noise_mask": torch.zeros(1, 1, 32, 32)}
    latent["noise_mask"][..., 16:] = 1
    run, sigmas = open_run("ddim", latent=latent), schedule(model, 5)
    torch.testing.assert_close(run(sigmas, [1, 2]).latents[1:], run(sigmas, [2]).latents, rtol=1e-4, atol=1e-4)


@pytest.fixture
def picture_and_sound():
    return tiny_models.picture_and_sound()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_picture_and_sound_are_measured_together_each_in_its_own_scale(nodes, picture_and_sound, value):
    host, prompt, (model, latent) = nodes("host"), tiny_models.conditioning(), picture_and_sound
    guider, sampler, sigmas = host.guider(model, prompt, prompt, 1.0), host.sampler("dpmpp_2m"), schedule(model, 6)
    run = nodes("measuring.run").SamplingRun(guider, sampler, latent(3, value))
    seen = []
    result = run(sigmas, [3, 4], observe=lambda _, x, denoised: seen.append(denoised))
    assert result.latents.shape == (2, *run.shape) == (2, 1, 288) and result.evaluations == 12
    assert run.evaluations == 12 + 8 and run.proof == 0 and run.sizes == "4 x 8 x 8 and 2 x 16"
    deviations = [part.std(correction=0) for part in result.latents.split([256, 32], dim=-1)]
    assert float(256 * deviations[0] ** 2 / (32 * deviations[1] ** 2)) == pytest.approx(1, abs=0.4)
    for seed, found in zip([3, 4], result.latents, strict=True):
        noise, start = host.noise_of_seed(latent(1, value)["samples"], seed), latent(1, value)["samples"]
        wanted = guider.sample(noise, start, sampler, sigmas.clone(), disable_pbar=True, seed=seed).unbind()
        weights = found.flatten() / model.model.process_latent_in(torch.cat([part.flatten() for part in wanted]))
        for part in weights.split([256, 32]):
            torch.testing.assert_close(part, part[:1].expand(len(part)), rtol=1e-3, atol=0)
        picture = model.model.process_latent_in(wanted[0])
        torch.testing.assert_close(run.picture_of(found[None]), picture, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen[-1], result.latents[1:], rtol=1e-4, atol=1e-4)
    again = run.with_sampler(host.sampler("euler"))
    again(sigmas, [1])
    assert again.evaluations == 6, "the deviations are known"


def test_of_picture_and_sound_a_part_without_any_deviation_is_measured_as_it_is(nodes, picture_and_sound):
    host, prompt, (model, latent) = nodes("host"), tiny_models.conditioning(), picture_and_sound
    model.set_model_sampler_post_cfg_function(
        lambda a: torch.cat([a["denoised"][..., :256], a["input"][..., 256:] * 0], -1)
    )
    run = nodes("measuring.run").SamplingRun(host.guider(model, prompt, prompt, 1.0), host.sampler("euler"), latent())
    found = run(schedule(model, 4), [3]).latents
    assert bool(found.isfinite().all()) and float(found[..., :256].std()) > 0.1 and not found[..., 256:].any()


@pytest.mark.parametrize("kind", ["eps", "video"])
@pytest.mark.parametrize("batch", [1, 2])
def test_every_form_of_a_mask_means_what_it_means_to_ksampler(nodes, kind, batch):
    """One picture for all, one for each latent, or one for each frame of a video."""
    model, prompt, host = tiny_models.tiny_model(kind), tiny_models.conditioning(), nodes("host")
    size = (4, 8, 8) if kind == "eps" else (16, 5, 8, 8)
    torch.manual_seed(0)
    picture = torch.randn(1, *size)
    half = torch.zeros(64, 64)
    half[:, 32:] = 1
    masks = [half, half.expand(batch, 1, 64, 64)]
    if kind == "video":
        frames = torch.zeros(5, 1, 64, 64)
        frames[3:] = 1
        masks.append(frames)
    sigmas, sampler = schedule(model, 4, "simple"), host.sampler("euler")
    for mask in masks:
        latent = {"samples": picture.repeat(batch, *(1,) * len(size)), "noise_mask": mask}
        run = nodes("measuring.run").SamplingRun(host.guider(model, prompt, prompt, 1.0), sampler, latent)
        with torch.inference_mode():
            found = run(sigmas, [3]).latents
            one = {"samples": picture, "noise_mask": mask if mask is not masks[1] else mask[:1]}
            wanted = host.sample_with_sigmas(model, 3, 1.0, sampler, sigmas, prompt, prompt, one)["samples"]
        torch.testing.assert_close(found, model.model.process_latent_in(wanted), rtol=1e-4, atol=1e-4)
        kept = model.model.process_latent_in(picture) - found
        assert kept.abs().max() > 0.1, "something moves"


@pytest.fixture(scope="module")
def limit(nodes, model):
    """The converged latents of the seeds 1 and 2."""
    host, prompt = nodes("host"), galaxies.conditioning()
    guider, sampler = host.guider(model, prompt, prompt, CFG), host.sampler("euler")
    run = nodes("measuring.run").SamplingRun(guider, sampler, galaxies.galaxy_latent())
    reference = nodes("measuring.sampler_traits").reference_for(run)
    return reference(schedule(model, 80, "exponential"), [1, 2]).latents


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Should have t", "ignore:To copy construct", "ignore:__array_wrap__ must accept")
@pytest.mark.parametrize("name", comfy.samplers.SAMPLER_NAMES)
def test_the_lists_of_samplers_say_what_each_sampler_does(open_run, nodes, model, limit, name):
    traits, sigmas = nodes("measuring.sampler_traits"), schedule(model, 5)
    run = open_run(name)
    assert traits.name_of(run.sampler) == ("euler" if name == "ddim" else name)
    once, again = run(sigmas, [3]).latents, run.with_other_randomness(sigmas, 3)
    assert torch.allclose(once, again, atol=1e-5) == (name not in traits.RANDOM)
    moved = sigmas.clone()
    moved[2:4] *= 0.8
    assert torch.allclose(once, run(moved, [3]).latents, atol=1e-3) == (name in traits.OWN_STEPS)
    assert {*traits.RANDOM.values(), *traits.CFG_PP.values()} <= traits.CONVERGE_TO_THE_FLOW
    if name in traits.CONVERGE_TO_THE_FLOW:
        distance = rmse(run(schedule(model, 40, "exponential"), [1, 2]).latents, limit)
        assert distance < 0.1
    elif name not in traits.OWN_STEPS and name not in traits.RANDOM:
        made = [run(schedule(model, steps, "exponential"), [1, 2]).latents for steps in (5, 10, 20, 40)]
        first, second, third = (rmse(fewer, more) for fewer, more in itertools.pairwise(made))
        assert "pp" in name and first < second < third
    if "cfg" in name:
        with pytest.raises(
            ValueError, match=rf"the sampler {name} (adds random noise|goes on changing \(CFG\+\+ adds)"
        ):
            traits.check_sampler(open_run(name))


def of_another_pack(function):
    """A function like one of ComfyUI's, by the same name."""

    def sample(model, x, sigmas, **options):
        return function(model, x, sigmas, **options)

    sample.__name__ = function.__name__
    return sample


def many_inner_steps(model, x, sigmas, extra_args, callback, disable):
    """Ten steps of heun in each: so accurate that on an easy model the schedule hardly matters."""
    parts = [torch.linspace(float(a), float(b), 11)[:-1] for a, b in itertools.pairwise(sigmas)]
    inner = torch.cat([*parts, sigmas[-1:].cpu()])
    return k_diffusion.sample_heun(model, x, inner, extra_args, disable=True)


def inside_its_steps(model, x, sigmas, extra_args, callback, disable):
    """Asks the model in the middle of each step only, as implicit methods do."""
    for a, b in itertools.pairwise(sigmas):
        middle = (a + b) / 2
        slope = (x - model(x, middle * x.new_ones(len(x)), **extra_args)) / middle
        x = x + slope * (b - a)
    return x


def guidance_in_every_step(model, x, sigmas, extra_args, callback, disable):
    """Of another name than CFG++, but of its kind: what is added does not go with the size of the step."""
    for a, b in itertools.pairwise(sigmas):
        denoised = model(x, a * x.new_ones(len(x)), **extra_args)
        x = denoised * (1 + 0.1 * (denoised / 4).tanh()) + (x - denoised) / a * b
    return x


def own_steps(model, x, sigmas, extra_args, callback, disable):
    """A sampler of somebody who does not look at the schedule."""
    return model(x, sigmas[0] * x.new_ones(len(x)), **extra_args)


def own_steps_from_the_ends(model, x, sigmas, extra_args, callback, disable):
    """One that takes only the ends from it."""
    levels = torch.linspace(float(sigmas[0]), float(sigmas[-2]), 6)
    return k_diffusion.sample_euler(model, x, torch.cat([levels, torch.zeros(1)]), extra_args, disable=True)


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ("euler", None),
        ("dpm_adaptive", "the sampler dpm_adaptive chooses its own steps and ignores every schedule"),
        ("euler_ancestral", "the sampler euler_ancestral adds random noise .* for example euler$"),
        (("euler_ancestral", {"eta": 0.0}), None),
        (("euler_ancestral", {"eta": 0.4}), "the sampler euler_ancestral adds random noise"),
        (("dpmpp_2m_sde", {"eta": 0.0, "solver_type": "midpoint"}), None),
        (("euler", {"s_churn": 0.5}), "the sampler euler adds random noise"),
        (("sa_solver", {"tau_func": lambda _sigma: 0.0}), None),
        (("lms", {"order": 2}), None),
        ("euler_cfg_pp", r"the sampler euler_cfg_pp goes on changing \(CFG\+\+ adds its .* for example euler$"),
        ("euler_ancestral_cfg_pp", "the sampler euler_ancestral_cfg_pp adds random noise .* for example euler$"),
        (own_steps, "the sampler own_steps gives the same picture whatever the schedule"),
        (own_steps_from_the_ends, "own_steps_from_the_ends gives the same picture whatever the schedule"),
        (guidance_in_every_step, "the sampler guidance_in_every_step goes on changing, so there is no converged"),
        (of_another_pack(k_diffusion.sample_euler_ancestral), "the sampler euler_ancestral adds random noise"),
        (of_another_pack(k_diffusion.sample_euler), None),
        (of_another_pack(k_diffusion.sample_dpmpp_2m), None),
        (of_another_pack(k_diffusion.sample_dpm_2), None),
        (many_inner_steps, None),
        (inside_its_steps, None),
    ],
)
@pytest.mark.filterwarnings("ignore:Should have t:UserWarning")
def test_samplers_that_cannot_be_calibrated_are_refused(open_run, nodes, given, refusal):
    sampler = given
    if isinstance(given, tuple):
        sampler = comfy.samplers.ksampler(*given)
    elif callable(given):
        sampler = comfy.samplers.KSAMPLER(given)
    run = open_run(sampler)
    check = nodes("measuring.sampler_traits").check_sampler
    if refusal is None:
        check(run)
        in_a_run = {"many_inner_steps": 79, "dpm_2": 7}.get(nodes("measuring.sampler_traits").name_of(sampler), 4)
        runs = 3 if isinstance(given, tuple | str) else 3 + 2 + 4
        assert run.evaluations <= runs * in_a_run + 2 * (runs - 3)
    else:
        with pytest.raises(ValueError, match=refusal):
            check(run)


def test_a_sampler_of_another_pack_is_its_own_reference(open_run, nodes):
    traits = nodes("measuring.sampler_traits")
    assert traits.name_of(traits.reference_for(open_run("uni_pc")).sampler) == traits.REFERENCE
    for function in (inside_its_steps, of_another_pack(k_diffusion.sample_euler)):
        run = open_run(comfy.samplers.KSAMPLER(function))
        assert traits.reference_for(run) is run


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_the_reference_is_the_hosts_3m_without_its_noise(nodes, kind):
    model, prompt, host = tiny_models.tiny_model(kind), tiny_models.conditioning(), nodes("host")
    guider, latent = host.guider(model, prompt, prompt, 1.0), tiny_models.empty_latent(model)
    run = nodes("measuring.run").SamplingRun(guider, host.sampler("euler"), latent)
    own = run.with_sampler(comfy.samplers.ksampler("dpmpp_3m_sde", {"eta": 0.0}))
    sigmas = schedule(model, 9, "simple")
    with torch.inference_mode():
        found, wanted = (
            each(sigmas, [3]).latents for each in (nodes("measuring.sampler_traits").reference_for(run), own)
        )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_reference_fills_the_rest_of_a_masked_latent_as_the_sampler_does(open_run, nodes, model):
    latent = {"samples": torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))}
    latent["noise_mask"] = torch.zeros(1, 1, 32, 32)
    latent["noise_mask"][..., 16:] = 1
    run = open_run("ddim", latent=latent)
    fine = schedule(model, 100, "exponential")
    converged, usual = (
        nodes("measuring.sampler_traits").reference_for(sampler)(fine, [1]).latents
        for sampler in (run, open_run("euler", latent=latent))
    )
    limit = run(fine, [1]).latents
    assert rmse(limit, converged) < 0.5 * rmse(limit, usual)


def lora(model, strength: float):
    """The MODEL with a patch of one weight, as a LoRA makes them."""
    patched = model.clone()
    key = next(name for name in model.model.state_dict() if name.endswith("embed.weight"))
    difference = torch.linspace(-1, 1, model.model.state_dict()[key].numel()).view_as(model.model.state_dict()[key])
    assert patched.add_patches({key: ("diff", (difference,))}, strength)
    return patched


def test_a_patched_weight_is_sampled_and_named(open_run, nodes, model):
    fingerprint = nodes("measuring.fingerprint").fingerprint
    sigmas, patched = schedule(model, 3), lora(model, 0.01)
    names = {fingerprint(variant) for variant in (model, patched, lora(model, 0.02))}
    assert len(names) == 3
    changed = open_run("euler", patched)(sigmas, [1]).latents  # now the patched weights lie in the network
    assert fingerprint(patched) in names and fingerprint(lora(model, 0.01)) == fingerprint(patched)
    assert {fingerprint(model), fingerprint(lora(model, 0.02))} < names
    assert rmse(changed, open_run("euler")(sigmas, [1]).latents) > 1e-4


def test_whatever_changes_the_reference_changes_its_name(nodes, model):
    """And what does not change it, does not."""
    host, store = nodes("host"), nodes("measuring.reference_store")
    prompt, other = galaxies.conditioning(), [[torch.ones(1, 1, 8), {"pooled_output": torch.zeros(1, 8)}]]
    mask = {"noise_mask": torch.ones(1, 1, 32, 32)}
    wide = {"samples": torch.zeros(1, 1, 32, 40)}
    bright = {"samples": torch.ones(1, 1, 32, 32)}

    def key(model=model, cfg=CFG, prompt=prompt, negative=prompt, latent=None, sampler="euler", steps=18, seed=0):
        guider, latent = host.guider(model, prompt, negative, cfg), latent or galaxies.galaxy_latent()
        run = nodes("measuring.run").SamplingRun(guider, host.sampler(sampler), latent)
        return store.key_of(nodes("measuring.sampler_traits").reference_for(run), schedule(model, steps), seed)

    keys = [
        key(),
        key(model=lora(model, 0.01)),
        key(model=galaxies.galaxy_model()),
        key(cfg=CFG + 0.1),
        key(prompt=other),
        key(negative=other),
        key(latent=wide),
        key(latent=bright),
        key(latent={**galaxies.galaxy_latent(), **mask}),
        key(latent={**galaxies.galaxy_latent(), **mask}, sampler="ddim"),
        key(sampler="euler_cfg_pp"),
        key(steps=24),
        key(seed=1),
    ]
    assert len(set(keys)) == len(keys)
    assert {key(sampler=name) for name in ("dpmpp_2m", "heun", "ddim", "uni_pc")} == {keys[0]}
    assert key(latent=galaxies.galaxy_latent(3)) == keys[0]  # only the first of a batch counts


def test_reference_runs_that_are_completed_are_those_that_were_made_together(open_run, pack, model):
    """On a CPU to the last bit: there this network gives the same in a batch of any size."""
    reference = sys.modules[f"{pack.__name__}.hso_core.calibration.reference"]
    run = open_run("uni_pc")

    def extended(*counts, known=None):
        made = reference.Reference(run, schedule(model, 18), 5, known)
        for count in counts:
            made.extend(range(count))
        return made

    together, known = extended(16), extended(10).runs()
    before = run.evaluations
    completed = extended(16, known=known)

    assert run.evaluations - before == 6 * 18
    assert completed.trajectories().equal(together.trajectories())
    assert completed.profile().gram.equal(together.profile().gram)


def test_whatever_changes_the_picture_changes_the_fingerprint(nodes, model):
    from comfy_extras import nodes_model_advanced

    fingerprint, host = nodes("measuring.fingerprint").fingerprint, nodes("host")
    prompt, other = galaxies.conditioning(), [[torch.ones(1, 1, 8), {"pooled_output": torch.zeros(1, 8)}]]
    (shifted,) = nodes_model_advanced.ModelSamplingContinuousEDM().patch(model, "eps", 100.0, 0.1)
    (less,) = nodes_model_advanced.ModelSamplingContinuousEDM().patch(model, "eps", 100.0, 0.2)
    variants = [
        host.guider(model, prompt, prompt, 2.0),
        host.guider(model, prompt, prompt, 2.5),
        host.guider(model, other, prompt, 2.0),
        host.guider(model, prompt, other, 2.0),
        host.guider(shifted, prompt, prompt, 2.0),
        host.guider(less, prompt, prompt, 2.0),
        host.guider(galaxies.guided(galaxies.galaxy_model(), 0.2), prompt, prompt, 2.0),
        host.guider(galaxies.galaxy_model(), prompt, prompt, 2.0),
        nodes_custom_sampler.BasicGuider.execute(model, prompt).args[0],
        comfy.samplers.ksampler("lms", {"order": 2}),
        comfy.samplers.ksampler("lms", {"order": 3}),
        comfy.samplers.sampler_object("euler"),
        comfy.samplers.sampler_object("uni_pc"),
    ]
    names = [fingerprint(variant) for variant in variants]
    assert len(set(names)) == len(names)
    assert fingerprint(host.guider(model, galaxies.conditioning(), galaxies.conditioning(), 2.0)) == fingerprint(
        host.guider(model, galaxies.conditioning(), galaxies.conditioning(), 2.0)
    )


@dataclass
class Slotted:
    """An object without a __dict__."""

    __slots__ = ("strength",)
    strength: float


def constant(value):
    """A function that differs from the other one in a constant only."""
    return {1: lambda sigma: 10 * sigma, 2: lambda sigma: 20 * sigma}[value]


def by_keyword(value):
    def function(sigma, *, factor=value):
        return sigma * factor

    return function


@pytest.mark.parametrize(
    "make",
    [constant, by_keyword, Slotted, np.float32, range, lambda value: np.full(3, value), lambda value: [value].append],
    ids=["constant", "keyword", "slots", "number", "range", "array", "bound method"],
)
def test_things_that_differ_in_a_hidden_place_have_other_fingerprints(nodes, make):
    fingerprint = nodes("measuring.fingerprint").fingerprint
    assert fingerprint(make(1)) == fingerprint(make(1)) != fingerprint(make(2))


def test_every_weight_of_a_network_counts(nodes):
    fingerprint = nodes("measuring.fingerprint").fingerprint
    network = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(300)))
    name = fingerprint(network)
    with torch.no_grad():
        network[151].bias += 1
    assert fingerprint(network) != name


def test_a_lora_on_the_prompt_counts_and_a_run_leaves_its_name(open_run, nodes, model):
    import comfy.hooks

    fingerprint, host, prompt = nodes("measuring.fingerprint").fingerprint, nodes("host"), galaxies.conditioning()
    key = next(name for name in model.model.state_dict() if name.endswith("embed.weight"))

    def guider(strength):
        change = {key: torch.ones_like(model.model.state_dict()[key])}
        hooks = comfy.hooks.create_hook_model_as_lora(change, None, strength, 0.0)
        return host.guider(model, [[context, {**extra, "hooks": hooks}] for context, extra in prompt], prompt, CFG)

    first = guider(0.1)
    name = fingerprint(first)
    nodes("measuring.run").SamplingRun(first, host.sampler("euler"), galaxies.galaxy_latent())(schedule(model, 2), [1])
    assert fingerprint(first) == name == fingerprint(guider(0.1)) != fingerprint(guider(0.2))


class Adapter(torch.nn.Module):
    """The network of a T2I adapter, as small as can be."""

    unshuffle_amount = 8

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, picture: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        return {"input": [self.weight * picture]}


def test_a_control_counts_by_its_picture_and_strength_and_not_by_what_a_run_leaves_in_it(nodes, model):
    import comfy.controlnet

    fingerprint, host = nodes("measuring.fingerprint").fingerprint, nodes("host")

    def guider(strength: float, shade: float):
        control = comfy.controlnet.T2IAdapter(Adapter(), 3, 8, "nearest-exact")
        control.set_cond_hint(torch.full((1, 3, 256, 256), shade), strength)
        ((context, extra),) = galaxies.conditioning()
        return host.guider(model, [[context, {**extra, "control": control}]], galaxies.conditioning(), CFG)

    first = guider(1.0, 0.5)
    name = fingerprint(first)
    run = nodes("measuring.run").SamplingRun(first, host.sampler("euler"), galaxies.galaxy_latent())
    together = run(schedule(model, 2), [1, 2]).latents
    torch.testing.assert_close(run(schedule(model, 2), [2]).latents, together[1:])
    assert fingerprint(first) == name == fingerprint(guider(1.0, 0.5))
    assert len({name, fingerprint(guider(0.5, 0.5)), fingerprint(guider(1.0, 0.25))}) == 3


def video_run(nodes, frames, model=None, mask=None, **latent):
    host, prompt = nodes("host"), tiny_models.conditioning()
    latent = {"samples": torch.linspace(-1, 1, frames * 256).view(frames, 4, 8, 8), **latent}
    guider = host.guider(model or tiny_models.svd_model(), prompt, prompt, 1.5)
    return nodes("measuring.run").SamplingRun(guider, host.sampler("dpmpp_2m"), latent), latent


@pytest.mark.parametrize("latent", [{}, {"batch_index": [4, 1, 2]}, {"noise_mask": torch.ones(3, 1, 8, 8).tril()}])
def test_the_batch_of_a_model_of_frames_is_one_video(nodes, latent):
    """One seed, one video, one evaluation, just as KSampler samples it, however many seeds are asked for."""
    model = tiny_models.svd_model()
    run, latent = video_run(nodes, 3, model, **latent)
    sigmas, seen = schedule(model, 4), []
    result = run(sigmas, [7, 8], limit=8, observe=lambda _, x, denoised: seen.append((x.shape, denoised.shape)))
    assert result.latents.shape == (2, 4, 3, 8, 8) and result.evaluations == 8 == len(seen)
    assert set(seen) == {((1, 4, 3, 8, 8),) * 2}
    prompt = tiny_models.conditioning()
    for seed, video in zip([7, 8], result.latents, strict=True):
        expected = core_nodes.common_ksampler(model, seed, 4, 1.5, "dpmpp_2m", "karras", prompt, prompt, latent)[0]
        expected = model.model.process_latent_in(expected["samples"])
        torch.testing.assert_close(video.movedim(1, 0), expected, rtol=1e-4, atol=1e-4)
    again = run.with_sampler(nodes("host").sampler("dpmpp_2m"))(sigmas, [8]).latents
    assert torch.equal(again[0], result.latents[1])


def test_a_model_with_motion_models_of_animatediff_makes_frames(nodes):
    model = tiny_models.tiny_model("eps")
    assert not nodes("host").batch_is_frames(model)
    model.set_additional_models("ADE", [tiny_models.tiny_model("eps")])
    assert nodes("host").batch_is_frames(model)


def in_a_pair(place):
    """Conditioning of which one part is a batch of two."""
    import comfy.clip_vision
    import comfy.controlnet

    two = torch.stack([torch.ones(4, 8), -torch.ones(4, 8)])
    pictures = torch.rand(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))[:, 0]
    extra = {"pooled_output": torch.zeros(1, 8)}
    if place == "control":
        inner, control = (comfy.controlnet.T2IAdapter(Adapter(), 3, 8, "nearest-exact") for _ in range(2))
        inner.set_cond_hint(pictures, 1.0)
        control.set_cond_hint(pictures[:1], 1.0)
        control.set_previous_controlnet(inner)
        extra["control"] = control
    elif place == "clip vision":
        output = comfy.clip_vision.Output()
        output.image_embeds = two[:, 0]
        extra["unclip_conditioning"] = [{"clip_vision_output": output, "strength": 1.0}]
    elif place == "reference_latents":
        extra[place] = [pictures[:1], pictures]
    elif place != "prompt":
        extra[place] = pictures
    return [[two if place == "prompt" else two[:1], extra]]


PLACES = ("prompt", "pooled_output", "concat_latent_image", "reference_latents", "control", "clip vision")


@pytest.mark.parametrize("place", PLACES)
def test_conditioning_that_is_a_batch_is_sampled_one_latent_at_a_time(nodes, place):
    host, model, negative = nodes("host"), tiny_models.tiny_model("eps"), tiny_models.conditioning()
    make = nodes("measuring.run").SamplingRun
    latent = tiny_models.empty_latent(model)
    run = make(host.guider(model, in_a_pair(place), negative, 2.0), host.sampler("euler"), latent)
    assert run.largest_batch == 1
    assert make(host.guider(model, negative, negative, 2.0), host.sampler("euler"), latent).largest_batch > 1


def test_a_seed_has_the_prompt_that_it_has_alone(nodes):
    """Out of a batch of prompts KSampler takes the first for one latent."""
    host, model = nodes("host"), tiny_models.tiny_model("eps")

    def add_prompt(apply, arguments):
        context = arguments["c"]["c_crossattn"].mean(dim=(1, 2)).view(-1, 1, 1, 1)
        return apply(arguments["input"], arguments["timestep"], **arguments["c"]) + context

    model.set_model_unet_function_wrapper(add_prompt)
    guider = host.guider(model, in_a_pair("prompt"), tiny_models.conditioning(), 1.0)
    run = nodes("measuring.run").SamplingRun(guider, host.sampler("euler"), tiny_models.empty_latent(model))
    sigmas = schedule(model, 4)
    assert torch.equal(run(sigmas, [0, 1]).latents[1:], run(sigmas, [1]).latents)


def test_the_noise_is_that_of_the_batch_index(open_run, nodes, model):
    prompt, sigmas = galaxies.conditioning(), schedule(model, 3)
    latent = {**galaxies.galaxy_latent(2), "batch_index": [3, 5]}
    run = open_run("euler", latent=latent)
    one = {"samples": latent["samples"][:1], "batch_index": [3]}
    (expected,) = core_nodes.common_ksampler(model, 1, 3, CFG, "euler", "karras", prompt, prompt, one)
    torch.testing.assert_close(run(sigmas, [1]).latents, expected["samples"], rtol=1e-4, atol=1e-5)
    other = open_run("euler", latent={**latent, "batch_index": [4, 5]})
    assert (
        len({nodes("measuring.reference_store").key_of(each, sigmas, 1) for each in (run, other, open_run("euler"))})
        == 3
    )


@pytest.fixture
def for_one_latent(model):
    """The MODEL with a patch, as some nodes of the host make them, that cannot do several latents; its batch sizes."""
    sizes, patched = [], model.clone()

    def rescale(arguments):
        sizes.append(len(arguments["denoised"]))
        if sizes[-1] > 1:
            raise RuntimeError("a Tensor with 3 elements cannot be converted to Scalar")
        return arguments["denoised"]

    patched.set_model_sampler_post_cfg_function(rescale)
    return patched, sizes


def test_a_model_that_takes_one_latent_at_a_time_gets_them_so(open_run, nodes, model, for_one_latent, caplog):
    patched, sizes = for_one_latent
    run = open_run("euler", patched)
    result = run(schedule(model, 2), [1, 2, 3], limit=9)
    assert sizes == [1, 1, 2, *[1] * 4] and result.evaluations == 6
    assert run.evaluations == 8 and run.proof == 2, "those of the failed batch count"
    torch.testing.assert_close(result.latents, open_run("euler")(schedule(model, 2), [1, 2, 3]).latents)
    assert caplog.text.count("several latents together fail with this model (a Tensor with 3 elements") == 1
    run.with_sampler(nodes("host").sampler("heun"))(schedule(model, 2), [4, 5])
    assert max(sizes[7:]) == 1 and caplog.text.count("several latents") == 1


def test_the_budget_holds_where_a_batch_has_failed(open_run, model, for_one_latent, budget_spent):
    """That of two latents is only to find out; that of three is to be one of the results."""
    patched, sizes = for_one_latent
    run = open_run("euler", patched)
    run._known.size, run._known.proven = 3, True
    with pytest.raises(budget_spent, match="8 of 8 evaluations are made"):
        run(schedule(model, 2), [1, 2, 3], limit=8)
    assert sum(sizes) == 8 == run.evaluations


def over_the_batch(model):
    """The MODEL with a patch that scales by what is largest in the whole batch."""
    patched = model.clone()
    patched.set_model_sampler_post_cfg_function(lambda a: a["denoised"] / a["denoised"].abs().max().clamp(min=1))
    return patched


PATCHES = {  # and whether seeds of a batch disturb each other with it on this model
    "LazyCache": (lambda model: nodes_easycache.LazyCacheNode.execute(model, 0.2, 0.15, 0.95, False), True),
    "EasyCache": (lambda model: nodes_easycache.EasyCacheNode.execute(model, 0.2, 0.15, 0.95, False), False),
    "over the batch": (lambda model: [over_the_batch(model)], True),
}


@pytest.mark.parametrize("steps", [8, 18])
@pytest.mark.parametrize("patch", PATCHES)
def test_seeds_that_disturb_each_other_are_sampled_one_by_one(nodes, patch, steps, caplog):
    """Found out once, for runs of other samplers, too; and each seed is the picture of KSampler then.

    Beside a picture of louder noise: beside one like itself LazyCache leaves out the same steps on many seeds.
    """
    host, prompt, plain = nodes("host"), tiny_models.conditioning(), tiny_models.tiny_model("eps")
    (make, disturbs), latent, sizes = PATCHES[patch], tiny_models.empty_latent(plain), []
    patched = tuple(make(plain))[0]
    run = nodes("measuring.run").SamplingRun(host.guider(patched, prompt, prompt, 1.0), host.sampler("euler"), latent)
    sigmas, seeds = schedule(plain, steps), [4, 5, 6, 7]
    result = run(sigmas, seeds, limit=steps * 4, observe=lambda _, x, denoised: sizes.append(len(x)))
    for seed, found in zip(seeds, result.latents, strict=True):
        (wanted,) = core_nodes.common_ksampler(patched, seed, steps, 1.0, "euler", "karras", prompt, prompt, latent)
        wanted = plain.model.process_latent_in(wanted["samples"])
        torch.testing.assert_close(found[None], wanted, rtol=1e-4, atol=1e-4)
    assert result.evaluations == 4 * steps and run.proof == 2 * steps and run.evaluations == 6 * steps
    run.with_sampler(host.sampler("dpmpp_2m"))(sigmas, seeds, observe=lambda _, x, denoised: sizes.append(len(x)))
    assert run.proof == 2 * steps
    assert set(sizes) == ({1} if disturbs else {1, 3, 4})
    assert ("a picture depends on the others of its batch; one by one then" in caplog.text) == disturbs


def test_seeds_that_leave_each_other_alone_are_sampled_together(nodes, caplog):
    host, prompt, model, sizes = nodes("host"), tiny_models.conditioning(), tiny_models.tiny_model("eps"), []
    latent = tiny_models.empty_latent(model)
    patched = model.clone()
    patched.set_model_unet_function_wrapper(lambda apply, given: apply(given["input"], given["timestep"], **given["c"]))
    patched.model_options["disable_cfg1_optimization"] = False
    for of, expected, proof in ((patched, [1] * 3 + [7] * 3 + [8] * 3, 6), (model, [8] * 6, 0)):
        run = nodes("measuring.run").SamplingRun(host.guider(of, prompt, prompt, 1.0), host.sampler("euler"), latent)
        sizes.clear()
        for _ in range(2):
            result = run(schedule(model, 3), range(8), observe=lambda _, x, denoised: sizes.append(len(x)))
        assert sizes == expected and result.evaluations == 24
        assert run.proof == proof and not caplog.text


def test_the_rounding_is_that_of_what_the_model_computes_with(nodes):
    rounding, model = nodes("host").rounding, tiny_models.tiny_model("eps")
    assert rounding(model) == torch.finfo(torch.float32).eps
    model.model.manual_cast_dtype = torch.bfloat16
    assert rounding(model) == torch.finfo(torch.bfloat16).eps
    model.model.manual_cast_dtype = None
    model.model.get_dtype = model.model.get_dtype_inference = lambda: torch.float8_e4m3fn
    assert rounding(model) == torch.finfo(torch.bfloat16).eps


def test_what_fails_with_one_latent_is_an_error(open_run, model):
    def fail(_arguments):
        raise RuntimeError("no such size")

    patched = model.clone()
    patched.set_model_sampler_post_cfg_function(fail)
    with pytest.raises(RuntimeError, match="no such size"):
        open_run("euler", patched)(schedule(model, 2), [1, 2, 3])
