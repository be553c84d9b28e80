"""Where the reference's trajectories pass between its noise levels: what a fitted solver is to follow.

With y = x / sigma and kappa = 1 / sigma, dy/dkappa = D. So y is what the noise was, and the integral of the recorded
predictions: a cubic spline through them, in a coordinate in which their levels lie about evenly.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from torch import Tensor

Array = NDArray[np.float64]

NODES, MASSES = np.polynomial.legendre.leggauss(8)


class Trajectory:
    """The way through the noise levels (M,) of a reference, as weights of its M predictions.

    The coordinate is ln(kappa - kappa_0 + c), with the first step for c: a flow model starts at sigma 1.
    """

    def __init__(self, levels: Tensor) -> None:
        self._kappa = 1 / levels.double().numpy()
        self._offset = self._kappa[1] - 2 * self._kappa[0] if len(self._kappa) > 1 else 1.0
        self._knots = np.log(self._kappa + self._offset)

    def predictions(self, sigmas: Array) -> Array:
        """D at sigmas (n,) above 0, as weights (n, M)."""
        return self._between(np.log(1 / sigmas + self._offset))

    def travelled(self, sigmas: Array) -> Array:
        """y less the noise at sigmas (n,) above 0, as weights (n, M): the integral of D over kappa up to there.

        Before the first level and after the last, D stays as it is there.
        """
        kappa = 1 / sigmas
        return np.stack([self._integral(end) for end in kappa])

    def _integral(self, end: float) -> Array:
        inside = min(max(end, self._kappa[0]), self._kappa[-1])
        cell = int(np.searchsorted(self._kappa, inside, side="right")) - 1
        whole = self._cells[:cell].sum(0) if cell else np.zeros(len(self._kappa))
        part = self._cell(self._knots[cell], np.log(inside + self._offset)) if inside > self._kappa[cell] else 0.0
        beyond = np.zeros(len(self._kappa))
        beyond[-1] = max(end - self._kappa[-1], 0.0)
        return np.asarray(whole + part + beyond)

    @cached_property
    def _cells(self) -> Array:
        """The integral over each step of the reference, (M - 1, M)."""
        return np.stack([self._cell(*ends) for ends in zip(self._knots, self._knots[1:], strict=False)])

    def _cell(self, start: float, end: float) -> Array:
        at = 0.5 * (end - start) * NODES + 0.5 * (end + start)
        return np.asarray(0.5 * (end - start) * (MASSES * np.exp(at)) @ self._between(at))

    def _between(self, at: Array) -> Array:
        unit = np.eye(len(self._knots))
        if len(self._knots) < 2:
            return np.ones((len(at), 1))
        return np.asarray(CubicSpline(self._knots, unit)(at.clip(self._knots[0], self._knots[-1])))
