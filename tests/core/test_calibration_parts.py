"""The parts of the calibration against closed forms and independent computations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import cumulative_trapezoid

from gaussian_run import GaussianRun
from hso_core import named_schedule
from hso_core.calibration.calibrate import _verdict as verdict
from hso_core.calibration.generators import (
    FORETOLD,
    Forecasts,
    compact_schedule,
    foretold_errors,
    suggest,
    turning_schedule,
)
from hso_core.calibration.larger import SCREENED, LargerPictures, larger_pictures
from hso_core.calibration.loss import CONTRAST, SHIFT, TRUSTED_SEEDS, Loss, SetLoss, systematic_square
from hso_core.calibration.outcome import Expected, judged
from hso_core.calibration.profile import MOST_VALUES, ProfileRecorder
from hso_core.calibration.reference import FLOW_END, Reference, reference_sigmas
from hso_core.calibration.run import BudgetSpent, SamplerResult
from hso_core.calibration.search import Bench, Search
from hso_core.calibration.signed_defect import LEAST_MIDWAY, SignedDefect
from hso_core.calibration.statistics import paired_ratio
from hso_core.calibration.surrogate import Kernel, Surrogate
from hso_core.calibration.usual import anchor
from hso_core.schedule.sigmas import check_sigmas

SD15 = named_schedule("sd15")
FLOW = named_schedule("flow:3")


def reference(scales, noise=SD15, steps=60, seeds=64, flow=False):
    made = Reference(GaussianRun(scales, "dpmpp_2m", flow), reference_sigmas(noise, steps))
    made.extend(range(seeds))
    return made


# -- the reference -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["sd15", "ddpm", "flow:3", "flow:1", "edm:0.002:80", "edm:0.002:700", "edm:1:1.5", "edm:1:1.001"]
)
@pytest.mark.parametrize("steps", [12, 18, 60])
def test_the_reference_runs_through_the_whole_range_of_the_model(name, steps):
    noise = named_schedule(name)

    sigmas = check_sigmas(reference_sigmas(noise, steps))

    assert len(sigmas) == steps + 1 and sigmas[-1] == 0
    assert float(sigmas[0]) == pytest.approx(noise.sigma_max, rel=1e-6)
    least = noise.sigma_min if noise.family == "vp" else max(noise.sigma_min, FLOW_END / (1 + FLOW_END))
    assert float(sigmas[-2]) == pytest.approx(least, rel=1e-4)


@pytest.mark.parametrize("noise, flow", [(SD15, False), (FLOW, True)], ids=["vp", "flow"])
def test_the_reference_ends_where_the_exact_solution_does(noise, flow):
    scales = torch.tensor([0.3, 1.0, 2.0])
    made = reference(scales, noise, steps=200, flow=flow)
    exact = GaussianRun(scales, flow=flow).exact(range(64), 1e9 if flow else SD15.sigma_max)

    assert float(made.distances(exact, range(64)).mean()) < 2e-3


def test_a_table_that_starts_far_above_costs_the_reference_one_step():
    """That of a terminal SNR of zero begins at 4519: with as many steps below as without it, it ends as near."""
    scales, ends = torch.tensor([0.3, 1.0, 2.0]), {}
    for top in (150, 4519):
        made = reference(scales, named_schedule(f"edm:0.03:{top}"), steps=20 + (top > 150))
        exact = GaussianRun(scales).exact(range(64), top)
        ends[top] = float(made.distances(exact, range(64)).mean())
    assert made.sigmas[1] == 150
    assert ends[4519] < 1.05 * ends[150] < 0.05


def test_seeds_are_run_once_and_the_price_is_right():
    run = GaussianRun(torch.ones(4), "dpmpp_2m")
    made = Reference(run, reference_sigmas(SD15, 10), first_seed=100)

    assert made.price(range(3)) == 30
    made.extend(range(3))
    made.extend(range(5))

    assert [seeds for _, seeds in run.calls] == [[100, 101, 102], [103, 104]]
    assert made.evaluations == run.evaluations == 50
    assert made.price(range(6)) == 10
    with pytest.raises(BudgetSpent):
        made.extend(range(7), limit=19)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_a_latent_that_is_not_finite_is_infinitely_far(broken):
    made = reference(torch.ones(4), steps=12, seeds=2)
    latents = torch.zeros(2, 4)
    latents[1, 2] = broken

    near, far = made.distances(latents, range(2)).tolist()

    assert 0 < near < 10 and far == np.inf


# -- the profile -------------------------------------------------------------------------------------------------------


def test_the_gram_matrix_is_that_of_the_predictions():
    scales = torch.tensor([0.2, 1.0, 3.0])
    run = GaussianRun(scales, "dpmpp_2m")
    sigmas = reference_sigmas(SD15, 9)
    seen = []
    result = run(sigmas, range(5), observe=lambda sigma, x, denoised: seen.append(denoised))
    points = torch.stack([*seen, result.latents]).double().flatten(1)

    profile = reference(scales, steps=9, seeds=5).profile()

    assert torch.allclose(profile.gram, points @ points.T / points.shape[1], rtol=1e-5)
    steps = (points[1:9] - points[:8]).square().mean(1).sqrt()
    assert torch.allclose(profile.turning(), steps, rtol=1e-3)
    assert profile.data_scale == pytest.approx(float(result.latents.std()), rel=1e-5)


def test_the_seeds_of_later_batches_count_too():
    scales = torch.tensor([0.2, 1.0, 3.0])
    together = reference(scales, steps=9, seeds=6).profile()
    made = Reference(GaussianRun(scales, "dpmpp_2m"), reference_sigmas(SD15, 9))
    for places in (range(2), range(3), range(6)):
        made.extend(places)

    assert len(made.trajectories()) == 6
    assert torch.allclose(made.profile().gram, together.gram, rtol=1e-5)


def test_what_is_kept_of_a_large_latent_is_bounded():
    recorder = ProfileRecorder()
    latents = torch.randn(2, 4, 256, 256, generator=torch.Generator().manual_seed(0))

    for sigma in (3.0, 2.0, 1.0):
        recorder(sigma, latents, latents / sigma)

    levels, predictions = recorder.take()
    assert levels.tolist() == [3, 2, 1] and predictions.shape == (3, 2, MOST_VALUES)
    assert float(predictions[2].square().mean()) == pytest.approx(1.0, rel=0.02)


def test_a_batch_that_is_run_anew_in_halves_counts_once():
    scales, sigmas = torch.tensor([0.2, 1.0, 3.0]), reference_sigmas(SD15, 9)

    class OutOfMemory(GaussianRun):
        def __call__(self, sigmas, seeds, *, limit=None, observe=None):
            with pytest.raises(BudgetSpent):
                super().__call__(sigmas, seeds, limit=3 * len(seeds), observe=observe)
            halves = [super(OutOfMemory, self).__call__(sigmas, seeds[i::2], observe=observe) for i in (0, 1)]
            return SamplerResult(torch.stack([half.latents for half in halves], 1).flatten(0, 1), 24 * len(seeds))

    made = Reference(OutOfMemory(scales, "dpmpp_2m"), sigmas)
    made.extend(range(4))

    assert len(made.trajectories()) == 4
    assert torch.allclose(made.profile().gram.diagonal(), reference(scales, steps=9, seeds=4).profile().gram.diagonal())


def test_looks_back_at_higher_noise_are_no_new_run():
    """As a Runge-Kutta sampler of other nodes than 0 and 1 takes them."""
    recorder = ProfileRecorder()
    for _ in range(2):
        for sigma in (9.0, 3.0, 6.0, 3.0, 1.0, 2.0, 1.0):
            recorder(sigma, torch.ones(2, 4), torch.full((2, 4), 1 / sigma))

    levels, predictions = recorder.take()

    assert levels.tolist() == [9, 3, 1] and predictions.shape == (3, 4, 4)


# -- the generators ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver, tolerance", [("euler", 0.03), ("dpmpp_2m", 0.1)])
@pytest.mark.parametrize("noise, flow", [(SD15, False), (FLOW, True)], ids=["vp", "flow"])
def test_on_gaussian_data_the_foretold_error_is_the_true_one(solver, tolerance, noise, flow):
    """There the model follows with just the gain that SignedDefect takes it to have.

    (Against the host's own solvers, uni_pc too: tests/benchmarks/test_foretold.py.)
    """
    scales = torch.full((256,), 0.6)
    made = reference(scales, noise, steps=400, seeds=8, flow=flow)
    foretell = SignedDefect(made.profile(), noise, solver)

    for rho, end in ((7.0, 0.1), (1.5, 0.5), (3.0, 0.03)):
        sigmas = compact_schedule(noise, 6, rho, 1.0, end)
        latents = GaussianRun(scales, solver, flow)(sigmas.float(), range(8)).latents
        true = float(made.distances(latents, range(8)).square().mean().sqrt())
        assert float(foretell(sigmas[:-1, None].numpy())[0]) == pytest.approx(true, rel=tolerance)


@pytest.mark.parametrize("solver", ["euler", "dpmpp_2m"])
@pytest.mark.parametrize("noise, flow", [(SD15, False), (FLOW, True)], ids=["vp", "flow"])
def test_on_gaussian_data_the_error_foretold_on_the_way_is_the_true_one(solver, noise, flow):
    scales = torch.full((256,), 0.6)
    foretell = SignedDefect(reference(scales, noise, steps=400, seeds=8, flow=flow).profile(), noise, solver)
    sigmas = compact_schedule(noise, 6, 3.0, 1.0, 0.1)
    seen = []
    run = GaussianRun(scales, solver, flow)
    run(sigmas.float(), range(8), observe=lambda sigma, x, denoised: seen.append((sigma, denoised)))

    for level, denoised in seen[2:]:
        s = torch.tensor(level / (1 - level) if flow else level, dtype=torch.float64)
        start = 1e9 if flow else SD15.sigma_max
        y = run.exact(range(8), start) * (scales.double() ** 2 + s**2).sqrt() / scales.double() / s
        true = float((denoised - run.denoise(y, s)).square().mean().sqrt())
        least = LEAST_MIDWAY * 0.6
        assert float(foretell.midway(sigmas[:-1, None].numpy(), level)[0]) == pytest.approx(max(true, least), rel=0.15)

    between = [float(foretell.midway(sigmas[:-1, None].numpy(), level)[0]) for level, _ in (seen[2], seen[3])]
    half = float(foretell.midway(sigmas[:-1, None].numpy(), (seen[2][0] * seen[3][0]) ** 0.5)[0])
    assert half == pytest.approx((between[0] * between[1]) ** 0.5)


def test_a_schedule_that_starts_lower_is_foretold_too():
    """Its noise is the reference's, but it misses what the reference does before."""
    scales = torch.full((256,), 0.6)
    made = reference(scales, steps=400, seeds=8)
    sigmas = compact_schedule(SD15, 6, 3.0, 1.0, 0.1)
    sigmas[0] = 8.0
    latents = GaussianRun(scales)(sigmas.float(), range(8)).latents

    foretold = SignedDefect(made.profile(), SD15, "euler")(sigmas[:-1, None].numpy())

    true = float(made.distances(latents, range(8)).square().mean().sqrt())
    assert float(foretold[0]) == pytest.approx(true, rel=0.03)


@pytest.mark.parametrize("solver", FORETOLD)
def test_equal_neighbours_and_one_step_can_be_foretold(solver):
    profile = reference(torch.ones(16), steps=12, seeds=4).profile()
    foretell = SignedDefect(profile, SD15, solver)

    assert np.isfinite(foretell(np.array([[14.0], [3.0], [3.0], [3.0], [0.5]]))).all()
    assert np.isfinite(foretell(np.array([[14.0]]))).all()


def test_the_density_of_turning_follows_its_formula():
    """For N(0, c^2) data dD/dlambda goes with s^2 / (c^2 + s^2)^(3/2), s = sigma/alpha."""
    c = 0.7
    profile = reference(torch.full((512,), c), steps=800, seeds=2).profile()
    lam = np.linspace(-np.log(SD15.sigma_max), -np.log(SD15.sigma_min), 20001)
    s = np.exp(-lam)
    mass = cumulative_trapezoid((s**2 / (c**2 + s**2) ** 1.5) ** 0.5, lam, initial=0)
    expected = np.exp(-np.interp(np.linspace(0, mass[-1], 7)[:-1], mass, lam))

    found = turning_schedule(profile, SD15, 6)

    assert found[:-1].numpy() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("name", ["sd15", "flow:3", "edm:0.002:80"])
@pytest.mark.parametrize("steps", [1, 2, 3, 8, 30])
def test_every_suggestion_is_a_schedule_of_the_model(name, steps):
    noise = named_schedule(name)
    profile = reference(torch.ones(16), noise, 12, 4, flow=noise.family == "flow").profile()

    schedules = suggest(profile, noise, steps)

    assert bool(schedules) == (steps > 1)
    for sigmas in schedules.values():
        check_sigmas(sigmas.float())
        assert len(sigmas) == steps + 1 and sigmas[-1] == 0
        assert float(sigmas[0]) == pytest.approx(noise.sigma_max) and float(sigmas[-2]) >= noise.sigma_min * 0.999


@pytest.mark.parametrize("noise, flow", [(SD15, False), (FLOW, True)], ids=["vp", "flow"])
@pytest.mark.parametrize("constant", [0.0, 0.7])
def test_a_prediction_that_never_turns_suggests_no_density(noise, flow, constant):
    class Same(GaussianRun):
        def denoise(self, y, s):
            return constant * self.scales.double().expand_as(y)

    made = Reference(Same(torch.linspace(1, 2, 8), "dpmpp_2m", flow), reference_sigmas(noise, 12))
    made.extend(range(4))
    with np.errstate(divide="raise", invalid="raise"):
        schedules = suggest(made.profile(), noise, 5)
        risks = Forecasts.of_solvers(made.profile(), noise).midway(
            np.stack([s[:-1].numpy() for s in schedules.values()])
        )

    assert "density of turning" not in schedules and len(schedules) > 3
    for sigmas in schedules.values():
        check_sigmas(sigmas.float())
    assert np.isfinite(risks).all()


@pytest.mark.parametrize("noise, flow", [(SD15, False), (FLOW, True)], ids=["vp", "flow"])
@pytest.mark.parametrize("steps", [1, 5])
def test_foretold_errors_are_finite_and_tell_good_from_bad(noise, flow, steps):
    profile = reference(torch.ones(32), noise, 18, 4, flow=flow).profile()
    good = compact_schedule(noise, steps, 3.0, 1.0, 0.3)
    bad = compact_schedule(noise, steps, 1.0, 6.0, 8.0)

    errors = foretold_errors([good, bad], [SignedDefect(profile, noise, solver) for solver in FORETOLD]).min(0)

    assert np.isfinite(errors).all()
    if steps > 1:
        assert errors[0] < 0.5 * errors[1]


# -- the surrogate -----------------------------------------------------------------------------------------------------


def test_the_surrogate_predicts_as_the_conditional_of_a_joint_normal_distribution():
    """From products alone, what conditioning each component of the vectors by itself gives."""
    rng = np.random.default_rng(3)
    points, asked = rng.normal(size=(5, 2)), rng.normal(size=(3, 2))
    basis, errors = rng.normal(size=(2, 4, 300)), rng.normal(size=(2, 5, 300))  # two seeds, 300 values
    forecasts, forecast = rng.normal(size=(2, 5, 4)), rng.normal(size=(3, 4))
    vectors = np.concatenate([basis, errors], axis=1)
    kernel = Kernel(length=1.3, linear=0.3, nugget=0.01, foretold=1)

    surrogate = Surrogate(points, forecasts, vectors @ vectors.transpose(0, 2, 1) / 300).fit(kernel)
    squares, variance = surrogate.predict(asked, forecast)

    def covariance(x, y):
        d = np.sqrt(5) * np.linalg.norm(x - y) / kernel.length
        centre = points.mean(0)
        return (1 + d + d**2 / 3) * np.exp(-d) + 9 + 0.09 * (x - centre) @ (y - centre)

    joint = np.array([[covariance(x, y) for y in points] for x in points]) + 0.01 * np.eye(5)
    cross = np.array([[covariance(x, y) for y in points] for x in asked])
    for seed in range(2):
        rest = errors[seed] - forecasts[1] @ basis[seed]
        mean = forecast @ basis[seed] + cross @ np.linalg.solve(joint, rest)
        assert squares[:, seed] == pytest.approx(np.square(mean).mean(1), rel=1e-9)
        assert surrogate.energy[seed] == pytest.approx(np.einsum("iv,ij,jv", rest, np.linalg.inv(joint), rest) / 1500)
    own = np.array([covariance(x, x) for x in asked])
    assert variance == pytest.approx(own - np.einsum("pi,ij,pj->p", cross, np.linalg.inv(joint), cross), rel=1e-7)


def test_the_likelier_forecast_is_chosen():
    rng = np.random.default_rng(5)
    points, basis = rng.normal(size=(12, 3)), rng.normal(size=(4, 300))
    forecasts = rng.normal(size=(3, 12, 4))
    errors = forecasts[2] @ basis + 0.05 * rng.normal(size=(12, 300))
    vectors = np.concatenate([basis, errors])[None]

    surrogate = Surrogate(points, forecasts, vectors @ vectors.transpose(0, 2, 1) / 300)

    assert surrogate.choose_kernel().foretold == 2


def test_the_products_grow_with_the_trials_to_what_they_are_anew():
    scales = torch.logspace(-1, 0.5, 48)
    made = reference(scales, steps=12, seeds=4)
    bench = Bench.of_run(GaussianRun(scales), made, 0, 10_000)

    def search():
        return Search(bench, SD15, 3, 1.0, Forecasts.of_solvers(made.profile(), SD15), 0, start_is_free=True)

    growing = search()
    trials = [growing.add(str(rho), compact_schedule(SD15, 5, rho, 1.0, 0.1)) for rho in (1.0, 2.0, 4.0, 8.0)]
    for trial in trials:
        bench.measure(trial, range(3))
    for count in (2, 3, 4):
        grown = growing._gram(trials[:count])

    assert grown == pytest.approx(search()._gram(trials), rel=1e-9)
    assert grown.shape == (3, 12 + 1 + 4, 12 + 1 + 4)
    assert np.sqrt(grown[:, -1, -1]) == pytest.approx([trials[3].distances[place] for place in range(3)], rel=1e-5)


@pytest.mark.parametrize("factor, name", [(0.99, "searched"), (1.01, "hso")])
def test_what_measured_worse_is_not_chosen_for_its_lower_risk(factor, name):
    made = reference(torch.ones(4), steps=12, seeds=2)
    bench = Bench.of_run(GaussianRun(torch.ones(4)), made, 0, 10_000)
    search = Search(bench, SD15, 2, 1.0, Forecasts.of_solvers(made.profile(), SD15), 0, start_is_free=True)
    hso, searched = (
        search.add(n, compact_schedule(SD15, 4, rho, 1.0, 0.1)) for n, rho in (("hso", 7.0), ("searched", 3.0))
    )
    hso.distances = dict(enumerate([1.0] * 9 + [3.0]))
    searched.distances = {place: factor * distance for place, distance in hso.distances.items()}
    hso.risk, searched.risk = 1.0, 0.0

    found = verdict(search, [hso], bench, made)

    assert search.loss(searched) < search.loss(hso)
    assert found.name == name and found.gain == pytest.approx(min(factor, 1)) and found.rows[0].name == name


# -- larger pictures ---------------------------------------------------------------------------------------------------


class FewLarge(GaussianRun):
    """Some starts end in pictures four times as large, which shows at every noise level."""

    large = (60, 71)

    def __call__(self, sigmas, seeds, *, limit=None, observe=None):
        result = super().__call__(sigmas, seeds, limit=limit, observe=observe)
        factors = torch.tensor([4.0 if seed in self.large else 1.0 for seed in seeds])
        return SamplerResult(result.latents * factors[:, None], result.evaluations)


@pytest.mark.parametrize("noise, flow", [(SD15, False), (FLOW, True)], ids=["vp", "flow"])
def test_larger_pictures_are_found_among_many_starts(noise, flow):
    run = FewLarge(torch.full((64,), 0.6), "dpmpp_2m", flow)
    made = Reference(run, reference_sigmas(noise, 12), 40)
    made.extend(range(6))
    bench = Bench.of_run(run, made, 40, 2000)

    met = larger_pictures(run, made, made.profile(), noise, bench)

    assert met is not None and {met.ends.first_seed + place for place in met.places} == set(FewLarge.large)
    assert met.chance == pytest.approx(2 / SCREENED)
    assert bench.spent == run.evaluations
    bench.larger = met
    search = Search(bench, noise, 6, 1.0, Forecasts.of_solvers(made.profile(), noise), 0, start_is_free=not flow)
    trial = search.add("a", compact_schedule(noise, 4, 7.0, 1.0, 0.1))
    assert bench.price([trial], range(6)) == 0  # before the first run nobody knows
    bench.measure(trial, range(6))
    assert trial.met > 2 * trial.first().mean() and bench.spent == run.evaluations


def test_no_larger_pictures_are_found_where_all_are_alike_nor_looked_for_with_a_small_budget():
    run = GaussianRun(torch.full((64,), 0.6), "dpmpp_2m")
    made = Reference(run, reference_sigmas(SD15, 12))
    made.extend(range(6))
    before = run.evaluations

    assert larger_pictures(run, made, made.profile(), SD15, Bench.of_run(run, made, 0, 300)) is None
    assert run.evaluations == before
    assert larger_pictures(run, made, made.profile(), SD15, Bench.of_run(run, made, 0, 2000)) is None
    assert run.evaluations > before


# -- the schedules that are usually good -------------------------------------------------------------------------------


@pytest.mark.parametrize("noise, flow", [(SD15, False), (FLOW, True)], ids=["vp", "flow"])
@pytest.mark.parametrize("steps", [2, 3, 4, 6, 10, 20])
@pytest.mark.parametrize("solver", FORETOLD)
def test_the_usual_steps_are_a_schedule(noise, flow, steps, solver):
    schedules = suggest(reference(torch.logspace(-1, 0.5, 48), noise, 20, 4, flow=flow).profile(), noise, steps)

    assert len(check_sigmas(schedules[f"usual steps of {solver}"].float())) == steps + 1


def test_pictures_twice_as_large_move_the_usual_steps_by_as_much():
    profiles = [reference(scale * torch.logspace(-1, 0, 48), steps=60, seeds=8).profile() for scale in (1.0, 2.0)]

    anchors = [anchor(profile, SD15) for profile in profiles]

    assert anchors[0] - anchors[1] == pytest.approx(np.log(2), abs=0.15)


# -- the statistics ----------------------------------------------------------------------------------------------------


def test_paired_ratio_of_known_errors():
    others = dict(enumerate(np.linspace(1, 3, 40)))
    halved = {seed: 0.5 * error for seed, error in others.items()}

    ratio = paired_ratio({**halved, 99: 7.0}, others)

    assert ratio.of_means == ratio.geometric == pytest.approx(0.5)
    assert ratio.interval == pytest.approx((0.5, 0.5)) and ratio.seeds == 40 and ratio.doubt == pytest.approx(0)
    with pytest.raises(ValueError, match="common seed"):
        paired_ratio({1: 1.0}, {2: 1.0})


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        other = rng.lognormal(0, 0.5, 40)
        own = 0.8 * other * rng.lognormal(-0.02, 0.2, 40)  # mean ratio 0.8 in expectation
        low, high = paired_ratio(dict(enumerate(own)), dict(enumerate(other))).interval
        hits += low <= 0.8 <= high
    assert hits >= 46


def test_the_interval_is_of_pairs_and_leaves_a_twentieth_out_at_each_side():
    """By themselves these distances differ by much more than their ratios do; resampling the pairs tells the truth."""
    rng = np.random.default_rng(3)
    other = rng.lognormal(0, 1, 200)
    own = 0.8 * other * rng.lognormal(0, 0.1, 200)
    places = rng.integers(200, size=(4000, 200))
    expected = np.quantile(own[places].mean(1) / other[places].mean(1), [0.05, 0.95])

    ratio = paired_ratio(dict(enumerate(own)), dict(enumerate(other)))

    low, high = ratio.interval
    assert (low, high) == pytest.approx(tuple(expected), rel=0.005)
    assert high - low == pytest.approx(expected[1] - expected[0], rel=0.1)
    assert ratio.geometric == pytest.approx(np.exp(np.log(own / other).mean()))


@pytest.mark.parametrize("seeds", [3, 4, 7])
def test_the_interval_covers_the_truth_also_with_few_seeds(seeds):
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        common = 0.3 * rng.normal(size=seeds)
        own, other = (dict(enumerate(np.exp(common + 0.1 * rng.normal(size=seeds)))) for _ in range(2))
        low, high = paired_ratio(own, other).interval
        hits += low <= 1 <= high
    assert 0.86 <= hits / 400 <= 0.95


# -- the loss ----------------------------------------------------------------------------------------------------------


def test_the_excess_measured_counts_the_more_the_more_seeds_there_are():
    distances = np.array([0.1] * 9 + [2.0])
    typical, mean = np.exp(np.log(distances).mean()), distances.mean()
    loss = Loss(slope=3.0)

    few, many = loss(distances, 0.2), loss(np.tile(distances, 200), 0.2)

    trust = 10 / (10 + TRUSTED_SEEDS)
    assert float(few) == pytest.approx(np.log(typical + trust * (mean - typical) + (1 - trust) * 3.0 * 0.2))
    assert float(many) == pytest.approx(np.log(mean), abs=0.02)


def test_what_goes_with_the_risk_is_found_again():
    """Seeds jump to another picture as often as the risk says."""
    rng = np.random.default_rng(2)
    risks = np.linspace(0.01, 0.1, 40)
    measured = [np.where(rng.random(200) < 2 * risk, 1.0, 1e-3) for risk in risks]

    assert Loss.fitted(measured, risks, 3.0).slope == pytest.approx(2, rel=0.1)
    assert Loss.fitted([np.full(9, 0.3)] * 4, [0.1, 0.2, 0.3, 0.4], 3.0).slope == pytest.approx(0, abs=1e-9)


def test_between_schedules_alike_on_few_seeds_the_one_of_less_risk_wins():
    alike, jumps = np.full(8, 0.1), np.array([0.1] * 7 + [1.5])
    loss = Loss.fitted([alike, jumps], [0.01, 0.3], 3.0)

    assert loss(alike, 0.01) < loss(0.9 * alike, 0.3)
    assert Loss(0.0)(alike, 0.01) > Loss(0.0)(0.9 * alike, 0.3)


@pytest.mark.parametrize("broken", [np.inf, 0.0, 1e30])
def test_exact_and_broken_latents_have_a_finite_loss(broken):
    distances = np.array([0.1, broken, 0.2])

    fitted = Loss.fitted([distances, np.full(3, 0.1)], [0.1, 0.2], furthest=2.0)

    assert np.isfinite(fitted(distances, 0.1)) and fitted.slope < 20


# -- the loss of a set -------------------------------------------------------------------------------------------------


def test_a_shift_and_a_change_of_contrast_are_told_from_errors_that_differ():
    rng = np.random.default_rng(0)
    pictures, own = rng.normal(size=(40, 500)), 0.1 * rng.normal(size=(40, 500))
    energies = np.square(pictures).mean(1)

    def measured(errors):
        along = (errors * pictures).mean(1)
        return float(systematic_square(np.square(errors.mean(0)).mean(), np.square(errors).mean(1), along, energies))

    pattern = 0.1 * rng.normal(size=500)
    assert measured(own) < 0.02 * np.square(own).mean()
    assert measured(own + pattern) == pytest.approx(SHIFT * np.square(pattern).mean(), rel=0.1)
    assert measured(own - 0.1 * pictures) == pytest.approx(CONTRAST * 0.01, rel=0.1)


def test_of_schedules_alike_one_by_one_that_of_the_nearer_set_and_the_better_larger_pictures_wins():
    distances, loss = np.full(12, 0.1), SetLoss(Loss(), chance=0.02)

    def of(systematic, met):
        return float(loss(distances, 0.0, systematic, met))

    assert of(0.0, 0.1) < of(0.005, 0.1) and of(0.0, 0.1) < of(0.0, 1.0)


def test_where_the_seeds_cannot_tell_the_best_at_hand_stays():
    rng = np.random.default_rng(0)
    made = reference(torch.ones(4), steps=12, seeds=2)
    bench = Bench.of_run(GaussianRun(torch.ones(4)), made, 0, 10_000)

    def winner(spread):
        search = Search(bench, SD15, 2, 1.0, Forecasts.of_solvers(made.profile(), SD15), 0, start_is_free=True)
        hso, other = (search.add(n, compact_schedule(SD15, 4, rho, 1.0, 0.1)) for n, rho in (("hso", 7.0), ("b", 3.0)))
        logs = rng.normal(size=6)
        logs = 0.1 + spread * (logs - logs.mean()) / logs.std(ddof=1)
        other.distances = dict(enumerate(np.full(6, 0.1)))
        hso.distances = dict(enumerate(0.1 * np.exp(logs)))
        hso.risk = other.risk = 0.0
        return verdict(search, [hso], bench, made).name

    assert winner(0.01) == "b" and winner(1.0) == "hso"


@pytest.mark.parametrize(
    "lead, spread, alone, together",
    [(0.05, 0.3, "hso", "b"), (-0.05, 0.3, "hso", "b"), (-0.05, 0.05, "hso", "hso"), (-0.5, 0.3, "hso", "hso")],
)
def test_what_is_expected_decides_where_the_seeds_cannot_tell(lead, spread, alone, together):
    """lead: of b in the logarithm of its distances, on average; spread: from seed to seed."""
    made = reference(torch.ones(4), steps=12, seeds=2)
    bench = Bench.of_run(GaussianRun(torch.ones(4)), made, 0, 10_000)
    search = Search(bench, SD15, 2, 1.0, Forecasts.of_solvers(made.profile(), SD15), 0, start_is_free=True)
    hso, other = (search.add(n, compact_schedule(SD15, 4, rho, 1.0, 0.1)) for n, rho in (("hso", 7.0), ("b", 3.0)))
    logs = lead + spread * np.array([-1.0, 1.0, -1.0, 1.0])
    other.distances, hso.distances = dict(enumerate(np.full(4, 0.1))), dict(enumerate(0.1 * np.exp(logs)))
    hso.risk = other.risk = 0.0

    found = [judged(search, other, hso, expected).winner.name for expected in (None, Expected(0.25, 0.25))]

    assert found == [alone, together]


def test_larger_pictures_weigh_in_a_gain_only_where_both_were_run_on_them():
    made = reference(torch.ones(4), steps=12, seeds=2)
    bench = Bench.of_run(GaussianRun(torch.ones(4)), made, 0, 10_000)
    bench.larger = LargerPictures(0.05, 2, made, (0,))
    search = Search(bench, SD15, 2, 1.0, Forecasts.of_solvers(made.profile(), SD15), 0, start_is_free=True)
    hso, other = (search.add(n, compact_schedule(SD15, 4, rho, 1.0, 0.1)) for n, rho in (("hso", 7.0), ("b", 3.0)))
    for trial, size in ((hso, 0.2), (other, 0.1)):
        trial.distances, trial.risk = dict(enumerate(np.full(6, size))), 0.0

    def gain(of_hso, of_other):
        hso.met, other.met = of_hso, of_other
        return verdict(search, [hso], bench, made).gain

    assert gain(4.0, 3.0) == pytest.approx((0.95 * 0.1 + 0.05 * 3.0) / (0.95 * 0.2 + 0.05 * 4.0))
    assert gain(4.0, 0.0) == pytest.approx(0.5), "one was not run on them"
