"""A Gaussian process over schedules that learns from noisy measurements on blocks of seeds.

A measurement of schedule x on the block b of seeds is  y = m + g(x) + a_b + r_b(x) + noise:  g is what is wanted, the
mean over all seeds; a_b says how hard the block is; r_b how it differs from the mean from schedule to schedule. So two
schedules on the same seeds are compared in pairs, and a lucky block is not taken for a good schedule. (Rasmussen and
Williams, Gaussian Processes for Machine Learning, 2006: chapter 2, algorithm 2.1; Matern kernel of order 3/2.)
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.special import ndtr

Array = NDArray[np.float64]

LENGTHS = (0.5, 0.9, 1.6, 2.8, 5.0)  # in mean steps of the schedule
BLOCK_SHARES = (0.1, 0.25, 0.5)  # deviation of r over that of g
AMPLITUDES = (0.5, 1.0)
NOISES = (0.05, 0.15, 0.4)


@dataclass(frozen=True)
class Kernel:
    """Standard deviations of g, of a, of r over g, and of the noise; the length over which g changes."""

    amplitude: float
    block: float
    share: float
    length: float
    noise: float

    def between(self, x: Array, y: Array) -> Array:
        """Correlation of g at x (n, d) with g at y (m, d): (n, m)."""
        square = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T
        distance = np.sqrt(3 * square.clip(0)) / self.length
        return np.asarray((1 + distance) * np.exp(-distance))


class Surrogate:
    """The process after measurements.

    points: (n, d) the schedules; index, blocks, values: (k,) which schedule, which block of seeds, what was measured.
    """

    def __init__(self, points: Array, index: NDArray[np.int_], blocks: NDArray[np.int_], values: Array) -> None:
        self._points, self._index = points, index
        self._blocks, self._values = blocks, values
        self.kernel = Kernel(1.0, 0.3, 0.25, 1.6, 0.15)

    def choose_kernel(self) -> Kernel:
        """The kernel under which the measurements are likeliest, among a few."""
        spread = max(0.05, float(np.std([self._values[self._blocks == b].mean() for b in np.unique(self._blocks)])))
        grid = itertools.product(AMPLITUDES, [spread], BLOCK_SHARES, LENGTHS, NOISES)
        kernels = [Kernel(*values) for values in grid]
        return max(kernels, key=lambda kernel: self.fit(kernel).likelihood)

    def fit(self, kernel: Kernel) -> Surrogate:
        """Condition on the measurements; returns itself."""
        self.kernel = kernel
        correlation = kernel.between(self._points, self._points)[np.ix_(self._index, self._index)]
        same = self._blocks[:, None] == self._blocks[None]
        own = kernel.block**2 + (kernel.share * kernel.amplitude) ** 2 * correlation
        covariance = kernel.amplitude**2 * correlation + same * own + kernel.noise**2 * np.eye(len(self._values))
        self._mean = float(self._values.mean())
        self._root = cholesky(covariance, lower=True)
        rest = self._values - self._mean
        self._weights = cho_solve((self._root, True), rest)
        fit, volume = float(rest @ self._weights), float(np.log(self._root.diagonal()).sum())
        self.likelihood = -0.5 * fit - volume - 0.5 * np.log(kernel.length / 1.6) ** 2
        return self

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of m + g at points (p, d)."""
        variance = self.kernel.amplitude**2
        covariance = variance * self.kernel.between(points, self._points)[:, self._index]
        explained = solve_triangular(self._root, covariance.T, lower=True)
        left = variance - (explained**2).sum(0)
        return self._mean + covariance @ self._weights, np.sqrt(left.clip(1e-10))


def expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """How far below `best` a value with this mean and deviation is expected to be (Jones et al. 1998, eq. 15)."""
    z = (best - mean) / deviation
    return np.asarray(deviation * (z * ndtr(z) + np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)))
