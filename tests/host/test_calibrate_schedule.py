"""Calibrate Sigmas on a real network in a real ComfyUI in this process."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

import host_import
import workbench

host_import.import_host()

import comfy.k_diffusion.sampling  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.samplers  # noqa: E402
import comfy.utils  # noqa: E402
from comfy_execution.caching import CacheKeySetInputSignature  # noqa: E402
from comfy_execution.graph import DynamicPrompt  # noqa: E402
from comfy_extras import nodes_custom_sampler  # noqa: E402
from execution import IsChangedCache  # noqa: E402

import galaxies  # noqa: E402
from hso_core.calibration import BUDGETS  # noqa: E402
from hso_core.calibration.calibrate import Plan  # noqa: E402
from hso_core.calibration.reference import reference_steps  # noqa: E402
from node_runs import evaluations_of, progress  # noqa: E402

STEPS, SAMPLER = 5, "dpmpp_2m"


@pytest.fixture(scope="module")
def nodes(pack):
    """The pack's modules, by name."""
    return lambda name: importlib.import_module(f"{pack.__name__}.nodes.{name}")


@pytest.fixture(scope="module")
def user_folder(nodes, tmp_path_factory):
    """ComfyUI's user folder of these tests."""
    paths, folder = nodes("host.files").folder_paths, tmp_path_factory.mktemp("user")
    usual = paths.get_user_directory()
    paths.set_user_directory(str(folder))
    yield folder
    paths.set_user_directory(usual)


@pytest.fixture(scope="module")
def model():
    return galaxies.galaxy_model()


@pytest.fixture(scope="module")
def calibrate(node_classes, model, user_folder):
    """A function that executes the node with the values given and otherwise quick ones."""

    def run(**values):
        prompt = galaxies.conditioning()
        usual = {
            "steps": STEPS, "cfg": 1.0, "sampler_name": SAMPLER, "budget": "quick", "seed": 0, "remembered": "reuse",
            "latent_image": galaxies.galaxy_latent(), "model": model, "positive": prompt, "negative": prompt,
        }  # fmt: skip
        with torch.inference_mode():
            return node_classes["HSOCalibrateSchedule"].execute(**{**usual, **values})

    return run


@pytest.fixture(scope="module")
def first(calibrate, model):
    """The first calibration: its output, what the progress bar showed, how many evaluations it took."""
    shown = []
    with evaluations_of(model) as evaluations, progress(lambda value, total: shown.append((value, total))):
        output = calibrate()
    return output, shown, sum(evaluations)


@pytest.fixture(scope="module")
def picture(nodes, model):
    """The LATENT of a galaxy."""
    host, prompt = nodes("host"), galaxies.conditioning()
    run = nodes("measuring.run").SamplingRun(
        host.guider(model, prompt, prompt, 1.0), host.sampler("dpmpp_2m"), galaxies.galaxy_latent()
    )
    return {
        "samples": run(
            comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "karras", 20), [4]
        ).latents
    }


def errors(nodes, model, schedules, seeds):
    """Median RMSE of each schedule to the converged pictures of seeds that the search has not seen."""
    host, prompt = nodes("host"), galaxies.conditioning()
    run = nodes("measuring.run").SamplingRun(
        host.guider(model, prompt, prompt, 1.0), host.sampler(SAMPLER), galaxies.galaxy_latent()
    )
    fine = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "exponential", 60)
    limit = run.with_sampler(host.sampler("uni_pc"))(fine, seeds).latents
    return [
        float((run(sigmas, seeds).latents - limit).square().flatten(1).mean(1).sqrt().median()) for sigmas in schedules
    ]


@pytest.mark.slow
def test_the_quick_budget_already_beats_every_scheduler_of_the_list(first, nodes, model):
    output, _, evaluations = first
    sigmas, report = output.args
    assert evaluations <= 300
    assert sigmas.shape == (STEPS + 1,) and sigmas.dtype == torch.float32 and sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()
    assert nodes("measuring.calibrate").print_sigmas(sigmas) in report
    schedules = nodes("measuring.inputs").selectable_schedules(model, STEPS, nodes("host").sampler(SAMPLER))
    calibrated, *others = errors(nodes, model, [sigmas, *schedules.values()], range(1000, 1024))
    assert calibrated < min(others)
    (plot,) = output.ui["hso_plot"]
    assert plot["schedules"][0]["name"] == "calibrated" and len(plot["schedules"]) > 2
    json.dumps(plot, allow_nan=False)


def test_progress_goes_up_to_the_budget(first):
    _, shown, _ = first
    values = [value for value, _ in shown]
    assert values == sorted(values) and len(shown) > 50 and all(value <= total <= 300 for value, total in shown)


def test_the_result_is_remembered(first, calibrate, model, user_folder):
    with evaluations_of(model) as evaluations:
        again = calibrate()
    assert not evaluations and torch.equal(again.args[0], first[0].args[0]) and again.args[1] == first[0].args[1]
    assert list((user_folder / "hso" / "calibrations").iterdir())


def test_a_number_over_a_link_may_be_of_any_kind(first, calibrate, model):
    """What is remembered for the widgets' numbers is found with numpy's."""
    with evaluations_of(model) as evaluations:
        again = calibrate(steps=np.int64(STEPS), seed=np.uint64(0), cfg=np.float32(1), denoise=np.float32(1))
    assert not evaluations and torch.equal(again.args[0], first[0].args[0])


MASK = torch.ones(1, 1, 32, 32)


@pytest.mark.parametrize(
    "other",
    [
        {"steps": 4},
        {"cfg": 2.0},
        {"sampler_name": "euler"},
        {"budget": "normal"},
        {"seed": 1},
        {"latent_image": {"samples": torch.ones(1, 1, 32, 32)}},
        {"latent_image": {"samples": torch.zeros(1, 1, 32, 32), "noise_mask": MASK}},
        {"positive": [[torch.ones(1, 1, 8), {"pooled_output": torch.zeros(1, 8)}]]},
    ],
    ids=["steps", "cfg", "sampler", "budget", "seed", "picture", "mask", "prompt"],
)
def test_with_any_other_input_the_search_begins(first, calibrate, nodes, monkeypatch, other):
    class Searched(Exception):
        pass

    def search(*_):
        raise Searched

    monkeypatch.setattr(nodes("measuring.calibrate"), "_search", search)
    calibrate()
    with pytest.raises(Searched):
        calibrate(**other)


def test_the_seed_is_the_first_of_the_seeds_that_are_sampled(calibrate, nodes, monkeypatch):
    host, seeds = nodes("host"), []
    noise_of_seed = host.noise_of_seed
    monkeypatch.setattr(
        host, "noise_of_seed", lambda latent, seed, *index: seeds.append(seed) or noise_of_seed(latent, seed, *index)
    )
    calibrate(seed=1234)
    assert len(seeds) > 10 and set(seeds) == set(range(1234, 1234 + len(set(seeds))))


@pytest.mark.slow
def test_another_process_finds_the_remembered_result(first, user_folder):
    program = f"""
        import asyncio, sys
        sys.path.insert(0, {str(workbench.REPOSITORY / "tests" / "support")!r})
        import host_import, workbench
        host_import.import_host()
        import folder_paths, torch, nodes, galaxies
        folder_paths.set_user_directory({str(user_folder)!r})
        assert asyncio.run(nodes.load_custom_node(str(workbench.REPOSITORY)))
        model, prompt = galaxies.galaxy_model(), galaxies.conditioning()
        def fail(*_): raise AssertionError("the network was run")
        model.model.diffusion_model.register_forward_hook(fail)
        with torch.inference_mode():
            output = nodes.NODE_CLASS_MAPPINGS["HSOCalibrateSchedule"].execute(
                steps={STEPS}, cfg=1.0, sampler_name={SAMPLER!r}, budget="quick", seed=0, remembered="reuse",
                latent_image=galaxies.galaxy_latent(), model=model, positive=prompt, negative=prompt)
        print("sigmas", output.args[0].tolist())
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert f"sigmas {first[0].args[0].tolist()}" in done.stdout, done.stderr[-2000:]


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:-9], lambda whole: b"nonsense" * 99])
def test_a_damaged_file_is_announced_and_counts_as_none(nodes, model, user_folder, caplog, damage):
    store, noise = nodes("measuring.calibration_store"), nodes("host").noise_schedule(model)
    result = store.StoredCalibration(torch.tensor([9.0, 1.0, 0.0]), "searched", "A table.", 300, True)
    store.store("f" * 32, result)
    kept = store.recall("f" * 32, noise)
    assert torch.equal(kept.sigmas, result.sigmas) and (kept.report, kept.complete) == (result.report, True)
    file = store.SHELF.file_of("f" * 32)
    file.write_bytes(damage(file.read_bytes()))
    assert store.recall("f" * 32, noise) is None
    assert "a remembered calibration cannot be used and is made anew" in caplog.text
    file.unlink()


@pytest.fixture
def told(nodes, monkeypatch) -> list:
    """What the page is told of cancelled searches."""
    events: list = []
    monkeypatch.setattr(nodes("host"), "tell_page", lambda event, **what: events.append((event, what)))
    return events


def test_cancel_keeps_the_best_so_far_and_the_search_can_go_on_from_it(calibrate, model, told):
    def cancel(value, total):
        if value >= 0.6 * total:
            comfy.model_management.interrupt_current_processing()

    try:
        interrupted = pytest.raises(comfy.model_management.InterruptProcessingException)
        with progress(cancel), evaluations_of(model) as evaluations, interrupted:
            calibrate(seed=7)
        assert 150 < sum(evaluations) < 300
        assert told == [("hso_cancelled", {"evaluations": sum(evaluations), "budget": 300, "kept": "schedule"})]
        assert not comfy.model_management.processing_interrupted()
    finally:
        comfy.model_management.interrupt_current_processing(False)
    with evaluations_of(model) as evaluations:
        sigmas, report = calibrate(seed=7).args
    assert not evaluations and "The search was cancelled after" in report
    with evaluations_of(model) as evaluations:
        continued, report = calibrate(seed=7, remembered="search again").args
    remembered = int(re.search(r", (\d+) of them remembered from an earlier search", report)[1])  # its reference
    assert remembered > 0 and sum(evaluations) + remembered > 200
    assert "cancelled" not in report and len(continued) == len(sigmas)


def test_a_new_search_that_is_cancelled_does_not_replace_a_complete_result(first, calibrate, told):
    whole = calibrate()

    def cancel(value, total):
        if value >= 0.6 * total:
            comfy.model_management.interrupt_current_processing()

    try:
        with progress(cancel), pytest.raises(comfy.model_management.InterruptProcessingException):
            calibrate(remembered="search again")
    finally:
        comfy.model_management.interrupt_current_processing(False)
    again = calibrate()
    assert [what["kept"] for _, what in told] == ["earlier"]
    assert torch.equal(again.args[0], whole.args[0]) and again.args[1] == whole.args[1]


def test_an_earlier_result_takes_part_in_a_new_search_however_bad_it_looks(first, calibrate, nodes, monkeypatch):
    given_before = []
    module = nodes("measuring.calibrate")
    search = module.calibration.calibrate
    monkeypatch.setattr(
        module.calibration,
        "calibrate",
        lambda *given, **named: given_before.append(named["earlier"]) or search(*given, **named),
    )
    calibrate(remembered="search again")
    assert torch.equal(given_before[0], first[0].args[0])


def test_only_a_search_anew_is_never_served_from_comfyuis_cache(node_classes):
    """Nor what hangs from it, because its schedule may be another."""

    def keys(remembered):
        linked = {name: ["source", 0] for name in ("model", "positive", "negative", "latent_image")}
        values = {"steps": 5, "cfg": 1.0, "sampler_name": SAMPLER, "budget": "quick", "seed": 0}
        calibrate = {"class_type": "HSOCalibrateSchedule", "inputs": {**linked, **values, "remembered": remembered}}
        sampler = {"class_type": "HSOKSampler", "inputs": {**linked, "sigmas": ["calibrate", 0]}}
        source = {"class_type": "EmptyLatentImage", "inputs": {"width": 64}}
        prompt = DynamicPrompt({"source": source, "calibrate": calibrate, "sampler": sampler})
        found = CacheKeySetInputSignature(prompt, [], IsChangedCache("prompt", prompt, None))
        asyncio.run(found.add_keys(["source", "calibrate", "sampler"]))
        return found.keys

    assert keys("reuse") == keys("reuse")
    first, second = keys("search again"), keys("search again")
    assert [name for name in first if first[name] == second[name]] == ["source"]
    over_a_link = ["source", 1]
    assert keys(over_a_link) == keys(over_a_link)


def test_a_cancellation_before_anything_is_measured_keeps_nothing(calibrate, model, user_folder, told, caplog):
    caplog.set_level("INFO")
    before = set((user_folder / "hso" / "calibrations").glob("*"))

    def cancel(*_):
        comfy.model_management.interrupt_current_processing()

    hook = model.model.diffusion_model.register_forward_hook(cancel)
    try:
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            calibrate(seed=8)
    finally:
        hook.remove()
        comfy.model_management.interrupt_current_processing(False)
    assert set((user_folder / "hso" / "calibrations").glob("*")) == before
    assert [what["kept"] for _, what in told] == ["nothing"]
    assert "of 300 evaluations; nothing was finished yet, so nothing is kept." in caplog.text


@pytest.fixture
def new_user(nodes, tmp_path, monkeypatch):
    """A function that gives the test a user folder of its own, empty."""

    def begin(name):
        monkeypatch.setattr(nodes("host"), "user_folder", lambda: tmp_path / name)

    return begin


@pytest.fixture(scope="module")
def searched(calibrate, nodes, tmp_path_factory):
    """A function that gives a user folder in which one search with these values has been made."""
    folders = {}

    def folder_after(**values):
        key = str(values)
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("searched")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(nodes("host"), "user_folder", lambda: folders[key])
                calibrate(**values)
        return folders[key]

    return folder_after


@pytest.mark.slow
@pytest.mark.parametrize(
    ("earlier", "later", "seeds"),
    [
        ({}, {"sampler_name": "euler"}, 6),
        ({}, {"sampler_name": "ddim"}, 6),
        ({}, {"steps": 4}, 6),
        ({}, {"budget": "normal"}, 6),
        ({"budget": "normal"}, {"budget": "normal", "sampler_name": "euler"}, 30),
    ],
    ids=str,
)
def test_a_later_search_takes_the_reference_runs_from_memory(
    calibrate, model, searched, tmp_path, new_user, earlier, later, seeds
):
    """Of at least so many seeds, for the same schedule."""
    shutil.copytree(searched(**earlier), tmp_path / "later")
    new_user("later")
    with evaluations_of(model) as evaluations:
        sigmas, report = calibrate(**later).args
    new_user("first")
    with evaluations_of(model) as all_evaluations:
        anew, _ = calibrate(**later).args

    made, alone = sum(evaluations), sum(all_evaluations)
    print(f"after {earlier or 'quick'}, {later}: {made} evaluations in place of {alone}")
    assert alone - made >= seeds * reference_steps(5, "vp")
    assert torch.equal(sigmas, anew)
    assert f"{alone} evaluations in all, {alone - made} of them remembered from an earlier search" in report


def another_packs(model, x, sigmas, extra_args, callback, disable):
    """A sampler of which nothing is known: euler."""
    return comfy.k_diffusion.sampling.sample_euler(model, x, sigmas, extra_args, callback, disable)


OF_ANOTHER_PACK = comfy.samplers.KSAMPLER(another_packs)


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"cfg": 2.0}, {"seed": 1}, {"sampler": OF_ANOTHER_PACK}, {"steps": 6}], ids=list)
def test_another_reference_is_not_taken_from_memory(calibrate, model, searched, tmp_path, new_user, other):
    shutil.copytree(searched(), tmp_path / "one")
    new_user("one")
    with evaluations_of(model) as evaluations:
        _, report = calibrate(**other).args
    assert sum(evaluations) > 250 and "remembered" not in report


def test_a_search_that_is_cancelled_before_it_measures_leaves_its_reference(calibrate, model, new_user, told):
    plan = Plan.of(BUDGETS["quick"], 5, "vp")

    def cancel(value, _total):
        if value >= plan.seeds * plan.reference_steps:
            comfy.model_management.interrupt_current_processing()

    new_user("one")
    try:
        interrupted = pytest.raises(comfy.model_management.InterruptProcessingException)
        with progress(cancel), evaluations_of(model) as begun, interrupted:
            calibrate()
    finally:
        comfy.model_management.interrupt_current_processing(False)
    assert [what["kept"] for _, what in told] == ["references"]
    with evaluations_of(model) as evaluations:
        _, report = calibrate().args
    assert f", {sum(begun)} of them remembered from an earlier search" in report
    assert 200 < sum(evaluations) <= 300 - sum(begun)


def test_a_damaged_reference_is_announced_and_made_anew(calibrate, new_user, tmp_path, caplog):
    new_user("one")
    calibrate()
    (file,) = (tmp_path / "one" / "hso" / "references").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    _, report = calibrate(steps=4).args
    assert "remembered" not in report
    assert caplog.text.count("a remembered reference cannot be used and is made anew") == 1
    _, report = calibrate(steps=4, remembered="search again").args
    assert "remembered from an earlier search" in report


def test_prompts_and_cfg_reach_the_guider(nodes, model):
    positive, negative = (
        [[torch.full((1, 1, 8), value), {"pooled_output": torch.zeros(1, 8)}]] for value in (1.0, 2.0)
    )
    run = nodes("measuring.inputs").open_run(galaxies.galaxy_latent(), 3.0, "euler", model, positive, negative)
    found = {name: float(conds[0]["cross_attn"].mean()) for name, conds in run.guider.original_conds.items()}
    assert found == {"positive": 1.0, "negative": 2.0} and run.guider.cfg == 3.0


def test_a_guider_and_a_sampler_with_options_take_the_place_of_the_widgets(calibrate, nodes, model, monkeypatch):
    """Such a sampler is tried out first, in three runs of 4 steps, which the budget pays for and the report counts.

    As it does for a pair of the reference, with which it is found out whether seeds leave each other alone.
    """
    budgets, search = [], nodes("measuring.calibrate").calibration.calibrate

    def watched(*given, **named):
        budgets.append(given[5])
        return search(*given, **named)

    monkeypatch.setattr(nodes("measuring.calibrate").calibration, "calibrate", watched)
    guider = nodes_custom_sampler.BasicGuider.execute(model, galaxies.conditioning()).args[0]
    sampler = comfy.samplers.ksampler("lms", {"order": 2})
    widgets = {"model": None, "positive": None, "negative": None, "sampler_name": "euler_ancestral"}
    with evaluations_of(model) as evaluations:
        sigmas, report = calibrate(guider=guider, sampler=sampler, **widgets).args
    assert len(sigmas) == STEPS + 1 and "lms, 5 steps" in report and sum(evaluations) <= 300
    assert (
        budgets == [300 - 3 * 4 - 2 * reference_steps(5, "vp")] and f"; {sum(evaluations)} evaluations in all" in report
    )


def test_the_guidance_that_is_calibrated_is_the_users(calibrate, model):
    guided = galaxies.guided(model)
    weak, strong = (calibrate(model=guided, cfg=cfg).args[0] for cfg in (1.0, 3.0))
    assert not torch.equal(weak, strong)


@pytest.mark.slow
def test_with_denoise_the_picture_in_latent_image_is_changed(calibrate, nodes, model, picture):
    """KSampler's start for a denoise is that of its scheduler; here all start at the noise of t = denoise."""
    values = {"latent_image": picture, "denoise": 0.4, "sampler_name": "uni_pc"}
    output = calibrate(**values)
    sigmas, report = output.args
    start = nodes("host").noise_schedule(model).sigma_of_denoise(0.4)
    assert sigmas.shape == (STEPS + 1,) and float(sigmas[0]) == pytest.approx(start, rel=1e-6) and sigmas[-1] == 0
    assert f"5 steps from sigma {start:.4g} on the picture in latent_image" in report
    (plot,) = output.ui["hso_plot"]
    assert all(curve["sigmas"][0] == pytest.approx(start, rel=1e-4) for curve in plot["schedules"])
    again = calibrate(**values)
    assert torch.equal(again.args[0], sigmas) and again.args[1] == report
    assert not torch.equal(calibrate(**{**values, "denoise": 0.7}).args[0], sigmas)

    host, prompt = nodes("host"), galaxies.conditioning()
    run = nodes("measuring.run").SamplingRun(host.guider(model, prompt, prompt, 1.0), host.sampler("uni_pc"), picture)
    fine = torch.cat([torch.linspace(start**0.2, 0.14**0.2, 60) ** 5, torch.zeros(1)])
    limit = run(fine, range(1000, 1024)).latents

    def error(schedule):
        return float((run(schedule, range(1000, 1024)).latents - limit).square().flatten(1).mean(1).sqrt().mean())

    at_hand = nodes("measuring.inputs").selectable_schedules(model, STEPS, host.sampler("uni_pc"), 0.4)
    assert {"hso", "karras", "karras (KSampler)", "simple", "normal"} <= set(at_hand)
    errors = sorted(error(schedule) for schedule in at_hand.values())
    assert error(sigmas) < min(1.05 * errors[0], 0.6 * errors[len(errors) // 2])


@pytest.mark.parametrize("node", ["HSOCalibrateSchedule", "HSOCompareSchedules"])
def test_denoise_without_a_picture_is_refused(node, calibrate, node_classes, model):
    prompt = galaxies.conditioning()
    usual = (
        {"schedulers": "hso", "pictures": 1, "theme": "dark"}
        if node == "HSOCompareSchedules"
        else {"budget": "quick", "remembered": "reuse"}
    )
    with pytest.raises(ValueError, match="denoise is 0.5, but latent_image is empty; connect the latent of a picture"):
        node_classes[node].execute(
            steps=4, cfg=1.0, sampler_name=SAMPLER, seed=0, latent_image=galaxies.galaxy_latent(), denoise=0.5,
            model=model, positive=prompt, negative=prompt, **usual,
        )  # fmt: skip


def test_a_budget_that_measures_nothing_is_refused(calibrate, nodes, monkeypatch):
    monkeypatch.setitem(nodes("measuring.calibrate").BUDGETS, "quick", 100)
    with pytest.raises(ValueError, match="a budget of 100 evaluations is too small for 99 steps; choose a larger one"):
        calibrate(steps=99, sampler_name="heun")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sampler_name": "dpmpp_2m_sde"}, "the sampler dpmpp_2m_sde adds random noise in its steps"),
        ({"sampler_name": "dpm_fast"}, "the sampler dpm_fast chooses its own steps"),
        ({"sampler_name": "euler_cfg_pp"}, "with more and more steps the picture of the sampler euler_cfg_pp goes on"),
        ({"steps": 500}, "steps is 500; it must be a whole number from 2 to 100"),
        ({"steps": -1}, "steps is -1; it must be a whole number from 2 to 100"),
        ({"steps": 6.5}, "steps is 6.5; it must be a whole number from 2 to 100"),
        ({"seed": True}, "seed is True; it must be a whole number from 0 to "),
        ({"cfg": "8"}, "cfg is '8'; it must be a number"),
        ({"denoise": 0.0}, "denoise is 0; it must be between 0.01 and 1"),
        ({"model": None}, "model must be connected, or a guider in place of all three"),
        ({"positive": None, "negative": None}, "positive and negative must be connected"),
        ({"budget": "huge"}, "budget is 'huge'; it must be one of quick, normal, thorough"),
        ({"remembered": "maybe"}, "remembered is 'maybe'; it must be one of reuse, search again"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_in_one_sentence(calibrate, model, values, message):
    refused = pytest.raises(ValueError, match=f"^Calibrate Sigmas .HSO.: {message}")
    with evaluations_of(model) as evaluations, refused:
        calibrate(**values)
    assert not evaluations


@pytest.mark.parametrize(("node", "most"), [("HSOCalibrateSchedule", 14), ("HSOCompareSchedules", 60)])
def test_a_guider_with_a_cfg_for_each_step_is_refused_with_the_step_counts(node_classes, model, node, most):
    """KJNodes' ScheduledCFGGuidance: its own assertion, from inside the first run, names neither."""
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(galaxies.conditioning(), galaxies.conditioning())
    guider.set_cfg([3.0, 2.0, 1.5, 1.0])
    usual = {"budget": "quick", "remembered": "reuse"}
    if node == "HSOCompareSchedules":
        usual = {"schedulers": "karras", "pictures": 1, "theme": "dark"}
    name = node_classes[node].define_schema().display_name
    message = (
        f"{name}: the guider has a list of 4 cfg values, one for each step, but the model is sampled with 4 and {most} "
        "steps here; use a guider with one cfg for all steps"
    )
    with evaluations_of(model) as evaluations, pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        node_classes[node].execute(
            steps=4, cfg=1.0, sampler_name="euler", seed=0, latent_image=galaxies.galaxy_latent(), guider=guider,
            **usual,
        )  # fmt: skip
    assert not evaluations


def test_a_distilled_model_is_announced(first, calibrate, nodes, model):
    from comfy_extras import nodes_model_advanced

    warning = nodes("measuring.inputs").distilled_warning
    few_levels = model.clone()
    few_levels.add_object_patch("model_sampling", nodes_model_advanced.ModelSamplingDiscreteDistilled())
    assert "distilled" in warning(few_levels) and warning(model) == ""
    (lcm,) = nodes_model_advanced.ModelSamplingDiscrete().patch(model, "lcm", False)
    announced, usual = calibrate(model=lcm, steps=4), first[0]
    assert announced.args[1].startswith("**This model was distilled (LCM)") and "distilled" not in usual.args[1]
    assert "distilled" in announced.ui["hso_plot"][0]["note"] and not usual.ui["hso_plot"][0].get("note")


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "uni_pc"])
def test_the_schedules_to_choose_from_are_those_of_the_lists(nodes, model, sampler):
    host = nodes("host")
    found = nodes("measuring.inputs").selectable_schedules(model, 6, host.sampler(sampler))
    assert {"hso", "karras", "exponential", "simple", "beta", "normal"} <= set(found)
    assert all(len(sigmas) == 7 and sigmas[-1] == 0 and (sigmas.diff() < 0).all() for sigmas in found.values())
    assert ("karras (KSampler)" in found) == (sampler == "uni_pc")
    if sampler == "uni_pc":
        expected = comfy.samplers.KSampler(model, 6, "cpu", sampler, "karras", 1.0).sigmas
        assert torch.equal(found["karras (KSampler)"], expected)


@pytest.mark.parametrize("made", [KeyError("AYS"), AssertionError(), Exception("broken"), [3.0, 1.0, 0.0], None])
def test_a_scheduler_of_another_pack_that_fails_is_left_out(nodes, model, monkeypatch, made):
    def scheduler(sampling, steps):
        if isinstance(made, Exception):
            raise made
        return made

    handler = comfy.samplers.SchedulerHandler(scheduler)
    monkeypatch.setitem(comfy.samplers.SCHEDULER_HANDLERS, "theirs", handler)
    monkeypatch.setattr(comfy.samplers, "SCHEDULER_NAMES", [*comfy.samplers.SCHEDULER_NAMES, "theirs"])
    host = nodes("host")
    found = nodes("measuring.inputs").selectable_schedules(model, 6, host.sampler("uni_pc"))
    assert "karras" in found and not [name for name in found if name.startswith("theirs")]


def test_a_scheduler_that_starts_above_the_model_is_left_out(nodes, model, monkeypatch):
    far = comfy.samplers.SchedulerHandler(lambda sampling, steps: torch.linspace(700, 0, steps + 1))
    monkeypatch.setitem(comfy.samplers.SCHEDULER_HANDLERS, "beta", far)
    found = nodes("measuring.inputs").selectable_schedules(model, 6, nodes("host").sampler("euler"))
    assert "karras" in found and "beta" not in found


def test_a_cancellation_among_the_schedulers_is_no_failure(nodes, model, monkeypatch):
    def cancelled(sampling, steps):
        raise comfy.model_management.InterruptProcessingException

    monkeypatch.setitem(comfy.samplers.SCHEDULER_HANDLERS, "simple", comfy.samplers.SchedulerHandler(cancelled))
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        nodes("measuring.inputs").selectable_schedules(model, 6, nodes("host").sampler("euler"))
