"""Calibrate Sampler on a real network in a real ComfyUI in this process."""

from __future__ import annotations

import importlib
import json

import pytest
import torch

import host_import

host_import.import_host()

import comfy.model_management  # noqa: E402
import comfy.samplers  # noqa: E402

import galaxies  # noqa: E402
import tiny_models  # noqa: E402
from hso_core.calibration import usual  # noqa: E402
from node_runs import evaluations_of, progress  # noqa: E402

STEPS = 6
PICTURE = {"samples": torch.ones(1, 1, 32, 32)}


@pytest.fixture(scope="module")
def nodes(pack):
    """The pack's modules, by name."""
    return lambda name: importlib.import_module(f"{pack.__name__}.nodes.{name}")


@pytest.fixture(scope="module", autouse=True)
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
def calibrate(node_classes, model):
    """A function that executes the node with the values given and otherwise quick ones."""

    def run(**values):
        prompt = galaxies.conditioning()
        usual = {
            "steps": STEPS, "cfg": 1.0, "budget": "quick", "seed": 0, "remembered": "reuse",
            "latent_image": galaxies.galaxy_latent(), "model": model, "positive": prompt, "negative": prompt,
        }  # fmt: skip
        with torch.inference_mode():
            return node_classes["HSOCalibrateSampler"].execute(**{**usual, **values})

    return run


@pytest.fixture(scope="module")
def first(calibrate, model):
    """The first calibration: its output, what the progress bar showed, how many evaluations it took."""
    shown = []
    with evaluations_of(model) as evaluations, progress(lambda value, total: shown.append((value, total))):
        output = calibrate()
    return output, shown, sum(evaluations)


def sampling(nodes, model, sampler):
    host, prompt = nodes("host"), galaxies.conditioning()
    return nodes("measuring.run").SamplingRun(
        host.guider(model, prompt, prompt, 1.0), sampler, galaxies.galaxy_latent()
    )


@pytest.mark.slow
def test_the_quick_budget_already_beats_every_pair_on_seeds_that_it_has_not_seen(first, nodes, model):
    """By the median; the mean of so few seeds is that of the rare bright ones.

    Pairs that a quarter of the seeds shows to be far behind are not run on the others.
    """
    (sampler, sigmas, _), seeds, host = first[0].args, range(1000, 1032), nodes("host")
    fine = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "exponential", 60)
    limit = sampling(nodes, model, host.sampler("uni_pc"))(fine, seeds).latents

    def error(name, schedule, count=None):
        found = sampling(nodes, model, name)(schedule, seeds[:count]).latents
        return float((found - limit[:count]).square().flatten(1).mean(1).sqrt().median())

    named = nodes("measuring.calibrate_sampler").pairs_at_hand(model, STEPS).values()
    pairs = [(host.sampler(solver), schedule) for solver, schedule in named]
    rough = [error(*pair, len(seeds) // 4) for pair in pairs]
    others = [error(*pair) for pair, first_look in zip(pairs, rough, strict=True) if first_look < 1.5 * min(rough)]
    assert len(pairs) > 25 and len(others) > 3 and error(sampler, sigmas) < 0.9 * min(others)


def test_how_good_pairs_usually_are_is_known_by_the_names_that_they_have_here(nodes, model):
    names = nodes("measuring.calibrate_sampler").pairs_at_hand(model, STEPS).keys()

    assert len(names & usual.BEHIND.keys()) > 0.8 * len(names)  # a newer host may have further schedulers
    assert {"dpmpp_2m hso", "uni_pc exponential (KSampler)"} <= names


def test_the_budget_is_kept_and_shown(first):
    output, shown, evaluations = first
    values = [value for value, _ in shown]
    assert evaluations <= 300 and values == sorted(values) and all(value <= total <= 300 for value, total in shown)
    (plot,) = output.ui["hso_plot"]
    assert plot["schedules"][0]["name"] == "calibrated" and len(plot["schedules"]) > 2
    json.dumps(plot, allow_nan=False)


def test_the_report_holds_the_sampler_as_text(first, node_classes):
    sampler, sigmas, report = first[0].args
    text = report.split("```")[1]
    _, same_sigmas, kept = node_classes["HSOFittedSampler"].execute(text="", sampler=sampler).args
    assert text.strip() == kept and torch.equal(sigmas, same_sigmas)
    assert "% closer to the converged picture than" in report and "dpmpp_2m" in report


def test_the_result_is_remembered(first, calibrate, model, node_classes):
    with evaluations_of(model) as evaluations:
        again = calibrate()
    assert not evaluations and torch.equal(again.args[1], first[0].args[1]) and again.args[2] == first[0].args[2]
    texts = [
        node_classes["HSOFittedSampler"].execute(text="", sampler=args[0]).args[2]
        for args in (again.args, first[0].args)
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    "other",
    [
        {"steps": 4},
        {"cfg": 2.0},
        {"budget": "normal"},
        {"seed": 1},
        {"latent_image": {"samples": torch.ones(1, 1, 32, 32)}},
    ],
    ids=["steps", "cfg", "budget", "seed", "picture"],
)
def test_with_any_other_input_the_search_begins(first, calibrate, nodes, monkeypatch, other):
    class Searched(Exception):
        pass

    def search(*_):
        raise Searched

    monkeypatch.setattr(nodes("measuring.calibrate_sampler"), "_search", search)
    calibrate()
    with pytest.raises(Searched):
        calibrate(**other)


def test_a_schedules_calibration_shares_its_runs_with_many_steps(first, node_classes, model):
    prompt = galaxies.conditioning()
    with evaluations_of(model) as evaluations, torch.inference_mode():
        report = node_classes["HSOCalibrateSchedule"].execute(
            steps=STEPS, cfg=1.0, sampler_name="dpmpp_2m", budget="quick", seed=0, remembered="reuse",
            latent_image=galaxies.galaxy_latent(), model=model, positive=prompt, negative=prompt,
        ).args[1]  # fmt: skip
    assert "remembered from an earlier search" in report and sum(evaluations) < 280


def test_searching_again_begins_with_the_earlier_result(first, calibrate):
    report = calibrate(remembered="search again").args[2]
    assert "earlier result" in report


def test_cancel_keeps_the_best_so_far(calibrate, model):
    try:
        with (
            progress(lambda value, _: value >= 190 and comfy.model_management.interrupt_current_processing()),
            pytest.raises(comfy.model_management.InterruptProcessingException),
        ):
            calibrate(seed=77)
    finally:
        comfy.model_management.interrupt_current_processing(False)
    with evaluations_of(model) as evaluations:
        report = calibrate(seed=77).args[2]
    assert not evaluations and "The search was cancelled after " in report


def test_image_to_image_starts_at_the_noise_of_its_denoise(calibrate, nodes, model):
    picture = {"samples": torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))}
    _, sigmas, report = calibrate(denoise=0.5, steps=4, latent_image=picture).args
    assert float(sigmas[0]) == pytest.approx(nodes("host").noise_schedule(model).sigma_of_denoise(0.5), rel=1e-4)
    assert "on the picture in latent_image" in report


def test_picture_and_sound_get_one_sampler_that_is_nearer_for_both(calibrate, nodes, node_classes):
    """Each counts alike, in its own scale; the sampler takes such latents wherever ComfyUI does."""
    host, prompt, (model, latent) = nodes("host"), tiny_models.conditioning(), tiny_models.picture_and_sound()
    given = {"model": model, "positive": prompt, "negative": prompt, "latent_image": latent()}
    with evaluations_of(model) as evaluations:
        sampler, sigmas, report = calibrate(steps=4, **given).args
    made = sum(evaluations)
    assert made <= 300 and f"; {made} evaluations in all." in report, "those that found the scales are counted, too"
    assert "All parts of the latent count alike, each in its own scale." in report
    assert "latents of 4 x 8 x 8 and 2 x 16" in report

    def distances(sampler, schedule):
        """Of the parts, to the converged ones."""
        ends = []
        for name, steps in (
            (sampler, schedule),
            (host.sampler("dpmpp_2m"), host.scheduler_sigmas(model, "karras", 60)),
        ):
            with torch.inference_mode():
                out = node_classes["HSOKSampler"].execute(
                    seed=900, cfg=1.0, sampler_name="euler", sampler=name, sigmas=steps, **given
                )
            ends.append(out.args[0]["samples"].unbind())
        assert [tuple(part.shape) for part in ends[0]] == [(1, 4, 8, 8), (1, 2, 16)]
        return [float((one - other).square().mean().sqrt()) for one, other in zip(*ends, strict=True)]

    fitted, usual = (
        distances(sampler, sigmas),
        distances(host.sampler("euler"), host.scheduler_sigmas(model, "simple", 4)),
    )
    assert all(own < 0.7 * other for own, other in zip(fitted, usual, strict=True))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 500}, "steps is 500; it must be a whole number from 2 to 100"),
        ({"budget": "huge"}, "budget is 'huge'; it must be one of quick, normal, thorough"),
        ({"model": None}, "model must be connected, or a guider in place of all three"),
        ({"denoise": 0.5}, "denoise is 0.5, but latent_image is empty"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_in_one_sentence(calibrate, values, message):
    with pytest.raises(ValueError, match=f"^Calibrate Sampler .HSO.: {message}"):
        calibrate(**values)
