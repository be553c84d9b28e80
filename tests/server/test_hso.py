"""The main job, in a real server on a real network: optimise, sample, and the contract of every schedule."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest
import torch

import demo_prompts
import workbench
from comfy_server import ComfyServer, PromptFailed, PromptInterrupted, PromptRejected
from demo_prompts import custom_sigmas, node, save_latent, show_text
from hso_core import NoiseSchedule, Settings, optimize_schedule
from hso_core.schedule.sigmas import parse_sigmas

NETWORK = NoiseSchedule(torch.linspace(0.02, 10, 1000, dtype=torch.float64).expm1().sqrt().float())


def sigmas_of(server: ComfyServer, source: dict, **others: dict) -> torch.Tensor:
    """The schedule that a node gives, through Custom Sigmas, whose text is exact."""
    prompt = {
        **demo_prompts.galaxy_nodes(1),
        "source": source,
        "text": custom_sigmas(sigmas=["source", 0]),
        "show": show_text("text", 1),
        **others,
    }
    (text,) = server.texts(server.run(prompt))
    return parse_sigmas(text)


def taken_from_cache(server: ComfyServer, prompt: dict) -> set[str]:
    """The nodes that a run took from the cache."""
    (cached,) = [m for kind, m in server.run(prompt)["status"]["messages"] if kind == "execution_cached"]
    return set(cached["nodes"])


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 8, 20])
def test_node_and_list_entry_and_library_give_the_same_sigmas(server: ComfyServer, steps: int) -> None:
    expected = list(optimize_schedule(NETWORK, steps).sigmas)
    assert sigmas_of(server, demo_prompts.optimize_schedule(steps)).tolist() == expected
    assert sigmas_of(server, demo_prompts.basic_scheduler("hso", steps)).tolist() == expected


def test_the_nodes_stand_beside_cores_own_in_the_menu(server: ComfyServer) -> None:
    menu = {name: info["category"] for name, info in server.object_info().items()}
    assert menu["HSOOptimizeSchedule"] == menu["BasicScheduler"] and menu["HSOKSampler"] == menu["KSampler"]
    assert menu["HSOSplitSchedule"] == menu["SplitSigmas"]


def test_the_command_line_gives_the_same_sigmas(server: ComfyServer) -> None:
    """On a table that it knows by name: the demonstration model, patched to the schedule of SD3."""
    done = subprocess.run(
        [sys.executable, "-m", "hso_core", *"optimize --schedule flow:3 --steps 6 --json".split()],
        cwd=workbench.REPOSITORY,
        capture_output=True,
        check=True,
    )
    patched = {"shifted": node("ModelSamplingSD3", model=["model", 0], shift=3.0)}
    source = demo_prompts.optimize_schedule(6)
    source["inputs"]["model"] = ["shifted", 0]
    assert sigmas_of(server, source, **patched).tolist() == json.loads(done.stdout)["sigmas"]


def test_the_entry_is_in_every_list_of_the_host(server: ComfyServer) -> None:
    for name, group in (("KSampler", "required"), ("KSamplerAdvanced", "required"), ("BasicScheduler", "required")):
        definition = server.object_info(name)["input"][group]["scheduler"]
        options = definition[0] if isinstance(definition[0], list) else definition[1]["options"]
        assert options[-1] == "hso" and options.count("hso") == 1


def test_every_way_to_sample_gives_the_same_picture(server: ComfyServer) -> None:
    """KSampler (HSO), SamplerCustom, SamplerCustomAdvanced and KSampler with the entry, all with the same noise."""
    source = demo_prompts.optimize_schedule(6)
    pictures = [
        demo_prompts.sample(server, prompt)
        for prompt in (
            demo_prompts.hso_ksampler_prompt(source),
            demo_prompts.sampler_custom_prompt(source),
            demo_prompts.guider_prompt(source),
            demo_prompts.ksampler_prompt("dpmpp_2m", "hso", 6),
        )
    ]
    for other in pictures[1:]:
        torch.testing.assert_close(other, pictures[0])


def test_few_steps_come_closer_to_the_converged_picture_than_cores_schedulers(server: ComfyServer) -> None:
    """The reason for all this, at 4 and 5 steps with dpmpp_2m: mean RMSE over 32 seeds to 100 steps."""

    def picture(scheduler: str, steps: int) -> torch.Tensor:
        return demo_prompts.sample(server, demo_prompts.ksampler_prompt("dpmpp_2m", scheduler, steps, batch_size=32))

    converged = picture("karras", 100)
    for steps in (4, 5):
        error = {
            name: float((picture(name, steps) - converged).square().mean((1, 2, 3)).sqrt().mean())
            for name in ("hso", "karras", "simple", "normal", "exponential", "sgm_uniform", "beta")
        }
        assert min(error, key=error.get) == "hso", error


def test_with_a_mask_it_is_ksampler_too(server: ComfyServer) -> None:
    """KSampler (HSO) with the sigmas of BasicScheduler, and a mask over half the picture."""
    masked = {
        "mask": node("SolidMask", value=1.0, width=256, height=128),
        "ground": node("SolidMask", value=0.0, width=256, height=256),
        "both": node("MaskComposite", destination=["ground", 0], source=["mask", 0], x=0, y=0, operation="add"),
        "half": node("SetLatentNoiseMask", samples=["latent", 0], mask=["both", 0]),
    }
    core = demo_prompts.ksampler_prompt("euler", "normal", 5)
    ours = demo_prompts.hso_ksampler_prompt(demo_prompts.basic_scheduler("normal", 5), "euler")
    for prompt in (core, ours):
        prompt["sample"]["inputs"]["latent_image"] = ["half", 0]
    core_picture = demo_prompts.sample(server, {**core, **masked})
    our_picture = demo_prompts.sample(server, {**ours, **masked})
    torch.testing.assert_close(our_picture, core_picture)
    assert float(our_picture[:, :, 20:].abs().max()) < 1e-6 < float(our_picture[:, :, :12].abs().max())


@pytest.mark.parametrize("way", ["SamplerCustom", "SamplerCustomAdvanced", "KSampler (HSO)"])
def test_uni_pc_leaves_the_schedule_to_the_next_workflow(server: ComfyServer, way: str) -> None:
    """Core's uni_pc overwrites the last value of the tensor that it is given, and ComfyUI keeps that in its cache."""
    make = {
        "SamplerCustom": demo_prompts.sampler_custom_prompt,
        "SamplerCustomAdvanced": demo_prompts.guider_prompt,
        "KSampler (HSO)": demo_prompts.hso_ksampler_prompt,
    }[way]
    source = demo_prompts.optimize_schedule(5)
    expected = list(optimize_schedule(NETWORK, 5).sigmas)
    first = demo_prompts.sample(server, make(source, "uni_pc", seed=1))
    euler = {**make(source, "euler", seed=2), "text": custom_sigmas(sigmas=["sigmas", 0]), "show": show_text("text", 1)}
    entry = server.run(euler)  # the schedule comes from the cache
    assert parse_sigmas(server.texts(entry)[0]).tolist() == expected
    assert torch.equal(demo_prompts.sample(server, make(source, "uni_pc", seed=1)), first)


def test_every_sampler_of_the_host_at_one_to_ten_steps(server: ComfyServer) -> None:
    """No error, no NaN, and the schedule is unchanged after the sampler has had it."""
    samplers = server.object_info("HSOKSampler")["input"]["required"]["sampler_name"][1]["options"]
    assert samplers == server.object_info("KSampler")["input"]["required"]["sampler_name"][0]
    for seed, sampler in enumerate(samplers):
        prompt, after = demo_prompts.galaxy_nodes(1), {}
        for steps in range(1, 11):
            # The search's seed is new for each sampler, so that nothing comes from the cache in the first run.
            prompt[f"sigmas{steps}"] = demo_prompts.optimize_schedule(steps, search_seed=seed)
            # Core's SamplerCustom hands the schedule on as it is; KSampler (HSO) would give the sampler a copy.
            custom = demo_prompts.sampler_custom_prompt({}, sampler, batch_size=1)
            prompt["sampler"] = custom["sampler"]
            prompt[f"sample{steps}"] = custom["sample"]
            prompt[f"sample{steps}"]["inputs"]["sigmas"] = [f"sigmas{steps}", 0]
            prompt[f"save{steps}"] = save_latent(f"sample{steps}")["save"]
            after[f"text{steps}"] = custom_sigmas(sigmas=[f"sigmas{steps}", 0])
            after[f"show{steps}"] = show_text(f"text{steps}", 1)
        sampled = server.run(prompt)["outputs"]
        shown = server.run({**prompt, **after})["outputs"]  # the schedules come from the cache
        for steps in range(1, 11):
            (file,) = sampled[f"save{steps}"]["latents"]
            assert bool(demo_prompts.read_latents(server.fetch(file)).isfinite().all()), (sampler, steps)
            sigmas = parse_sigmas(shown[f"show{steps}"]["text"][0])
            expected = optimize_schedule(NETWORK, steps, Settings(seed=seed)).sigmas
            assert sigmas.tolist() == list(expected), (sampler, steps)
            assert len(sigmas) == steps + 1 and float(sigmas[-1]) == 0 and bool((sigmas.diff() < 0).all())


def test_denoise_keeps_the_number_of_steps(server: ComfyServer) -> None:
    for denoise in (0.9, 0.5, 0.1):
        sigmas = sigmas_of(server, demo_prompts.optimize_schedule(6, denoise, "sigma_max"))
        level = NETWORK.sigma_of_t(torch.tensor(denoise, dtype=torch.float64))
        assert len(sigmas) == 7 and float(sigmas[0]) == pytest.approx(float(level), rel=1e-6)
        assert len(sigmas_of(server, demo_prompts.basic_scheduler("hso", 6, denoise))) == 7


def test_a_shared_schedule_gives_the_same_picture_without_a_search(server: ComfyServer) -> None:
    searched = demo_prompts.sample(server, demo_prompts.hso_ksampler_prompt(demo_prompts.optimize_schedule(5)))
    text = ", ".join(f"{s:.9g}" for s in optimize_schedule(NETWORK, 5).sigmas)
    held = demo_prompts.sample(server, demo_prompts.hso_ksampler_prompt(custom_sigmas(text)))
    assert torch.equal(held, searched)


def test_the_second_run_comes_from_the_cache(server: ComfyServer) -> None:
    prompt = demo_prompts.hso_ksampler_prompt(demo_prompts.optimize_schedule(7, search_seed=12))
    server.run(prompt)
    assert {"sigmas", "sample"} <= taken_from_cache(server, prompt)
    prompt["sample"]["inputs"]["seed"] = 99  # another picture, the same schedule
    cached = taken_from_cache(server, prompt)
    assert "sigmas" in cached and "sample" not in cached


def test_text_in_custom_sigmas_spares_the_search(server: ComfyServer) -> None:
    """The connected node is lazy: with text it does not run at all, not even to fail."""
    failing = demo_prompts.optimize_schedule(5, rho_low=9.0, rho_high=3.0)
    prompt = {
        **demo_prompts.galaxy_nodes(1),
        "source": failing,
        "text": custom_sigmas("3 2 1 0", sigmas=["source", 0]),
        "show": show_text("text", 1),
    }
    assert server.texts(server.run(prompt)) == ["3, 2, 1, 0"]


@pytest.mark.parametrize(
    "search", [{"steps": 9, "backend": "scipy"}, {"steps": 10_000, "denoise": 0.5}], ids=["scipy", "torch"]
)
def test_a_search_can_be_cancelled(server: ComfyServer, search: dict) -> None:
    """Both take many seconds: the paper's own procedure, and a schedule of ten thousand steps."""
    prompt = {
        **demo_prompts.galaxy_nodes(1),
        "source": demo_prompts.optimize_schedule(**search, search_seed=5),
        "show": show_text("source", 1),
    }
    prompt_id = server.queue(prompt)

    def cancel() -> None:
        server.wait_until_running()
        time.sleep(0.5)  # into the search
        server.interrupt()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(PromptInterrupted) as interrupted:
        server.wait(prompt_id)
    thread.join()
    assert interrupted.value.node_type == "HSOOptimizeSchedule"
    assert len(sigmas_of(server, demo_prompts.optimize_schedule(9, search_seed=5))) == 10  # the server goes on


def problem(server: ComfyServer, **nodes: dict) -> str:
    """What the server says of a workflow that it refuses or that fails."""
    try:
        server.run({**demo_prompts.galaxy_nodes(1), **nodes})
    except PromptRejected as rejected:
        return str(rejected)
    except PromptFailed as failed:
        return failed.exception_message
    raise AssertionError("the workflow ran")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3, nan, 0", "'nan', value 2, is not a number (not finite)"),
        ("3, two, 0", "'two', value 2, is not a number; write sigmas like 14.6"),
        ("3, 4, 0", "value 2 (4) is not below value 1 (3); sigmas must fall at every step"),
        ("", "Custom Sigmas (HSO): there are no sigmas; type some into text, or connect some"),
    ],
)
def test_wrong_text_is_refused_with_its_reason(server: ComfyServer, text: str, message: str) -> None:
    assert message in problem(server, text=custom_sigmas(text), show=show_text("text", 1))


def test_a_wrong_schedule_never_runs_silently(server: ComfyServer) -> None:
    demo_prompts.sample(server, demo_prompts.hso_ksampler_prompt(custom_sigmas("700 3 0")))
    message = "KSampler (HSO): the schedule starts at sigma 700, above the largest of this model, 148.4"
    assert message in server.log()
    prompt = demo_prompts.hso_ksampler_prompt(custom_sigmas("700 3 0"))
    prompt["save"] = save_latent("sample")["save"]
    prompt["flow"] = node("ModelSamplingSD3", model=["model", 0], shift=3.0)
    prompt["sample"]["inputs"]["model"] = ["flow", 0]
    message = problem(server, **prompt)
    assert "KSampler (HSO): the schedule starts at sigma 700, but the largest of this flow model is 1" in message


def test_a_flow_schedule_on_an_empty_latent_of_another_model_is_announced(server: ComfyServer) -> None:
    demo_prompts.sample(server, demo_prompts.hso_ksampler_prompt(custom_sigmas("1 0.8 0.4 0")))
    message = (
        "KSampler (HSO): the schedule starts at sigma 1, which is 7% of this model's noise (its largest sigma is 148"
    )
    assert message in server.log()


@pytest.mark.parametrize(("steps", "message"), [(0, "smaller than min of 1"), (100_000, "bigger than max of 10000")])
def test_step_counts_out_of_range_are_refused(server: ComfyServer, steps: int, message: str) -> None:
    source = demo_prompts.optimize_schedule(steps)
    assert message in problem(server, source=source, show=show_text("source", 1))


def test_bad_settings_fail_with_the_nodes_name(server: ComfyServer) -> None:
    source = demo_prompts.optimize_schedule(5, t_min_high=0.5, t_max_low=0.3)
    message = problem(server, source=source, show=show_text("source", 1))
    assert message.startswith("Scheduler (HSO): t_min goes up to 0.5 and t_max down to 0.3; t_min must stay below")


def test_the_server_lives_on_after_all_this(server: ComfyServer) -> None:
    assert not [line for line in server.log().splitlines() if "IMPORT FAILED" in line and "hso" in line]
    assert len(sigmas_of(server, demo_prompts.optimize_schedule(5))) == 6
