"""A Gaussian process over schedules whose values are the errors themselves, as vectors, not only their size.

The error that a schedule x leaves on a seed is taken to be the vector  f(x) + g(x):  f what the forecast says, g smooth
in x, the same process for each of its components. So near a good schedule, where the error's parts cancel, the size of
the predicted vector falls as the true one does, which no smooth model of the size alone can follow; with straight lines
for g the step to its least would be that of Gauss and Newton. Of the vectors only their inner products are needed.

(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006: algorithm 2.1, section 2.7; one covariance for
all components of a vector: Conti and O'Hagan, J. Stat. Plan. Inference 2010. Matern kernel of order 5/2.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular

Array = NDArray[np.float64]

LENGTHS = (0.7, 1.5, 3.0, 6.0)  # in mean steps of the schedule
LINEARS = (0.0, 0.3)
NUGGETS = (1e-4, 1e-2, 1e-1)
CONSTANT = 3.0
SWEEPS = 2


@dataclass(frozen=True)
class Kernel:
    """Covariance of one component of g, in units of its smooth part's variance.

    length: over which the smooth part changes. linear: deviation of the slope of a straight part. nugget: variance of
    what is not smooth. foretold: which of the forecasts is f; None for f = 0.
    """

    length: float = 3.0
    linear: float = 0.3
    nugget: float = 1e-2
    foretold: int | None = None

    def between(self, x: Array, y: Array) -> Array:
        """Of g at x (n, d) with g at y (m, d): (n, m)."""
        square = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T
        distance = np.sqrt(5 * square.clip(0)) / self.length
        smooth = (1 + distance + distance**2 / 3) * np.exp(-distance)
        return np.asarray(smooth + CONSTANT**2 + self.linear**2 * x @ y.T)

    def variance(self, x: Array) -> Array:
        """Of g at x (n, d): (n,)."""
        return np.asarray(1 + CONSTANT**2 + self.linear**2 * (x**2).sum(1))

    def others(self, forecasts: int) -> Iterator[list[Kernel]]:
        """The kernels that differ from this one in one of its numbers."""
        yield [replace(self, foretold=which) for which in (None, *range(forecasts))]
        yield [replace(self, length=length) for length in LENGTHS]
        yield [replace(self, linear=linear) for linear in LINEARS]
        yield [replace(self, nugget=nugget) for nugget in NUGGETS]


class Surrogate:
    """The process after measurements of n schedules on S seeds.

    points: (n, d) the schedules. forecasts: (F, n, m), as weights of m vectors. gram: (S, m + n, m + n), for each seed
    the inner products of these m vectors and, after them, of the n errors measured.
    """

    def __init__(self, points: Array, forecasts: Array, gram: Array) -> None:
        self._centre = points.mean(0)
        self._points = points - self._centre
        self._forecasts, self._gram = forecasts, gram
        self.kernel = Kernel()

    def choose_kernel(self, start: Kernel | None = None) -> Kernel:
        """A kernel under which the measurements are likely: the best of a few for each of its numbers in turn."""
        best = start or Kernel()
        for _ in range(SWEEPS):
            for place in range(4):
                kernels = list(best.others(len(self._forecasts)))[place]
                best = max(kernels, key=lambda kernel: self.fit(kernel).likelihood)
        return best

    def fit(self, kernel: Kernel) -> Surrogate:
        """Condition on the measurements; returns itself. `energy`: (S,) g's mean square where its variance is 1."""
        self.kernel = kernel
        count = len(self._points)
        covariance = kernel.between(self._points, self._points) + kernel.nugget * np.eye(count)
        self._root = cholesky(covariance, lower=True)
        rest = np.concatenate([-self._foretold, np.eye(count)], axis=1)  # errors less forecasts, as weights
        white = solve_triangular(self._root, rest, lower=True)
        energies = np.array([((white @ gram) * white).sum() for gram in self._gram]).clip(1e-300)
        self.energy = energies / count
        volume = float(np.log(self._root.diagonal()).sum())
        self.likelihood = -len(energies) * volume - 0.5 * count * float(np.log(energies).sum())
        return self

    def predict(self, points: Array, forecast: Array) -> tuple[Array, Array]:
        """The predicted error at points (p, d): its square (p, S) on each seed, and g's variance (p,).

        forecast: (p, m), of the kernel's choice.
        """
        vectors, variance = self.weights(points, forecast)
        return self.squares(vectors), variance

    def weights(self, points: Array, forecast: Array) -> tuple[Array, Array]:
        """The predicted error as weights (p, m + n) of the m vectors and the n errors; and g's variance (p,)."""
        x = points - self._centre
        across = self.kernel.between(x, self._points)
        weights = cho_solve((self._root, True), across.T).T
        explained = solve_triangular(self._root, across.T, lower=True)
        variance = self.kernel.variance(x) - (explained**2).sum(0)
        foretold = forecast - weights @ self._foretold if self.kernel.foretold is not None else np.zeros_like(forecast)
        return np.concatenate([foretold, weights], axis=1), variance.clip(0)

    def squares(self, vectors: Array) -> Array:
        """(p, S) of errors given as weights (p, m + n)."""
        return np.stack([((vectors @ gram) * vectors).sum(1) for gram in self._gram], axis=1).clip(0)

    @property
    def _foretold(self) -> Array:
        """(n, m)"""
        which = self.kernel.foretold
        return np.zeros_like(self._forecasts[0]) if which is None else np.asarray(self._forecasts[which])
