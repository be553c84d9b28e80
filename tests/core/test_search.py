"""The two levels of the search on their own: the trust region, differential evolution, and the polish of the ends."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from density import density_schedule
from hso_core import NoiseSchedule, Settings, named_schedule, optimize_schedule
from hso_core.method import optimizer, polish, reference
from hso_core.method.differential_evolution import differential_evolution
from hso_core.method.edm_start import edm_start
from hso_core.method.midpoint_error import midpoint_error, midpoint_error_derivatives
from hso_core.method.polish import polish_ends
from hso_core.method.problem import Problem
from hso_core.method.trust_region import minimise_midpoint_error, solve_tridiagonal

NAMES = ("sd15", "ddpm", "flow:3", "edm:0.002:80")


def starts(problem: Problem, members: int = 14) -> torch.Tensor:
    """Starting schedules for every rho from 3 to 16, t from 0.96 to 0.03."""
    rho = torch.linspace(3, 16, members, dtype=torch.float64)
    return problem.starts(torch.stack([rho, torch.full_like(rho, 0.03), torch.full_like(rho, 0.96)]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [3, 4, 6, 9, 20])
def test_lower_level_is_the_exact_minimum_from_every_rho(name, steps):
    """Against the root of the gradient that scipy finds with complex steps on the reference's own formula."""
    problem = Problem(named_schedule(name), steps, Settings())
    found = minimise_midpoint_error(starts(problem), 2.0, problem.noise.snr_power)
    assert bool(found.converged.all())
    exact = torch.from_numpy(reference.solved(problem, found.lam[:, 0].numpy()))
    torch.testing.assert_close(found.lam, exact[:, None].expand_as(found.lam), rtol=0, atol=1e-11)
    best = float(reference.midpoint_error(problem, exact.numpy()))
    assert found.objective.tolist() == pytest.approx([best] * found.lam.shape[1], rel=1e-10)


def test_two_intervals_against_a_search_in_one_dimension():
    from scipy.optimize import minimize_scalar

    problem = Problem(named_schedule("sd15"), 3, Settings())
    start = starts(problem, 1)
    ends = start[[0, -1], 0].tolist()

    def objective(inner: float) -> float:
        return float(reference.midpoint_error(problem, np.array([ends[0], inner, ends[1]])))

    exact = minimize_scalar(objective, bounds=ends, method="bounded", options={"xatol": 1e-12})
    found = minimise_midpoint_error(start, 2.0, 2)
    assert float(found.objective[0]) == pytest.approx(exact.fun, abs=1e-13)
    assert float(found.lam[1, 0]) == pytest.approx(exact.x, abs=1e-7)


@pytest.mark.parametrize("name", NAMES[:3])
def test_lower_level_tends_to_the_closed_form_density(name):
    """The distance in lambda falls as 1/K^2."""
    distance = []
    for intervals in (16, 32, 64):
        problem = Problem(named_schedule(name), intervals + 1, Settings())
        k = problem.noise.snr_power
        lam = minimise_midpoint_error(starts(problem, 2), 2.0, k).lam[:, 0]
        closed = density_schedule(float(lam[0]), float(lam[-1]), intervals, 2.0, k)
        distance.append(float((lam - closed).abs().max()))
    assert distance[0] < 0.05
    assert distance[1] / distance[0] < 0.3 and distance[2] / distance[1] < 0.3


@settings(deadline=None, max_examples=60)
@given(
    p=st.sampled_from([1.0, 1.5, 2.0, 2.5, 4.0]),
    k=st.sampled_from([1, 2]),
    rho=st.floats(0.3, 60),
    first=st.floats(-9, -0.5),
    last=st.floats(0.5, 7),
    intervals=st.integers(2, 24),
)
def test_lower_level_never_raises_j_and_never_loses_order(p, k, rho, first, last, intervals):
    def one(x: float) -> torch.Tensor:
        return torch.tensor([x], dtype=torch.float64)

    start = edm_start(one(rho), one(first), one(last), intervals)
    found = minimise_midpoint_error(start, p, k)
    assert bool((found.lam[1:] > found.lam[:-1]).all())
    assert float(found.objective) <= float(midpoint_error(start, p, k)) * (1 + 1e-12)
    assert torch.equal(found.lam[[0, -1]], start[[0, -1]])


def test_iterations_are_limited():
    found = minimise_midpoint_error(starts(Problem(named_schedule("sd15"), 9, Settings())), 2.0, 2, max_iterations=1)
    assert found.iterations == 1 and not bool(found.converged.any())


def test_tridiagonal_solver_against_a_dense_one():
    generator = torch.Generator().manual_seed(0)
    off = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    diagonal = 4 + torch.rand(6, 3, generator=generator, dtype=torch.float64)
    right = torch.randn(6, 2, 3, generator=generator, dtype=torch.float64)
    x = solve_tridiagonal(diagonal, off, right, floor=torch.zeros_like(diagonal))
    for i in range(3):
        dense = torch.diag(diagonal[:, i]) + torch.diag(off[:, i], 1) + torch.diag(off[:, i], -1)
        torch.testing.assert_close(dense @ x[:, :, i], right[:, :, i])


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def test_differential_evolution_finds_the_minimum_and_repeats_itself():
    bounds = torch.tensor([[-2.0, 2.0], [-1.0, 3.0]], dtype=torch.float64)
    runs = [differential_evolution(rosenbrock, bounds, 40, 80, 0.0, seed) for seed in (5, 5, 6)]
    assert float(runs[0].fitness.min()) < 1e-8
    assert torch.equal(runs[0].members, runs[1].members) and not torch.equal(runs[0].members, runs[2].members)
    inside = (runs[0].members >= bounds[:, :1]) & (runs[0].members <= bounds[:, 1:])
    assert bool(inside.all())


def test_differential_evolution_stops_when_the_population_agrees():
    bounds = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    assert differential_evolution(lambda x: 100 + x[0], bounds, 12, 50, 0.01, 0).generations == 0
    assert differential_evolution(lambda x: x[0], bounds, 12, 5, 0.0, 0).generations == 5


def test_an_exception_from_the_callback_ends_the_evolution():
    class Cancelled(Exception):
        pass

    def cancel(done: int, total: int) -> None:
        assert total == 30
        if done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        differential_evolution(rosenbrock, torch.tensor([[-2.0, 2.0]] * 2).double(), 10, 30, 0.0, 0, cancel)


@pytest.mark.parametrize(("name", "steps"), [("ddpm", 6), ("flow:3", 5), ("sd15", 5), ("sd15", 9)])
def test_polish_reaches_the_best_ends(name, steps):
    """Against scipy's Nelder-Mead over (t_min, t_max), restarted from the corners of the box."""
    from scipy.optimize import minimize

    problem = Problem(named_schedule(name), steps, Settings())
    k = problem.noise.snr_power

    def refine(psi: torch.Tensor):
        refined = minimise_midpoint_error(problem.starts(psi), 2.0, k)
        return refined, refined.objective + problem.penalty(refined.lam)

    low, high = problem.bounds[1:].T.tolist()

    def fitness(ends) -> float:
        t_min, t_max = np.clip(ends, low, high)
        psi = torch.tensor([[7.0], [t_min], [t_max]], dtype=torch.float64)
        return float(refine(psi)[1])

    corners = [(low[0], low[1]), (low[0], high[1]), (high[0], low[1]), (high[0], high[1])]
    options = {"xatol": 1e-10, "fatol": 1e-9, "maxiter": 400}
    oracle = min(minimize(fitness, corner, method="Nelder-Mead", options=options).fun for corner in corners)

    psi = torch.tensor([[7.0, 4.0], [0.02, 0.012], [0.98, 0.99]], dtype=torch.float64)
    before = refine(psi)[1]
    psi, refined, polished = polish_ends(problem, psi, refine)
    assert bool((polished <= before).all())
    assert float(polished.min()) <= oracle * (1 + 1e-9)
    gradient = midpoint_error_derivatives(refined.lam, 2.0, k).gradient[1:-1]
    assert float(gradient.abs().max()) < 1e-10


def zero_terminal_snr() -> NoiseSchedule:
    """Stable Diffusion's table as ComfyUI makes it for zsnr: sigma jumps from 71 to 4518 at its last entry."""
    alpha = (1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()).cumprod(0).sqrt()
    squared = ((alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])).square()
    squared[-1] = 4.8973451890853435e-08
    return NoiseSchedule(((1 - squared) / squared).sqrt().float())


def iterations_of(
    monkeypatch, noise: NoiseSchedule, steps: int, settings: Settings | None = None, **limits: object
) -> tuple[int, float]:
    """How many models the polish has made of the fitness, and the fitness in the end."""
    made = []
    model = polish._model
    with monkeypatch.context() as patch:
        patch.setattr(polish, "_model", lambda *arguments: made.append(1) or model(*arguments))
        for name, value in limits.items():
            patch.setattr(polish, name, value)
        optimizer._memory.clear()
        found = optimize_schedule(noise, steps, settings)
    return len(made), found.fitness


def test_many_steps_take_as_many_iterations_on_every_table(monkeypatch):
    """The best t_max of a zero-SNR table lies where the spacing penalty bends: the polish nears it without an end."""
    steps = polish.MANY_INTERVALS + 800
    usual, _ = iterations_of(monkeypatch, named_schedule("sd15"), steps)
    few, fitness = iterations_of(monkeypatch, zero_terminal_snr(), steps)
    assert usual <= few <= polish.FEW_ITERATIONS
    all_of_them, exact = iterations_of(monkeypatch, zero_terminal_snr(), steps, FEW_ITERATIONS=polish.ITERATIONS)
    assert all_of_them > polish.FEW_ITERATIONS
    assert exact <= fitness <= exact * (1 + 1e-5)


def test_up_to_a_few_hundred_steps_the_polish_has_all_its_iterations(monkeypatch):
    noise, settings = named_schedule("flow:3"), Settings(denoise=0.5)
    made, fitness = iterations_of(monkeypatch, noise, 10, settings)
    assert made > polish.FEW_ITERATIONS
    assert iterations_of(monkeypatch, noise, 10, settings, MANY_INTERVALS=10_000) == (made, fitness)
    noise = zero_terminal_snr()
    assert iterations_of(monkeypatch, noise, 100, MANY_INTERVALS=10_000) == iterations_of(monkeypatch, noise, 100)


@pytest.mark.parametrize(("steps", "denoise"), [(8, 0.5), (8, 0.1), (10, 0.5), (15, 0.9)])
def test_the_polish_ends_where_nothing_more_is_gained_and_loses_nothing_by_it(monkeypatch, steps, denoise):
    """Where no spacing can be kept, the penalty bends at every entry of the table, and CONVERGED is never met."""
    flow, settings = named_schedule("flow:3"), Settings(denoise=denoise)
    made, fitness = iterations_of(monkeypatch, flow, steps, settings)
    assert made < polish.ITERATIONS / 2
    _, patient = iterations_of(monkeypatch, flow, steps, settings, PATIENCE=polish.ITERATIONS)
    _, one = iterations_of(monkeypatch, flow, steps, settings, PATIENCE=polish.ITERATIONS, DAMPINGS=(10.0,))
    assert patient <= fitness <= patient * (1 + 1e-8)
    assert fitness <= one * (1 + 1e-8)


@pytest.mark.parametrize("stage", [1, 3])
def test_a_search_of_many_steps_can_be_cancelled_at_each_stage(stage):
    calls = []

    def cancel(done: int, total: int) -> None:
        calls.append((done, total))
        if len(calls) == stage:
            raise KeyboardInterrupt

    optimizer._memory.clear()
    with pytest.raises(KeyboardInterrupt):
        optimize_schedule(zero_terminal_snr(), 400, on_progress=cancel)
    assert len(calls) == stage
