"""Seeds that take their steps together, through ComfyUI's own sampling: each becomes what KSampler makes of it."""

from __future__ import annotations

import importlib

import pytest
import torch

import host_import

host_import.import_host()

import comfy.model_management  # noqa: E402
import comfy.samplers  # noqa: E402

import tiny_models  # noqa: E402

SEEDS = [5, 2**64 - 1, 9, 11, 12]


@pytest.fixture(scope="module")
def nodes(pack):
    """The pack's modules, by name."""
    return lambda name: importlib.import_module(f"{pack.__name__}.nodes.{name}")


@pytest.fixture(scope="module")
def solvers(pack):
    return importlib.import_module(f"{pack.__name__}.hso_core.solvers")


@pytest.fixture
def runs(nodes):
    """runs(model, latent): the same sampling as a SamplingRun of euler, and as one whose steps are decided on."""

    def make(model, latent, sampler="euler", **options):
        host, prompt = nodes("host"), tiny_models.conditioning()
        run = nodes("measuring.run").SamplingRun(
            host.guider(model, prompt, prompt, 2.0), host.sampler(sampler), latent, **options
        )
        return run, nodes("measuring.stepped_run").SteppedSamplingRun(run)

    return make


def schedule(model, steps):
    return comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", steps)


def latent_of(model, kind):
    frames = [3] if kind == "video" else []
    return {"samples": torch.zeros(1, model.model.latent_format.latent_channels, *frames, 8, 8)}


@pytest.mark.parametrize("largest_batch", [1, 2, 8])
@pytest.mark.parametrize("kind", [*tiny_models.KINDS, "video"])
def test_every_seed_becomes_what_it_becomes_alone(nodes, solvers, runs, kind, largest_batch):
    model = tiny_models.tiny_model(kind)
    run, stepped = runs(model, latent_of(model, kind), "dpmpp_2m", largest_batch=largest_batch)
    sigmas = schedule(model, 4)
    solver = solvers.known_solver("dpmpp_2m", sigmas, nodes("host").noise_schedule(model))

    found = stepped(sigmas, SEEDS, solver.stepper, limit=20)

    alone = torch.cat([run(sigmas, [seed]).latents for seed in SEEDS])
    assert found.evaluations == 20 and found.latents.dtype == torch.float32
    torch.testing.assert_close(found.latents, alone, rtol=1e-4, atol=2e-6 * max(float(sigmas[0]), 50.0))


def test_a_step_sees_all_seeds_of_the_call(nodes, runs):
    model = tiny_models.tiny_model("eps")
    _, stepped = runs(model, latent_of(model, "eps"), largest_batch=2)
    seen = []

    def begin():
        return lambda x, denoised: seen.append((tuple(x.shape), tuple(denoised.shape))) or denoised

    stepped(schedule(model, 3), SEEDS, begin)
    assert seen == [((5, 4, 8, 8), (5, 4, 8, 8))] * 3


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("largest_batch", [2, 8])
def test_seeds_that_branch_go_on_each_with_its_own_noise(nodes, solvers, runs, largest_batch, masked):
    """Item k belongs to seed k modulo their number; a branch that changes nothing ends where its seed does."""
    model = tiny_models.tiny_model("eps")
    mask = torch.zeros(1, 8, 8)
    mask[:, :, 4:] = 1
    picture = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    latent = {"samples": picture, "noise_mask": mask} if masked else latent_of(model, "eps")
    run, stepped = runs(model, latent, largest_batch=largest_batch)
    sigmas = schedule(model, 4)
    solver = solvers.known_solver("euler", sigmas, nodes("host").noise_schedule(model))

    def begin():
        step, steps = solver.stepper(), []

        def advance(x, denoised):
            steps.append(len(x))
            moved = step(x, denoised)
            return torch.cat([moved, moved]) if len(steps) == 2 else moved

        return advance

    found = stepped(sigmas, SEEDS[:3], begin)
    alone = run(sigmas, SEEDS[:3]).latents
    assert found.evaluations == 3 * (2 + 2 * 2)
    torch.testing.assert_close(found.latents, torch.cat([alone, alone]), rtol=1e-4, atol=1e-4)


def test_the_frames_of_a_video_stay_together(nodes, solvers, runs):
    model = tiny_models.svd_model()
    latent = {"samples": torch.zeros(3, 4, 8, 8)}
    run, stepped = runs(model, latent)
    sigmas = schedule(model, 3)
    solver = solvers.known_solver("euler", sigmas, nodes("host").noise_schedule(model))
    found = stepped(sigmas, [1, 2], solver.stepper)
    assert found.latents.shape == (2, 4, 3, 8, 8) and found.evaluations == 6
    torch.testing.assert_close(found.latents, run(sigmas, [1, 2]).latents, rtol=1e-4, atol=1e-3)


def test_picture_and_sound_stay_together_each_in_its_own_scale(nodes, solvers, runs):
    model, latent = tiny_models.picture_and_sound()
    run, stepped = runs(model, latent(1, 1.0), "dpmpp_2m")
    sigmas = schedule(model, 4)
    solver = solvers.known_solver("dpmpp_2m", sigmas, nodes("host").noise_schedule(model))
    found = stepped(sigmas, [1, 2], solver.stepper)
    assert found.latents.shape == (2, 1, 288) and found.evaluations == 8 and run.evaluations == 8 + 8
    torch.testing.assert_close(found.latents, run(sigmas, [1, 2]).latents, rtol=1e-4, atol=1e-3)


def test_under_a_mask_the_picture_stays(nodes, solvers, runs):
    model = tiny_models.tiny_model("eps")
    mask = torch.zeros(1, 8, 8)
    mask[:, :, 4:] = 1
    picture = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    run, stepped = runs(model, {"samples": picture, "noise_mask": mask})
    sigmas = schedule(model, 4)
    solver = solvers.known_solver("euler", sigmas, nodes("host").noise_schedule(model))
    found = stepped(sigmas, SEEDS[:3], solver.stepper)
    torch.testing.assert_close(found.latents, run(sigmas, SEEDS[:3]).latents, rtol=1e-4, atol=1e-4)


def test_a_batch_that_does_not_fit_is_halved_where_it_stands(nodes, solvers, runs):
    model, sizes = tiny_models.tiny_model("eps"), []
    plain = runs(model, latent_of(model, "eps"))[0]

    def predict(apply, arguments):
        sizes.append(len(arguments["input"]) // 2)  # with both halves of the guidance
        if sizes[-1] > 2:
            raise nodes("host").OUT_OF_MEMORY
        return apply(arguments["input"], arguments["timestep"], **arguments["c"])

    small = model.clone()
    small.set_model_unet_function_wrapper(predict)
    small.model_options["disable_cfg1_optimization"] = False
    _, stepped = runs(small, latent_of(model, "eps"))
    sigmas = schedule(model, 3)
    solver = solvers.known_solver("euler", sigmas, nodes("host").noise_schedule(model))
    found = stepped(sigmas, SEEDS, solver.stepper)
    proof = [1, 1, 1, 2, 2, 2]  # that seeds of a batch leave each other alone
    assert found.evaluations == 15 and sizes == [*proof, 5, *[2, 2, 1] * 3]
    torch.testing.assert_close(found.latents, plain(sigmas, SEEDS).latents, rtol=1e-4, atol=1e-4)


def test_a_patch_that_computes_over_the_batch_is_refused(nodes, solvers, runs):
    model = tiny_models.tiny_model("eps")

    def predict(apply, arguments):
        denoised = apply(arguments["input"], arguments["timestep"], **arguments["c"])
        return denoised + 0.1 * denoised.mean(0, keepdim=True)

    patched = model.clone()
    patched.set_model_unet_function_wrapper(predict)
    _, stepped = runs(patched, latent_of(model, "eps"))
    sigmas = schedule(model, 3)
    solver = solvers.known_solver("euler", sigmas, nodes("host").noise_schedule(model))
    with pytest.raises(ValueError, match="looks at the whole batch .* take the patch away for the calibration"):
        stepped(sigmas, SEEDS, solver.stepper)


def test_the_limit_is_kept_and_what_was_made_is_told(nodes, solvers, runs):
    model = tiny_models.tiny_model("eps")
    run, stepped = runs(model, latent_of(model, "eps"), largest_batch=2)
    sigmas = schedule(model, 4)
    solver = solvers.known_solver("euler", sigmas, nodes("host").noise_schedule(model))
    with pytest.raises(nodes("measuring.run").BudgetSpent) as spent:
        stepped(sigmas, SEEDS, solver.stepper, limit=7)
    assert spent.value.evaluations == 7 == run.evaluations - run.proof


def test_a_cancellation_ends_the_run(nodes, solvers, runs):
    model, calls = tiny_models.tiny_model("eps"), []

    def cancel_at_the_third(*_):
        calls.append(1)
        if len(calls) == 3:
            comfy.model_management.interrupt_current_processing()

    _, stepped = runs(model, latent_of(model, "eps"), largest_batch=1)
    sigmas = schedule(model, 4)
    solver = solvers.known_solver("euler", sigmas, nodes("host").noise_schedule(model))
    try:
        with pytest.raises(nodes("measuring.run").Cancelled):
            stepped(sigmas, SEEDS, solver.stepper, observe=cancel_at_the_third)
        assert len(calls) == 3
    finally:
        comfy.model_management.interrupt_current_processing(False)
