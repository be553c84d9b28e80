"""Calibrate Sampler on Gaussian data, where the truth is known, and with a budget that is watched."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from gaussian_run import GaussianRun, SteppedGaussianRun
from hso_core import named_schedule, optimize_schedule
from hso_core.calibration import BudgetSpent, calibrate_sampler, solver_bench
from hso_core.calibration.calibrate_sampler import MOST_SEEDS, SamplerPlan
from hso_core.calibration.generators import compact_schedule
from hso_core.calibration.outcome import EARLIER
from hso_core.calibration.reference import reference_steps
from hso_core.calibration.refine_solver import latents_of, ways_to_try
from hso_core.calibration.solver_bench import SolverBench
from hso_core.schedule.sigmas import SigmasError
from hso_core.solvers import LinearMultistep, known_solver

SD15, FLOW = named_schedule("sd15"), named_schedule("flow:3")
SCALES = torch.logspace(-1, 0.5, 48)


def pairs(noise, steps):
    schedules = {
        "hso": optimize_schedule(noise, steps).to_tensor(),
        "karras": compact_schedule(noise, steps, 7.0, 1.0, noise.sigma_min).float(),
    }
    solvers = ("dpmpp_2m", "uni_pc", "euler")
    return {f"{solver} {name}": (solver, sigmas) for solver in solvers for name, sigmas in schedules.items()}


def calibrated(noise, steps, budget, run=None, reference=None, **options):
    flow = noise.family == "flow"
    run, reference = run or SteppedGaussianRun(SCALES, flow), reference or GaussianRun(SCALES, "dpmpp_2m", flow)
    found = calibrate_sampler(run, reference, pairs(noise, steps), steps, noise, budget, **options)
    return found, run, reference


def error(solver, noise, seeds=range(900_000, 900_032)):
    flow = noise.family == "flow"
    latents = SteppedGaussianRun(SCALES, flow)(solver.sigmas, seeds, solver.stepper).latents.double()
    exact = GaussianRun(SCALES, flow=flow).exact(seeds, 1e6 if flow else SD15.sigma_max)
    return float((latents - exact).square().mean(1).sqrt().mean())


@pytest.mark.parametrize("noise, steps", [(SD15, 4), (FLOW, 5)], ids=["vp", "flow"])
def test_the_result_beats_every_pair_on_seeds_that_it_has_not_seen(noise, steps):
    found, run, reference = calibrated(noise, steps, 800)

    best = min(error(known_solver(*pair, noise), noise) for pair in pairs(noise, steps).values())
    assert error(found.solver, noise) < 0.7 * best
    assert found.is_fitted and found.gain < 0.8 and found.interval[0] <= found.gain <= found.interval[1]
    assert found.solver.steps == steps and found.solver.sigmas[-1] == 0 and found.best_candidate in pairs(noise, steps)
    assert run.evaluations + reference.evaluations == found.evaluations <= 800
    assert found.report().startswith("**") and "sampler and schedule of" in found.report()
    assert found.rows[0].sigmas.equal(found.solver.sigmas) and found.rows[0].shown_as == "calibrated"
    expected = dataclasses.replace(found, gain=1.1, typical_gain=1.05).report()
    assert expected.startswith("**Probably closer") and "% closer" not in expected


@pytest.mark.parametrize("steps, budget", [(1, 100), (2, 300), (5, 20), (5, 100), (5, 300), (4, 600), (12, 300)])
def test_the_budget_is_never_exceeded(budget, steps):
    found, run, reference = calibrated(SD15, steps, budget)

    assert run.evaluations + reference.evaluations == found.evaluations <= budget
    assert found.solver.steps == steps


def test_how_many_latents_are_run_together_changes_nothing():
    results = [calibrated(SD15, 4, 400, run=SteppedGaussianRun(SCALES, together=n))[0] for n in (1 << 30, 2)]

    assert results[0].solver.sigmas.allclose(results[1].solver.sigmas, rtol=1e-5)
    assert results[0].solver.weights.allclose(results[1].solver.weights, atol=1e-4)


def test_the_same_inputs_give_the_same_sampler():
    first, second = (calibrated(FLOW, 4, 400)[0].solver for _ in range(2))

    assert first.sigmas.equal(second.sigmas) and first.weights.equal(second.weights)


def test_remembered_reference_runs_spare_evaluations_and_change_nothing():
    """They are those of Calibrate Schedule, too: one class, one schedule of the reference."""
    fresh = calibrated(SD15, 4, 400)[0]

    again, run, reference = calibrated(SD15, 4, 400, remembered=fresh.references)

    assert reference.evaluations == 0 and again.remembered == fresh.evaluations - run.evaluations
    assert again.evaluations == fresh.evaluations and again.solver.weights.equal(fresh.solver.weights)


class Indifferent(SteppedGaussianRun):
    """Whatever is done, it predicts the same."""

    def denoise(self, y, s):
        return torch.ones_like(y) * self.scales


def test_where_nothing_is_better_the_best_pair_is_the_result():
    class Reference(GaussianRun):
        def denoise(self, y, s):
            return torch.ones_like(y) * self.scales + 0.01 * torch.cos(40 * y)  # nothing of which is seen in the noise

    found, _, _ = calibrated(SD15, 4, 400, run=Indifferent(SCALES), reference=Reference(SCALES, "dpmpp_2m"))

    assert not found.is_fitted and found.name == found.best_candidate and found.gain == 1
    solver, sigmas = pairs(SD15, 4)[found.name]
    assert found.solver.weights.equal(known_solver(solver, sigmas, SD15).weights)
    assert f"**Nothing is better than {found.name}**" in found.report()


@pytest.fixture
def refinements(monkeypatch):
    """What is tried in each, and on how many seeds."""
    made = []
    refined = SolverBench.refined

    def spy(self, trial, places, scale, tried):
        made.append((tried, len(places)))
        return refined(self, trial, places, scale, tried)

    monkeypatch.setattr(SolverBench, "refined", spy)
    return made


def test_what_a_large_budget_refines_is_the_result(refinements):
    """It is measured on at least as many seeds as any fit that is not refined."""
    found, _, _ = calibrated(SD15, 4, 10_000)

    assert refinements[0][1] == MOST_SEEDS
    assert found.name.endswith(", refined") and found.seeds == MOST_SEEDS
    assert error(found.solver, SD15) < 0.95 * error(calibrated(SD15, 4, 400)[0].solver, SD15)


def test_large_latents_are_not_refined_on_more_seeds_than_the_memory_holds(monkeypatch, refinements):
    calibrated(SD15, 4, 2000)
    (tried, most), *_ = refinements
    assert tried == ways_to_try(4)[0] and most > 12
    for room, expected in ((12, [(tried, 12)]), (3, [])):
        refinements.clear()
        monkeypatch.setattr(solver_bench, "MOST_VALUES", room * latents_of(tried) * len(SCALES))
        calibrated(SD15, 4, 2000)
        assert refinements[:1] == expected


def test_a_small_budget_refines_fewer_steps_and_is_kept(refinements):
    found, _, _ = calibrated(SD15, 8, 300)

    assert refinements[0][0] in ways_to_try(8)[1:]
    assert found.evaluations <= 300


def test_an_earlier_result_is_tried_first_and_kept_where_it_is_the_best():
    earlier = calibrated(SD15, 4, 800)[0].solver

    asked = iter(range(10_000))
    found, run, _ = calibrated(SD15, 4, 800, earlier=earlier, should_stop=lambda: next(asked) >= 8)

    assert run.calls[0][0].equal(earlier.sigmas)
    assert found.name == EARLIER and found.solver.weights.equal(earlier.weights) and found.gain < 0.8
    assert "still the best" in found.report()
    with pytest.raises(SigmasError, match="is a schedule of 4 steps"):
        calibrated(SD15, 4, 300, earlier=known_solver("euler", torch.tensor([9.0, 1.0, 0.0]), SD15))


@pytest.mark.parametrize("calls", [0, 1, 3, 10])
def test_stopping_keeps_the_best_so_far(calls):
    asked = iter(range(10_000))

    found, _, _ = calibrated(SD15, 4, 800, should_stop=lambda: next(asked) >= calls)

    assert found.evaluations < 800 and bool(found.rows) == (calls > 1)
    if found.rows:
        assert found.rows[0].mean == min(row.mean for row in found.rows)


@pytest.mark.parametrize("allowed", [0, 1, 12])
def test_a_run_that_ends_itself_keeps_the_best_so_far(allowed):
    class Cancelled(SteppedGaussianRun):
        def __call__(self, *arguments, **options):
            if len(self.calls) >= allowed:
                raise BudgetSpent
            return super().__call__(*arguments, **options)

    found, _, _ = calibrated(SD15, 4, 1000, run=Cancelled(SCALES))

    assert bool(found.rows) == (allowed > 0)
    assert allowed or found.name == next(iter(pairs(SD15, 4)))


def test_a_start_below_the_largest_sigma_is_every_trials_where_a_picture_is_changed():
    noise = SD15.up_to(2.0)
    schedules = {"even": ("dpmpp_2m", torch.tensor([2.0, 1.2, 0.6, 0.2, 0.0]))}
    run, reference = SteppedGaussianRun(SCALES), GaussianRun(SCALES, "dpmpp_2m")

    found = calibrate_sampler(run, reference, schedules, 4, noise, 500, change=True)

    assert {float(sigmas[0]) for sigmas, _ in run.calls + reference.calls} == {2.0}
    assert found.is_fitted and found.gain < 0.9


def test_unknown_samplers_and_pairs_of_other_step_counts_are_refused_by_name():
    sigmas = torch.tensor([14.0, 3.0, 0.0])
    run, reference = SteppedGaussianRun(SCALES), GaussianRun(SCALES)
    with pytest.raises(ValueError, match="no weights are known for the sampler dpmpp_sde; known are euler"):
        calibrate_sampler(run, reference, {"it": ("dpmpp_sde", sigmas)}, 2, SD15, 300)
    with pytest.raises(SigmasError, match="none of 1 candidates is a schedule of 3 steps"):
        calibrate_sampler(run, reference, {"it": ("euler", sigmas)}, 3, SD15, 300)


def test_a_model_that_gives_nan_is_refused_in_one_sentence():
    class Broken(SteppedGaussianRun):
        def denoise(self, y, s):
            return y * torch.nan

    with pytest.raises(ValueError, match="with 4 steps all that was tried gives NaN or infinite values"):
        calibrated(SD15, 4, 300, run=Broken(SCALES))


def test_the_plan_leaves_most_of_the_budget_to_the_search():
    for budget in (300, 2000, 10_000):
        for steps in (4, 6, 8, 20):
            plan = SamplerPlan.of(budget, steps, "flow")
            assert plan.seeds >= 1 and plan.seeds * reference_steps(steps, "flow") <= 0.4 * budget


def test_the_weights_are_short_as_text():
    found = calibrated(SD15, 4, 400)[0].solver
    assert isinstance(found, LinearMultistep) and found.weights.equal(found.rounded().weights)
