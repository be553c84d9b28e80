"""The fit of a solver's weights: the trajectories that it follows, the fit, and its refinement, on data where all is
known in closed form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from gaussian_run import GaussianRun, SteppedGaussianRun
from hso_core import named_schedule
from hso_core.calibration.fit_solver import fitted_rows
from hso_core.calibration.generators import Forecasts, compact_schedule
from hso_core.calibration.larger import LargerPictures
from hso_core.calibration.reference import Reference, reference_sigmas
from hso_core.calibration.refine_solver import (
    DIRECTIONS,
    Branches,
    PerSeed,
    Sensitivity,
    evaluations_of,
    latents_of,
    ways_to_try,
)
from hso_core.calibration.search import Search
from hso_core.calibration.signed_defect import FittedDefect, SignedDefect
from hso_core.calibration.solver_bench import SolverBench
from hso_core.calibration.trajectory import Trajectory
from hso_core.solvers import LinearMultistep, known_solver

SD15, FLOW = named_schedule("sd15"), named_schedule("flow:3")
SCALES = torch.logspace(-1, 0.5, 48)
NOISES = pytest.mark.parametrize("noise, flow", [(SD15, False), (FLOW, True)], ids=["vp", "flow"])


def reference_of(noise, flow, steps=20, seeds=12, solver="dpmpp_2m"):
    made = Reference(GaussianRun(SCALES, solver, flow), reference_sigmas(noise, steps))
    made.extend(range(seeds))
    return made


def fitted(noise, flow, sigmas, seeds=12, folds=4, anchor="dpmpp_2m", made=None):
    made, fits = made or reference_of(noise, flow, seeds=seeds), []
    weights = known_solver(anchor, sigmas, noise).weights.numpy()

    def begin():
        fits.append(made.fit(sigmas, weights, range(seeds), folds))
        return fits[-1]

    result = SteppedGaussianRun(SCALES, flow)(sigmas, range(seeds), begin)
    return LinearMultistep(sigmas, torch.from_numpy(fits[-1].weights)), result, made


def error(solver, made, flow, seeds=range(500, 540)):
    """Mean RMSE to the exact answer, on seeds that nothing was fitted to."""
    start = 1e6 if flow else SD15.sigma_max
    latents = SteppedGaussianRun(SCALES, flow)(solver.sigmas, seeds, solver.stepper).latents.double()
    return float((latents - GaussianRun(SCALES, flow=flow).exact(seeds, start)).square().mean(1).sqrt().mean())


# -- the trajectories --------------------------------------------------------------------------------------------------


@NOISES
def test_between_its_levels_the_reference_passes_where_the_exact_solution_does(noise, flow):
    made, seeds = reference_of(noise, flow, steps=60), range(12)
    run = GaussianRun(SCALES, flow=flow)
    levels = torch.tensor([0.9, 0.7, 0.4, 0.1] if flow else [9.0, 3.0, 1.0, 0.3]).double()

    travelled = Trajectory(made.runs().levels).travelled(levels.numpy())

    paths = made.trajectories().double()[:, :-1]
    c = SCALES.double()
    for sigma, weights in zip(levels, travelled, strict=True):
        s = sigma / (1 - sigma) if flow else sigma
        start = 1e9 if flow else SD15.sigma_max
        exact = run.exact(seeds, start) * (c**2 + s**2).sqrt() / c * (1 - sigma if flow else 1)  # x at sigma
        found = sigma * (run.noise(seeds) + torch.from_numpy(weights) @ paths)
        assert float((found - exact).std()) < 0.005 * float(exact.std())


def test_a_prediction_that_stays_is_travelled_along_exactly():
    """Also before the first level and after the last; and with one level only."""
    for levels in (torch.tensor([10.0, 4.0, 1.0, 0.2]), torch.tensor([10.0])):
        sigmas = np.array([12.0, 7.0, 1.0, 0.05])
        travelled = Trajectory(levels).travelled(sigmas).sum(1)
        inside = np.maximum(1 / sigmas - 0.1, 0.0)
        assert travelled == pytest.approx(inside, rel=1e-9)


# -- the fit -----------------------------------------------------------------------------------------------------------


@NOISES
@pytest.mark.parametrize("steps", [2, 4, 6])
def test_a_fitted_solver_beats_the_known_ones_on_seeds_that_it_has_not_seen(noise, flow, steps):
    sigmas = compact_schedule(noise, steps, 7.0, 1.0, 0.1).float()

    solver, _, made = fitted(noise, flow, sigmas)

    known = min(error(known_solver(name, sigmas, noise), made, flow) for name in ("euler", "dpmpp_2m", "uni_pc"))
    assert error(solver, made, flow) < 0.7 * known


@NOISES
def test_what_the_folds_give_is_no_better_than_what_unseen_seeds_give(noise, flow):
    sigmas = compact_schedule(noise, 5, 7.0, 1.0, 0.1).float()

    made = reference_of(noise, flow, steps=200, seeds=16)
    solver, result, _ = fitted(noise, flow, sigmas, seeds=16, folds=4, made=made)
    _, fitted_to_themselves, _ = fitted(noise, flow, sigmas, seeds=16, folds=1, made=made)

    honest = float(made.distances(result.latents, range(16)).mean())
    assert honest > float(made.distances(fitted_to_themselves.latents, range(16)).mean())
    assert error(solver, made, flow) < 1.3 * honest


def test_it_does_not_matter_which_solver_it_holds_on_to_where_the_seeds_say_enough():
    sigmas = compact_schedule(SD15, 4, 7.0, 1.0, 0.1).float()
    made = reference_of(SD15, False)

    solvers = [fitted(SD15, False, sigmas, anchor=name, made=made)[0] for name in ("euler", "uni_pc")]

    errors = [error(solver, made, False) for solver in solvers]
    assert errors[0] == pytest.approx(errors[1], rel=0.15)


def products_of(differences, missed):
    """(seeds, i + 1, i + 1) of differences (seeds, i, values) and of what the anchor misses (seeds, values)."""
    vectors = np.concatenate([differences, missed[:, None]], axis=1)
    return vectors @ vectors.transpose(0, 2, 1) / vectors.shape[2]


def test_one_step_of_the_fit_is_the_least_squares_solution():
    rng = np.random.default_rng(0)
    differences = rng.normal(size=(40, 2, 300))
    missed = -(0.7 * differences[:, 0] - 0.2 * differences[:, 1])

    row, parts = fitted_rows(products_of(differences, missed), np.array([0.0, 0.0, 1.0]), np.arange(40) % 4)

    assert row == pytest.approx([0.7, -0.2, 0.5], abs=1e-3)
    assert parts == pytest.approx(np.tile(row, (4, 1)), abs=1e-3) and row.sum() == pytest.approx(1)


def test_where_the_seeds_that_are_left_out_do_not_get_nearer_the_anchor_stays():
    """What is missed has nothing in common between seeds: whatever is fitted to some is wrong for the others."""
    rng = np.random.default_rng(1)
    differences = rng.normal(size=(8, 3, 200))
    missed = (rng.choice([-1.0, 1.0], size=(8, 1, 1)) * rng.normal(size=(8, 3, 1)) * differences).sum(1)
    anchor = np.array([0.1, -0.4, 0.2, 1.1])

    row, parts = fitted_rows(products_of(differences, missed), anchor, np.arange(8) % 4)

    assert np.array_equal(row, anchor) and np.array_equal(parts, np.tile(anchor, (4, 1)))


@pytest.mark.parametrize("count", [1, 2])
def test_few_seeds_and_broken_ones_keep_to_the_anchor_or_come_out_sane(count):
    anchor = np.array([-0.5, 1.5])
    vectors = np.random.default_rng(2).normal(size=(count, 2, 50))
    row, _ = fitted_rows(vectors @ vectors.transpose(0, 2, 1), anchor, np.zeros(count, dtype=np.int64))
    assert np.isfinite(row).all() and (count > 1 or np.array_equal(row, anchor))

    broken = np.full((4, 2, 2), np.nan)
    assert np.array_equal(fitted_rows(broken, anchor, np.arange(4) % 2)[0], anchor)


# -- the refinement ----------------------------------------------------------------------------------------------------


ALL = (1, 2, 3)  # changes of the steps but the last, with four steps


def branched(solver, made, flow, places, tried=ALL):
    branches = []

    def begin():
        branches.append(Branches(solver, 0.1, 1.0, made.choose, tried))
        return branches[-1]

    run = SteppedGaussianRun(SCALES, flow)
    ends = run(solver.sigmas, places, begin)
    return branches[-1].sensitivity(ends.latents, made.converged(places)), run


@NOISES
@pytest.mark.parametrize("tried", [ALL, (1, 1, 3), (1, 0, 3), (0, 0, 3)])
def test_how_the_end_moves_is_measured_as_runs_with_other_coefficients_show_it(noise, flow, tried):
    sigmas = compact_schedule(noise, 4, 7.0, 1.0, 0.3).float()
    solver, made = known_solver("dpmpp_2m", sigmas, noise), reference_of(noise, flow)

    sensitivity, run = branched(solver, made, flow, range(6), tried)

    assert run.evaluations == 6 * evaluations_of(tried)
    last_ones = 3  # the last step's, which need no branch
    assert [int(np.abs(sensitivity.changes[:, i]).any(1).sum()) for i in range(4)] == [*tried, last_ones]
    assert latents_of(tried) == 5 * (1 + sum(tried))
    assert not sensitivity.changes[:, -1, 0].any(), "no noise is left in the picture"
    base = SteppedGaussianRun(SCALES, flow)(sigmas, range(6), solver.stepper).latents
    assert torch.allclose(sensitivity.errors, made.errors(base, range(6)).double(), atol=1e-5)
    for change, move in zip(sensitivity.changes, sensitivity.moves.unbind(2), strict=True):
        assert np.abs(change.sum(1)).max() < 1e-9
        other = LinearMultistep.of_coefficients(sigmas, solver.coefficients + torch.from_numpy(change))
        moved = SteppedGaussianRun(SCALES, flow)(sigmas, range(6), other.stepper).latents
        assert torch.allclose((moved - base).double(), move, atol=1e-4)


@pytest.mark.parametrize("steps", range(2, 11))
def test_every_way_of_it_takes_less_than_the_one_before_and_tries_the_last_step_but_one(steps):
    ways = ways_to_try(steps)

    assert ways[0] == tuple(min(1 + i, 1 + DIRECTIONS) for i in range(steps - 1))
    assert all(evaluations_of(way) < evaluations_of(richer) for richer, way in itertools.pairwise(ways))
    assert all(way[-1] == ways[0][-1] for way in ways)
    assert len(ways) == {2: 1, 3: 2, 4: 4, 5: 5}.get(steps, 7)


@NOISES
def test_a_step_of_it_brings_the_end_nearer_on_seeds_that_it_has_not_seen(noise, flow):
    sigmas = compact_schedule(noise, 4, 7.0, 1.0, 0.3).float()
    solver, made = known_solver("dpmpp_2m", sigmas, noise), reference_of(noise, flow)

    whole, parts = branched(solver, made, flow, range(12))[0].step(np.arange(12) % 4, np.ones(12))

    better = LinearMultistep.of_coefficients(sigmas, solver.coefficients + torch.from_numpy(whole))
    assert error(better, made, flow) < 0.7 * error(solver, made, flow)
    own = (solver.coefficients.numpy() + parts)[np.arange(12) % 4]
    ends = SteppedGaussianRun(SCALES, flow)(sigmas, range(12), lambda: PerSeed(own)).latents
    honest = made.distances(ends, range(12)).mean()
    before = made.distances(SteppedGaussianRun(SCALES, flow)(sigmas, range(12), solver.stepper).latents, range(12))
    assert float(honest) < 0.8 * float(before.mean())


def test_no_step_is_made_where_the_seeds_that_are_left_out_get_further_off():
    one = torch.randn(40, 4, generator=torch.Generator().manual_seed(3)).double()
    moves, sides = one.expand(6, -1, -1), torch.tensor([1, -1, 1, -1, 1, -1])
    errors = sides[:, None] * (one @ torch.ones(4).double())  # each wants the opposite of what most others want

    assert Sensitivity(np.zeros((4, 5, 6)), moves, errors).step(np.arange(6) % 3, np.ones(6)) is None
    assert Sensitivity(np.zeros((4, 5, 6)), moves * torch.nan, errors).step(np.arange(6) % 3, np.ones(6)) is None
    assert Sensitivity(np.zeros((4, 5, 6)), moves, errors[:1].expand(6, -1)).step(np.arange(6) % 3, np.ones(6))


def test_seeds_count_by_their_shares_and_not_by_the_squares_of_their_errors():
    changes = np.zeros((1, 4, 5))
    changes[0, 1, :2] = 1, -1
    errors, moves = torch.tensor([1.0] * 8 + [-3.0] * 2)[:, None].double(), torch.ones(10, 1, 1).double()
    fold = np.zeros(10, dtype=np.int64)

    whole, _ = Sensitivity(changes, moves, errors).step(fold, np.ones(10))
    assert -1 <= whole[1, 0] < -0.5  # the mean distance is least at -1, the mean of the squares at -0.2
    whole, _ = Sensitivity(changes, moves, errors).step(fold, np.array([1.0] * 8 + [100.0] * 2))
    assert 2 < whole[1, 0] <= 3


def test_larger_pictures_have_a_part_in_it_and_are_judged_with_what_the_others_fit():
    sigmas = compact_schedule(SD15, 4, 7.0, 1.0, 0.3).float()
    made, run = reference_of(SD15, False), SteppedGaussianRun(SCALES)
    larger = Reference(GaussianRun(SCALES, "dpmpp_2m"), reference_sigmas(SD15, 20), first_seed=700)
    larger.extend([0, 3])
    bench = SolverBench(run, made, 0, 100_000, SD15)
    bench.larger = LargerPictures(0.05, 700, larger, (0, 3))
    search = Search(bench, SD15, 12, 1.0, Forecasts.of_fits(made.profile(), SD15), 0, start_is_free=True, fits=True)
    trial = search.add("a", sigmas)
    bench.measure(trial, range(12))

    better = next(bench.refined(trial, range(12), 1.0, ALL))

    assert run.calls[-1][1] == [*range(12), 700, 703] == run.calls[-2][1]
    assert better.met < trial.met and better.first().mean() < trial.first().mean()
    to_all = SteppedGaussianRun(SCALES)(sigmas, [700, 703], better.solver.stepper).latents
    assert float(larger.distances(to_all, [0, 3]).square().mean().sqrt()) < better.met


# -- what is foretold --------------------------------------------------------------------------------------------------


ENDS = ((7, 0.3), (7, 0.03), (1.2, 0.3))  # rho, last sigma above 0


@NOISES
def test_a_fitted_solvers_error_is_foretold_to_be_less_than_the_known_ones(noise, flow):
    profile = reference_of(noise, flow, steps=60).profile()
    schedules = [compact_schedule(noise, 4, rho, 1.0, end) for rho, end in ENDS]
    columns = np.stack([sigmas[:-1].numpy() for sigmas in schedules], axis=1)

    foretold = FittedDefect(profile, noise, "dpmpp_2m", 1.0, 1e-2)(columns)

    assert (foretold < SignedDefect(profile, noise, "dpmpp_2m")(columns)).all()


def test_the_worst_schedule_for_a_fitted_solver_is_foretold():
    noise, flow = SD15, False
    made = reference_of(noise, flow, steps=60)
    schedules = [compact_schedule(noise, 4, rho, 1.0, end).float() for rho, end in ENDS]
    columns = np.stack([sigmas[:-1].double().numpy() for sigmas in schedules], axis=1)

    foretold = FittedDefect(made.profile(), noise, "dpmpp_2m", 1.0, 1e-2)(columns)

    true = [error(fitted(noise, flow, sigmas, made=made)[0], made, flow) for sigmas in schedules]
    assert foretold.argmax() == np.argmax(true)
