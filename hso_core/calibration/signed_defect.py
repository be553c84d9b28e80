"""A schedule's error foretold from one reference run, for every schedule and without the model.

The reference gives D, the denoised prediction, along its trajectory. Off the trajectory D is taken to follow with the
gain of Gaussian data of standard deviation c, D(x) - D(x_ref) = c^2 / (c^2 + s^2) (x - x_ref), s = sigma/alpha. Then a
linear solver's error at the end is a weighted sum of the reference's D, with weights that only depend on the schedule,
and its norm is a quadratic form of their Gram matrix. The defects of the steps keep their signs, so that those of a
multistep solver may cancel, as they do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .profile import Profile

GRID = 600

Array = NDArray[np.float64]


class SignedDefect:
    """The foretold error of schedules on the model of `profile`.

    lambdas: (M,) half-log-SNR of the profile's noise levels, rising; -inf, a flow model's first, is left out.
    """

    def __init__(self, profile: Profile, lambdas: Array) -> None:
        finite = np.isfinite(lambdas)
        keep = np.append(finite, True)  # the final latent stays
        self._gram = profile.gram.numpy()[np.ix_(keep, keep)]
        self._knots = lambdas[finite]
        self._variance = profile.data_scale**2
        # D's integral over kappa from the first knot to each point of a fine grid, as weights of the reference's D.
        self._grid = np.linspace(self._knots[0], self._knots[-1], GRID)
        kappa = np.exp(self._grid)
        weights = self._prediction(self._grid)
        cells = 0.5 * (weights[1:] + weights[:-1]) * np.diff(kappa)[:, None]
        self._kappa = kappa
        self._integral = np.concatenate([np.zeros((1, weights.shape[1])), cells.cumsum(0)])

    def __call__(self, lambdas: Array, order: int) -> Array:
        """RMS (P,) of the error at the end of schedules (N, P), rising lambdas before the final sigma of 0.

        order: 1 for Euler's method; 2 for the two-step method of DPM-Solver++ (2M). Both end with a step of order 1.
        """
        kappa = np.exp(lambdas)
        gain = self._variance * kappa / (self._variance * kappa**2 + 1)  # of D over y = kappa x
        error = np.zeros((lambdas.shape[1], self._gram.shape[0]))  # of y
        before = error
        for i in range(len(lambdas) - 1):
            prediction = slope = self._prediction(lambdas[i]) + gain[i][:, None] * error
            if order == 2 and i:
                ratio = (lambdas[i + 1] - lambdas[i]) / (lambdas[i] - lambdas[i - 1])
                slope = prediction + 0.5 * ratio[:, None] * (prediction - before)
            step = (kappa[i + 1] - kappa[i])[:, None] * slope
            error = error + step - (self._integrated(lambdas[i + 1]) - self._integrated(lambdas[i]))
            before = prediction
        end = self._prediction(lambdas[-1]) + gain[-1][:, None] * error
        end[:, -1] -= 1  # less the final latent
        return np.asarray(np.sqrt(np.einsum("pi,ij,pj->p", end, self._gram, end).clip(0)))

    def _prediction(self, lam: Array) -> Array:
        """Weights (P, M + 1) of the reference's D in its value at lam (P,), by straight lines between its levels."""
        place = np.interp(lam, self._knots, np.arange(len(self._knots)))
        low = np.minimum(place.astype(int), len(self._knots) - 2)
        weights = np.zeros((len(place), len(self._knots) + 1))
        rows = np.arange(len(place))
        weights[rows, low] = 1 - (place - low)
        weights[rows, low + 1] = place - low
        return weights

    def _integrated(self, lam: Array) -> Array:
        kappa = np.exp(lam)
        place = np.interp(kappa, self._kappa, np.arange(GRID))
        low = np.minimum(place.astype(int), GRID - 2)
        part = (place - low)[:, None]
        return np.asarray((1 - part) * self._integral[low] + part * self._integral[low + 1])
