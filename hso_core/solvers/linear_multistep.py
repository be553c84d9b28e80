"""Linear multistep solvers on a fixed schedule: every ODE sampler that looks once at each sigma, as a table of weights.

All samplers of the host solve dx/dsigma = (x - D) / sigma, D the denoised prediction, for flow models too. With
y = x / sigma and kappa = 1 / sigma that is dy/dkappa = D, and a linear multistep solver is, on a fixed schedule,

    y_(i+1) = y_i + (kappa_(i+1) - kappa_i) sum_(j <= i) v_ij D_j,    sum_j v_ij = 1

With the sum of 1 a prediction that never turns is followed exactly. (alpha / sigma in place of 1 / sigma gives the same
differences where alpha = 1 and where alpha = 1 - sigma, so nothing here asks for the model's family.) A fitted solver
may go a little further than a step, or less far, by its strength s_i. In x:

    x_(i+1) = a_i x_i + (1 - a_i) sum_(j <= i) v_ij D_j,    a_i = 1 - s_i (1 - sigma_(i+1) / sigma_i)

so that the noise which is left in x need not be as much as the network is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..schedule.sigmas import check_sigmas, plain_decimal

Denoise = Callable[[Tensor, Tensor], Tensor]
"""x (batch, ...) and sigma (batch,) -> the denoised prediction, of the shape of x."""

MOST_STEPS = 100
LARGEST_WEIGHT = 1000.0
LEAST_STRENGTH, LARGEST_STRENGTH = 0.5, 2.0
WHOLE = torch.ones(0, dtype=torch.float64, device="cpu")
SUM_SLACK = 1e-6
SAME_SIGMA = 1e-5  # relative: nearer values are one level
DECIMALS = 6


class SolverError(ValueError):
    """Weights, or sigmas for them, that cannot be used; the message says what is wrong and what would be right."""


@dataclass(frozen=True, eq=False)
class LinearMultistep:
    """A solver and the schedule that it belongs to.

    sigmas     (N + 1,) float32 on the CPU, falling; a last 0 makes the picture
    weights    (N, N) float64, lower triangular: row i holds those of D_0 ... D_i in step i, and has the sum 1
    strengths  (N,) float64, how far each step goes: 1 for the whole way, as all do if none are given

    Raises SigmasError or SolverError for what is none.
    """

    sigmas: Tensor
    weights: Tensor
    strengths: Tensor = WHOLE

    def __post_init__(self) -> None:
        sigmas = check_sigmas(self.sigmas.detach().to("cpu", torch.float32, copy=True))
        weights = self.weights.detach().to("cpu", torch.float64, copy=True)
        _check_weights(weights, len(sigmas) - 1)
        strengths = self.strengths.detach().to("cpu", torch.float64, copy=True)
        if not strengths.numel():
            strengths = torch.ones(len(weights), dtype=torch.float64, device="cpu")
        _check_strengths(strengths, len(weights))
        object.__setattr__(self, "sigmas", sigmas)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "strengths", strengths)

    @classmethod
    def of_coefficients(cls, sigmas: Tensor, coefficients: Tensor) -> LinearMultistep:
        """The solver with these `coefficients` on these sigmas. Raises what the class raises."""
        kept = coefficients[:, 0].double()
        strengths = (1 - kept) / (1 - _ratios(sigmas))
        return cls(sigmas, coefficients[:, 1:].double() / (1 - kept)[:, None], strengths)

    @property
    def steps(self) -> int:
        return len(self.weights)

    @property
    def is_whole(self) -> bool:
        """Whether every step goes the whole way."""
        return bool((self.strengths == 1).all())

    @property
    def coefficients(self) -> Tensor:
        """(N, N + 1): row i makes x_(i+1) of x_i, which comes first, and D_0 ... D_(N-1). Each has the sum 1."""
        ratios = _ratios(self.sigmas)
        kept = ratios + (1 - self.strengths) * (1 - ratios)
        return torch.cat([kept[:, None], (1 - kept)[:, None] * self.weights], dim=1)

    def rounded(self) -> LinearMultistep:
        """The same with numbers of DECIMALS decimals, so that it is short as text; the latest weight of a row gives."""
        weights = self.weights.round(decimals=DECIMALS)
        weights -= torch.diag((weights.sum(1) - 1).round(decimals=DECIMALS))
        return LinearMultistep(self.sigmas, weights.round(decimals=DECIMALS), self.strengths.round(decimals=DECIMALS))

    def on(self, sigmas: Tensor) -> LinearMultistep:
        """The solver for `sigmas`, which are its own, or a part of them: the first steps, or the last ones.

        A part may start anywhere in the step that it begins in, as one does that starts at a denoise. What it has not
        predicted itself is replaced by its first prediction. It starts and ends with as much noise as its sigmas say.
        Raises SolverError for any other sigmas.
        """
        values = check_sigmas(sigmas.detach().to("cpu", torch.float32, copy=True))
        first = self._step_of(values)
        if first is None:
            raise SolverError(
                f"this sampler is made for the {self.steps} steps of its own sigmas, {_ends(self.sigmas)}, and was "
                f"given {len(values) - 1} steps {_ends(values)}: connect the sigmas that came with it, or a part that "
                "was split off from them"
            )
        if first == 0 and len(values) == len(self.sigmas) and _same(values, self.sigmas):
            return self
        last = first + len(values) - 1
        rows = self.weights[first:last]
        weights = rows[:, first:last].clone()
        weights[:, 0] += rows[:, :first].sum(1)
        return LinearMultistep(values, weights, self._strengths_of_part(values, first, last))

    def _strengths_of_part(self, sigmas: Tensor, first: int, last: int) -> Tensor:
        """Those with which the steps from `first` to `last` leave as much noise as they do within the whole."""
        if self.is_whole:
            return WHOLE
        left = torch.cat([self.sigmas[:1].double(), self.sigmas[0] * self.coefficients[:, 0].cumprod(0)])
        left = left[first : last + 1].clone()
        left[0] = sigmas[0]
        if last < self.steps:
            left[-1] = sigmas[-1]
        strengths = (1 - left[1:] / left[:-1]) / (1 - _ratios(sigmas))
        return strengths.clamp(LEAST_STRENGTH, LARGEST_STRENGTH)

    def _step_of(self, sigmas: Tensor) -> int | None:
        """In which step a part of the schedule begins; None where it is no part of it."""
        for first in range(len(self.sigmas) - len(sigmas) + 1):
            rest = _same(sigmas[1:], self.sigmas[first + 1 : first + len(sigmas)])
            within = sigmas[0] <= self.sigmas[first] * (1 + SAME_SIGMA)
            if rest and bool(within):
                return first
        return None

    def stepper(self) -> Stepper:
        """What makes the steps of one run, from the first on."""
        return Stepper(self)

    def sample(
        self,
        denoise: Denoise,
        x: Tensor,
        sigmas: Tensor | None = None,
        callback: Callable[[dict[str, object]], None] | None = None,
    ) -> Tensor:
        """Sample along `sigmas` (its own, or a part: see `on`) from x (batch, ...) at the first of them.

        callback: called in each step with x, i, sigma, sigma_hat (the same) and denoised, as k-diffusion's samplers do.
        """
        solver = self if sigmas is None else self.on(sigmas)
        step, levels = solver.stepper(), solver.sigmas.to(x.device)
        ones = x.new_ones([x.shape[0]])
        for i in range(solver.steps):
            denoised = denoise(x, levels[i] * ones)
            if callback is not None:
                callback({"x": x, "i": i, "sigma": levels[i], "sigma_hat": levels[i], "denoised": denoised})
            x = step(x, denoised)
        return x


class Stepper:
    """The steps of one run, one after the other; keeps the predictions that later steps still ask for."""

    def __init__(self, solver: LinearMultistep) -> None:
        self._coefficients = solver.coefficients.tolist()
        self._denoised: dict[int, Tensor] = {}
        self._done = 0

    def __call__(self, x: Tensor, denoised: Tensor) -> Tensor:
        """x (batch, ...) at the next sigma, from x at this one and its denoised prediction."""
        kept, *row = self._coefficients[self._done]
        self._denoised[self._done] = denoised
        result: Tensor = kept * x
        for j, earlier in self._denoised.items():
            if row[j]:
                result.add_(earlier, alpha=row[j])  # in place: nothing else has it yet
        self._done += 1
        still = {j for later in self._coefficients[self._done :] for j in self._denoised if later[1 + j]}
        self._denoised = {j: earlier for j, earlier in self._denoised.items() if j in still}
        return result


def _check_weights(weights: Tensor, steps: int) -> None:
    if steps > MOST_STEPS:
        raise SolverError(f"a fitted sampler has at most {MOST_STEPS} steps, and these are {steps}")
    if weights.shape != (steps, steps):
        raise SolverError(f"{steps} steps need {steps} rows of {steps} weights, not the shape {tuple(weights.shape)}")
    if not bool(weights.isfinite().all()):
        raise SolverError("every weight must be a finite number")
    for i, row in enumerate(weights, start=1):
        if bool(row[i:].any()):
            raise SolverError(f"step {i} has a weight for a prediction that it does not know yet")
        largest = float(row.abs().max())
        if largest > LARGEST_WEIGHT:
            raise SolverError(f"step {i} has the weight {largest:g}; none may be above {LARGEST_WEIGHT:g}")
        if abs(float(row.sum()) - 1) > SUM_SLACK:
            raise SolverError(f"the weights of step {i} have the sum {float(row.sum()):.7g}; it must be 1")


def _check_strengths(strengths: Tensor, steps: int) -> None:
    if strengths.shape != (steps,):
        raise SolverError(f"{steps} steps need {steps} strengths, one each, not the shape {tuple(strengths.shape)}")
    for i, strength in enumerate(strengths.tolist(), start=1):
        if not LEAST_STRENGTH <= strength <= LARGEST_STRENGTH:
            raise SolverError(
                f"step {i} has the strength {strength:g}; it must be between {LEAST_STRENGTH:g} and "
                f"{LARGEST_STRENGTH:g}"
            )


def _ratios(sigmas: Tensor) -> Tensor:
    """(N,) of each sigma to the one before it."""
    return sigmas[1:].double() / sigmas[:-1].double()


def _ends(sigmas: Tensor) -> str:
    return f"from {plain_decimal(sigmas[0])} to {plain_decimal(sigmas[-1])}"


def _same(sigmas: Tensor, others: Tensor) -> bool:
    return sigmas.shape == others.shape and bool(sigmas.allclose(others, rtol=SAME_SIGMA, atol=0))
