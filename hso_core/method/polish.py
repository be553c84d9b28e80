"""The last touch of the upper level: a local search for the best t_min and t_max, from the best members found.

It takes the place of the L-BFGS-B polish of the paper's code. rho is left alone: the lower level leads to the same
schedule from every rho. At a minimum of the lower level the derivatives in the two ends are exact: the objective's by
the envelope theorem, the times' by differentiating the minimum's condition H dlambda = -H_ends. Each step minimises
J's quadratic model plus the spacing penalty of the linearised times, over the box. (The penalty is too stiff, and sets
in too suddenly, for a quadratic model of its own.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .midpoint_error import Derivatives, midpoint_error_derivatives
from .problem import Problem
from .trust_region import Refined, solve_tridiagonal

ITERATIONS = 40
MANY_INTERVALS = 200  # beyond them there are FEW_ITERATIONS, each of which takes time for every interval
FEW_ITERATIONS = 6
MODEL_ITERATIONS = 12
CONVERGED = 1e-12  # predicted decrease, relative to the fitness
PATIENCE, LEAST_GAIN = 3, 1e-9  # it ends where so many iterations lower the least fitness by no more than this part
DAMPINGS = (10.0, 100.0, 1000.0)  # that are tried beside a member's own: so many times it, or times LEAST_DAMPING
LEAST_DAMPING = 0.01


class Model(NamedTuple):
    """The fitness near a schedule, as a function of the step s (2, P) in (t_max, t_min).

    m(s) = g s + s H s / 2 + gamma sum max(0, short - A s)^2, with g (2, P), H (2, 2, P), short (M, P), A (M, 2, P)
    for the M steps between sigmas above 0.
    """

    gradient: Tensor
    hessian: Tensor
    short: Tensor
    slopes: Tensor
    gamma: float

    def repeated(self, times: int) -> Model:
        """The same for so many steps of each member, one row of members after the other."""

        def rows(tensor: Tensor) -> Tensor:
            return torch.cat([tensor] * times, dim=-1)

        return Model(rows(self.gradient), rows(self.hessian), rows(self.short), rows(self.slopes), self.gamma)

    def shortfall(self, s: Tensor) -> Tensor:
        """What the linearised times lack in spacing (M, ..., P) at s (2, ..., P); negative where they have room."""
        new = (slice(None), *[None] * (s.ndim - 2))
        return self.short[new] - self.slopes[:, 0][new] * s[0] - self.slopes[:, 1][new] * s[1]

    def value(self, s: Tensor) -> Tensor:
        """m(s), (..., P), for s (2, ..., P)."""
        (a, b), (c, d) = self.hessian
        x, y = s
        smooth: Tensor = x * (self.gradient[0] + 0.5 * (a * x + b * y)) + y * (self.gradient[1] + 0.5 * (c * x + d * y))
        return smooth + self.gamma * torch.relu(self.shortfall(s)).square().sum(0)

    def newton_step(self, s: Tensor, binding: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Step (2, P) from s to the minimum in low <= s <= high, were the intervals `binding` (M, P) always short."""
        slopes = self.slopes * binding[:, None]
        g = self.gradient + (self.hessian * s).sum(1) - 2 * self.gamma * (self.shortfall(s)[:, None] * slopes).sum(0)
        h = self.hessian + 2 * self.gamma * (slopes[:, :, None] * slopes[:, None]).sum(0)
        return _box_newton_step(g, h, low - s, high - s)


def polish_ends(
    problem: Problem,
    psi: Tensor,
    refine: Callable[[Tensor], tuple[Refined, Tensor]],
    on_iteration: Callable[[int, int], None] | None = None,
) -> tuple[Tensor, Refined, Tensor]:
    """Move t_min and t_max of each psi (3, P) to a local minimum of the fitness in the box.

    `refine(psi)` runs the lower level: the refined schedules and their fitness (P,). `on_iteration(done, at most)` is
    called once an iteration; an exception from it ends the work.
    Returns psi, the refined schedules and their fitness, never worse than given.
    """
    box = problem.bounds[[2, 1]].to(psi)  # t_max, t_min: in the order of the schedule
    most = _most_iterations(problem.intervals)
    members = torch.arange(psi.shape[1], dtype=torch.long, device=psi.device)
    refined, fitness = refine(psi)
    mu, least = torch.zeros_like(fitness), [float(fitness.min())]
    for iteration in range(most):
        if on_iteration is not None:
            on_iteration(iteration, most)
        # Each member's step with several dampings, in one batch, which takes hardly longer than one of them.
        dampings = torch.stack([mu, *(mu.clamp(min=LEAST_DAMPING) * times for times in DAMPINGS)])
        count = len(dampings)
        ends = psi[[2, 1]].repeat(1, count)
        model = _model(problem, refined.lam).repeated(count)
        step, predicted = _minimise_model(model, dampings.flatten(), box[:, :1] - ends, box[:, 1:] - ends)
        if bool((predicted[: len(members)] <= CONVERGED * fitness.abs()).all()):
            break
        # Of the sum the last bit may lie outside, though the step ends on the box.
        trials = torch.cat([psi[:1].repeat(1, count), (ends + step).clamp(box[:, :1], box[:, 1:]).flip(0)])
        refined_trials, trial_fitness = refine(trials)
        best = trial_fitness.view(count, -1).argmin(0)
        chosen, damping = best * len(members) + members, dampings[best, members]
        better = trial_fitness[chosen] < fitness
        mu = torch.where(better, torch.where(damping > 1e-3, damping * 0.1, 0), dampings[-1] * 10)
        psi = torch.where(better, trials[:, chosen], psi)
        fitness = torch.where(better, trial_fitness[chosen], fitness)
        refined = Refined(
            torch.where(better, refined_trials.lam[:, chosen], refined.lam),
            torch.where(better, refined_trials.objective[chosen], refined.objective),
            torch.where(better, refined_trials.converged[chosen], refined.converged),
            refined_trials.iterations,
        )
        least.append(float(fitness.min()))
        if iteration >= PATIENCE and least[-1 - PATIENCE] - least[-1] <= LEAST_GAIN * abs(least[-1]):
            break
    return psi, refined, fitness


def _most_iterations(intervals: int) -> int:
    """As many as there are at most.

    The spacing penalty bends where a time passes an entry of the table. On tables with few levels at high noise (zero
    terminal SNR) the best t_max often lies in such a bend. The models of both sides overshoot it, each iteration comes
    nearer by some factor only, and CONVERGED is never met. Where no spacing can be kept any more, that is not worth the
    time: tests/core/test_search.py measures what is lost.
    """
    return ITERATIONS if intervals <= MANY_INTERVALS else FEW_ITERATIONS


def _model(problem: Problem, lam: Tensor) -> Model:
    """The model at refined schedules lam (K + 1, P)."""
    s, noise = problem.settings, problem.noise
    j = midpoint_error_derivatives(lam, s.exponent, noise.snr_power)
    dt = noise.dt_dlambda(lam)
    to_lambda = 1 / dt[[0, -1]]  # d lambda_end / d t_end
    moved = _motion(j) * to_lambda  # d lambda / d (t_max, t_min)

    # Schur complement: the ends' own curvature and what the inner lambdas give way.
    hessian = torch.stack([j.diagonal[0] * moved[0], j.diagonal[-1] * moved[-1]])
    hessian[0] += j.off_diagonal[0] * moved[1]
    hessian[1] += j.off_diagonal[-1] * moved[-2]

    times = problem.times(lam)
    times_moved = (dt[:, None] * moved)[: len(times)]
    if problem.first_is_full:
        times_moved[0] = 0
    return Model(
        gradient=j.gradient[[0, -1]] * to_lambda,
        hessian=hessian * to_lambda[:, None],
        short=problem.d_min - (times[:-1] - times[1:]),
        slopes=times_moved[:-1] - times_moved[1:],
        gamma=s.gamma,
    )


def _motion(j: Derivatives) -> Tensor:
    """How every lambda follows the two ends at a minimum of the lower level: (K + 1, 2, P)."""
    points, members = j.diagonal.shape
    moved = j.diagonal.new_zeros(points, 2, members)
    moved[0, 0] = moved[-1, 1] = 1
    if points > 2:
        right = torch.zeros_like(moved[1:-1])
        right[0, 0] = -j.off_diagonal[0]
        right[-1, 1] = -j.off_diagonal[-1]
        inner = j.diagonal[1:-1]
        moved[1:-1] = solve_tridiagonal(inner, j.off_diagonal[1:-1], right, floor=1e-9 * inner.abs())
    return moved


def _minimise_model(model: Model, mu: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Minimum of m(s) + mu s D s / 2 over low <= s <= high: the step (2, P) and the decrease of m (P,).

    Newton's method with two guesses of the intervals that end up short, those that are so now and those that the first
    guess's step makes so, and a line search; all of them evaluated at once.
    """
    diagonal = model.hessian.diagonal().T.abs() + model.gradient.abs()
    damped = model._replace(hessian=model.hessian + torch.diag_embed((mu * diagonal).T).permute(1, 2, 0))
    lengths = torch.tensor([0, 1, 0.5, 0.25, 0.1, 0.01], dtype=mu.dtype, device=mu.device)[:, None]
    s = torch.zeros_like(low)
    for _ in range(MODEL_ITERATIONS):
        binding = damped.shortfall(s) > 0
        step = damped.newton_step(s, binding, low, high)
        if not bool(step.any()):
            break
        trials = s[:, None] + lengths * step[:, None]
        crossed = binding | (damped.shortfall(s + step) > 0)
        if not crossed.equal(binding):
            along = damped.newton_step(s, crossed, low, high)
            trials = torch.cat([trials, s[:, None] + lengths[1:] * along[:, None]], dim=1)
        best = damped.value(trials).argmin(0)
        s = trials.gather(1, best.expand(2, 1, -1))[:, 0]
        if bool((best == 0).all()):
            break
    return s, model.value(torch.zeros_like(s)) - model.value(s)


def _box_newton_step(g: Tensor, h: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Minimum of g s + s h s / 2 over low <= s <= high, in two variables: (2, P).

    It is the free one if that lies inside, else the best of the four edges' minima. Curvature is made positive.
    """
    tiny = 1e-9 * (g.abs().amax(0) + h[0, 0].abs() + h[1, 1].abs()) + 1e-300
    a, c = torch.maximum(h[0, 0], tiny), torch.maximum(h[1, 1], tiny)
    most = (a * c).sqrt() * (1 - 1e-12)
    b = torch.minimum(torch.maximum(0.5 * (h[0, 1] + h[1, 0]), -most), most)
    free = torch.stack([b * g[1] - c * g[0], b * g[0] - a * g[1]]) / (a * c - b * b)
    candidates = [free]
    for x, y in (low, high):
        on_x = ((-g[1] - b * x) / c).clamp(low[1], high[1])
        on_y = ((-g[0] - b * y) / a).clamp(low[0], high[0])
        candidates += [torch.stack([x, on_x]), torch.stack([on_y, y])]
    s = torch.stack(candidates)  # (5, 2, P)
    value = (g * s).sum(1) + 0.5 * (a * s[:, 0].square() + 2 * b * s[:, 0] * s[:, 1] + c * s[:, 1].square())
    inside = ((free >= low) & (free <= high)).all(0)
    value[0] = torch.where(inside, value[0], torch.inf)
    return s.gather(0, value.argmin(0).expand(1, 2, -1))[0]
