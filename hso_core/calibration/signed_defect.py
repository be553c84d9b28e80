"""A schedule's error foretold from one reference run, for every schedule and without the model.

The reference gives D, the denoised prediction, along its trajectory. Off the trajectory D is taken to follow with the
gain of Gaussian data of standard deviation c. Then the error of a linear solver is at every step a weighted sum of the
reference's D, with weights that only depend on the schedule, and its norm is a quadratic form of their Gram matrix. The
defects of the steps keep their signs, so that those of a multistep solver may cancel, as they do.

The host's solvers work on dx/dsigma = (x - D) / sigma for every model, flow or not: with y = x / sigma and
kappa = 1 / sigma, dy/dkappa = D; they interpolate in mu = -ln sigma.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..schedule.noise_schedule import NoiseSchedule
from .profile import Profile

Array = NDArray[np.float64]

MULTISTEP_ORDER = 3  # of the host's uni_pc
LEAST_STEP = 1e-7
LEAST_MIDWAY = 1e-4  # of the data's standard deviation


class SignedDefect:
    """The foretold error of schedules on the model of `profile`.

    solver: one of SOLVERS, whose steps are followed. gain: the data's standard deviation is taken to be so many times
    the profile's; of data that are not Gaussian, what moves most along the way need not be what varies most.
    """

    def __init__(self, profile: Profile, noise: NoiseSchedule, solver: str, gain: float = 1.0) -> None:
        self._gram = profile.gram.numpy()
        self._variance = (gain * profile.data_scale) ** 2
        self._flow = noise.family == "flow"
        self._step = SOLVERS[solver]
        self._knots = -np.log(profile.sigmas.double().numpy())
        count = len(self._knots)
        unit = np.eye(count, count + 1)  # the last weight is that of the final latent
        self._slopes = (unit[1:] - unit[:-1]) / np.diff(self._knots)[:, None]
        self._values = unit[:-1]
        ends = np.exp(self._knots)[:, None]
        cells = ends[1:] * (unit[1:] - self._slopes) - ends[:-1] * (unit[:-1] - self._slopes)
        self._integrals = np.concatenate([np.zeros((1, count + 1)), cells.cumsum(0)[:-1]])

    def __call__(self, sigmas: Array) -> Array:
        """RMS (P,) of the error at the end of schedules (N, P), falling sigmas before the final 0."""
        end = self.weights(sigmas)
        return np.asarray(np.sqrt(np.einsum("pi,ij,pj->p", end, self._gram, end).clip(0)))

    def weights(self, sigmas: Array) -> Array:
        """The same error as weights (P, M + 1) of the reference's D and its final latent."""
        return self._follow(sigmas)[0]

    def midway(self, sigmas: Array, level: float) -> Array:
        """RMS (P,) of the error of D where schedules (N, P) pass the noise level `level`."""
        errors = np.stack(self._follow(sigmas)[1])
        sizes = np.sqrt(((errors @ self._gram) * errors).sum(-1).clip(0))
        logs = np.log(sizes.clip(LEAST_MIDWAY * self._variance**0.5))
        paths = zip(-np.log(sigmas).T, logs.T, strict=True)
        return np.exp([np.interp(-np.log(level), mu, path) for mu, path in paths])

    def _follow(self, sigmas: Array) -> tuple[Array, list[Array]]:
        """The error at the end, (P, M + 1), and that of D at each of the N levels."""
        errors: list[Array] = []
        mu = -np.log(sigmas) + LEAST_STEP * np.arange(len(sigmas))[:, None]  # neighbours may be equal
        predictions, integrals = self._along(mu)
        alpha = 1 - sigmas if self._flow else np.ones_like(sigmas)
        gains = alpha * self._variance * sigmas / (alpha**2 * self._variance + sigmas**2)  # of D over y

        def predict(i: int, error: Array) -> Array:
            errors.append(gains[i][:, None] * error)
            return np.asarray(predictions[i] + errors[i])

        end = self._step(mu, predict, -integrals[0], np.diff(integrals, axis=0))
        end[:, -1] -= 1  # less the final latent
        return end, errors

    def _along(self, mu: Array) -> tuple[Array, Array]:
        """The reference's D at mu (N, P), and its integral over kappa up to there, as weights (N, P, M + 1) of its D.

        Between the reference's levels D is a straight line in mu, a + b mu, whose integral is e^mu (a + b mu - b).
        """
        cell = (np.searchsorted(self._knots, mu, side="right") - 1).clip(0, len(self._knots) - 2)
        slope, start = self._slopes[cell], self._knots[cell]
        value = self._values[cell] + (mu - start)[..., None] * slope
        gone = np.exp(mu)[..., None] * (value - slope) - np.exp(start)[..., None] * (self._values[cell] - slope)
        return value, self._integrals[cell] + gone


# -- the solvers: each returns the last prediction (P, M + 1), which is what a last step to 0 puts out -----------------
# mu (N, P); predict(i, error) is D at level i where y is off the reference's by `error`; `error` is that of the start;
# true (N - 1, P, M + 1) the integrals of the reference's D over kappa from level to level.

Predict = Callable[[int, Array], Array]
Solver = Callable[[Array, Predict, Array, Array], Array]


def _euler(mu: Array, predict: Predict, error: Array, true: Array) -> Array:
    width = np.diff(np.exp(mu), axis=0)
    for i in range(len(mu) - 1):
        error = error + width[i][:, None] * predict(i, error) - true[i]
    return predict(len(mu) - 1, error)


def _two_step(mu: Array, predict: Predict, error: Array, true: Array) -> Array:
    """DPM-Solver++ (2M), Lu et al. 2022, algorithm 2."""
    width, h = np.diff(np.exp(mu), axis=0), np.diff(mu, axis=0)
    before = None
    for i in range(len(mu) - 1):
        now = predict(i, error)
        slope = now if before is None else now + 0.5 * (h[i] / h[i - 1])[:, None] * (now - before)
        error = error + width[i][:, None] * slope - true[i]
        before = now
    return predict(len(mu) - 1, error)


def _predictor_corrector(mu: Array, predict: Predict, error: Array, true: Array) -> Array:
    """UniPC-3 with B(h) = h and data prediction, Zhao et al. 2023, algorithms 5 and 6, in the host's order of steps."""
    steps = len(mu)
    kappa, h = np.exp(mu), np.diff(mu, axis=0)
    predictions = [predict(0, error)]
    for k in range(1, steps):
        order = min(k, MULTISTEP_ORDER, steps + 1 - k, max(steps - 1, 1))
        now, width = predictions[-1], h[k - 1]
        ratios = [(mu[k - 1 - i] - mu[k - 1]) / width for i in range(1, order)]
        slopes = [(predictions[-1 - i] - now) / ratio[:, None] for i, ratio in enumerate(ratios, 1)]
        matrix, right = _order_conditions(np.stack([*ratios, np.ones_like(width)], axis=1), width)
        first = error + (kappa[k] - kappa[k - 1])[:, None] * now - true[k - 1]
        factor = (kappa[k] * width)[:, None]
        half = np.full((len(width), 1), 0.5)  # the host's short cut for the lowest orders
        weights = half if order == 2 else _solved(matrix[:, :-1, :-1], right[:, :-1])
        predictions.append(predict(k, first + factor * _weighted(weights, slopes)))
        weights = half if order == 1 else _solved(matrix, right)
        error = first + factor * _weighted(weights, [*slopes, predictions[-1] - now])
    return predictions[-1]


def _order_conditions(ratios: Array, width: Array) -> tuple[Array, Array]:
    """R (P, n, n) and b (P, n) of UniPC's equation 9, divided by B(h), for ratios (P, n) of steps to the width (P,)."""
    negative = -width
    phi, factorial = np.expm1(negative) / negative - 1, 1
    rows, right = [], []
    for i in range(1, ratios.shape[1] + 1):
        rows.append(ratios ** (i - 1))
        right.append(phi * factorial / negative)
        factorial *= i + 1
        phi = phi / negative - 1 / factorial
    return np.stack(rows, axis=1), np.stack(right, axis=1)


def _solved(matrix: Array, right: Array) -> Array:
    """x (P, n) of matrix (P, n, n) x = right (P, n)."""
    return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0])


def _weighted(weights: Array, terms: Sequence[Array]) -> Array:
    return np.asarray(sum((weights[:, j : j + 1] * term for j, term in enumerate(terms)), np.zeros(1)))


SOLVERS: dict[str, Solver] = {"euler": _euler, "dpmpp_2m": _two_step, "uni_pc": _predictor_corrector}
"""By the host's names; other samplers are near to one of them."""
