"""A schedule's error foretold from one reference run, for every schedule and without the model.

The reference gives D, the denoised prediction, along its trajectory. Off the trajectory D is taken to follow with the
gain of Gaussian data of standard deviation c. Then the error of a linear solver is at every step a weighted sum of the
reference's D, with weights that only depend on the schedule, and its norm is a quadratic form of their Gram matrix. The
defects of the steps keep their signs, so that those of a multistep solver may cancel, as they do. The weights that a
fitted solver would have come out of the same Gram matrix.

The host's solvers work on dx/dsigma = (x - D) / sigma for every model, flow or not: with y = x / sigma and
kappa = 1 / sigma, dy/dkappa = D (see solvers/linear_multistep.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..schedule.noise_schedule import NoiseSchedule
from ..solvers.known_solvers import SOLVERS, Grid
from .profile import Profile

Array = NDArray[np.float64]

LEAST_STEP = 1e-7
LEAST_SQUARE = 1e-20
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
        self._solver, self._noise = SOLVERS[solver], noise
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

        ends = np.concatenate([np.exp(-mu.T), np.zeros((mu.shape[1], 1))], axis=1)
        weights = self._solver(Grid.of(ends, self._noise))
        widths, travelled = np.diff(np.exp(mu), axis=0)[..., None], np.diff(integrals, axis=0)
        error, seen = -integrals[0], list[Array]()
        for i in range(len(mu)):
            errors.append(gains[i][:, None] * error)
            seen.append(predictions[i] + errors[i])
            if i + 1 < len(mu):
                wanted = (travelled[i] - error) / widths[i]
                error = error + widths[i] * self._mean(weights[:, i, : i + 1], seen, wanted) - travelled[i]
        final = np.broadcast_to(np.eye(1, self._gram.shape[0], self._gram.shape[0] - 1), error.shape)
        return self._mean(weights[:, -1], seen, final) - final, errors

    def _mean(self, weights: Array, seen: list[Array], wanted: Array) -> Array:
        """The mean prediction (P, M + 1) of a step, of the predictions `seen`; weights: the solver's, (P, i + 1)."""
        return np.asarray(sum(weights[:, j : j + 1] * each for j, each in enumerate(seen)))

    def _along(self, mu: Array) -> tuple[Array, Array]:
        """The reference's D at mu (N, P), and its integral over kappa up to there, as weights (N, P, M + 1) of its D.

        Between the reference's levels D is a straight line in mu, a + b mu, whose integral is e^mu (a + b mu - b).
        """
        cell = (np.searchsorted(self._knots, mu, side="right") - 1).clip(0, len(self._knots) - 2)
        slope, start = self._slopes[cell], self._knots[cell]
        value = self._values[cell] + (mu - start)[..., None] * slope
        gone = np.exp(mu)[..., None] * (value - slope) - np.exp(start)[..., None] * (self._values[cell] - slope)
        return value, self._integrals[cell] + gone


class FittedDefect(SignedDefect):
    """The foretold error of schedules whose solver is fitted to them (see fit_solver.py), from `solver` as the anchor.

    strength: of the ridge, in units of the mean square of the differences of predictions. What is fitted here follows
    D just as it is foretold, so the ridge stands for what is not.
    """

    def __init__(
        self, profile: Profile, noise: NoiseSchedule, solver: str, gain: float = 1.0, strength: float = 1e-2
    ) -> None:
        super().__init__(profile, noise, solver, gain)
        self._strength = strength

    def _mean(self, weights: Array, seen: list[Array], wanted: Array) -> Array:
        anchored, order = super()._mean(weights, seen, wanted), len(seen) - 1
        if not order:
            return anchored
        differences = np.stack([earlier - seen[-1] for earlier in seen[:-1]], axis=1)
        across = differences @ self._gram
        squares = across @ differences.transpose(0, 2, 1)
        scale = np.trace(squares, axis1=1, axis2=2)[:, None, None] / order + LEAST_SQUARE
        ridge = self._strength * scale * np.eye(order)
        change = np.linalg.solve(squares + ridge, across @ (anchored - wanted)[..., None])
        return np.asarray(anchored - (change * differences).sum(1))
