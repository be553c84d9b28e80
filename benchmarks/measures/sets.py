"""Whether one way to sample makes surely worse sets of pictures than another."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

LINES, DRAWS = 64, 300  # of the distance of sets, and of its bootstrap


class SetDistances:
    """2-Wasserstein distances of sets of pictures to the converged ones (n, ...), on LINES random lines."""

    def __init__(self, converged: Tensor) -> None:
        generator = torch.Generator().manual_seed(0)
        lines = torch.randn(converged[0].numel(), LINES, generator=generator, dtype=torch.float64)
        self._lines = lines / lines.norm(dim=0)
        self._true = self.on_lines(converged)

    def on_lines(self, latents: Tensor) -> Array:
        """(n, LINES) of the pictures of the first n seeds."""
        return np.asarray((latents.flatten(1).double() @ self._lines).numpy())

    def __call__(self, lines: Array) -> float:
        true = self._true[: len(lines)]
        return float(np.sqrt(np.square(np.sort(lines, 0) - np.sort(true, 0)).mean()))

    def surely_worse(self, lines: Array, others: Array, allowed: float) -> bool:
        """Whether the 95 % bootstrap interval of the first one's distance over the other's lies above `allowed`."""
        rng = np.random.default_rng(0)
        ratios = []
        for _ in range(DRAWS):
            drawn = rng.integers(len(lines), size=len(lines))
            true = np.sort(self._true[drawn], 0)
            own, other = (np.square(np.sort(one[drawn], 0) - true).mean() for one in (lines, others))
            ratios.append(np.sqrt(own / other))
        return bool(np.quantile(ratios, 0.025) > allowed)
