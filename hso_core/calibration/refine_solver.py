"""A solver's weights moved towards the least error at the end, by one step of Gauss and Newton.

The fit of fit_solver.py brings every step to the reference's trajectory, but what counts is where the last one ends,
and errors of earlier steps may cancel. How the end moves with the weights is measured: of every row but the last the
few directions in which the mean prediction changes most are tried, in one run, in which the seeds branch; the last
row's are known without. The change of all weights is then one of least squares, with a ridge whose strength the seeds
decide that are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Places = NDArray[np.int64]

DIRECTIONS = 3  # of a row that are tried
LEAST_DIRECTION = 1e-6  # of the square of the row's first one
TRIED = 0.5  # size of what is tried, in that of the error at the end
MOST_TRIED = 1.0  # of the weights
STRENGTHS = np.array([1e-3, 1e-2, 1e-1, 0.3, 1.0, 3.0, 10.0])
SURE = 1.0  # standard errors by which the seeds that are left out must get nearer


def evaluations_of(steps: int) -> int:
    """How many the run of `Branches` takes for each seed."""
    return steps + sum(min(i, DIRECTIONS) * (steps - 1 - i) for i in range(1, steps - 1))


@dataclass(frozen=True)
class Sensitivity:
    """How the end moves with the weights.

    changes (n, N, N) of the weights, each with rows of the sum 0; moves (seeds, values, n) of the end with each of
    them; errors (seeds, values) at the end without.
    """

    changes: Array
    moves: Tensor
    errors: Tensor

    def step(self, fold: Places) -> tuple[Array, Array] | None:
        """What is to be added to the weights: (N, N), and (folds, N, N) without the seeds of each fold.

        None where the seeds that are left out do not surely get nearer.
        """
        values = self.errors.shape[1]
        squares = (self.moves.transpose(1, 2) @ self.moves / values).numpy()
        across = (self.moves.transpose(1, 2) @ self.errors[..., None] / values)[..., 0].numpy()
        before = self.errors.square().mean(1).numpy()
        if not (np.isfinite(squares).all() and np.isfinite(across).all() and len(before) > 1):
            return None

        def solved(seeds: NDArray[np.bool_], strength: float) -> Array:
            square = squares[seeds].sum(0)
            ridge = strength * np.trace(square) / len(square) * np.eye(len(square))
            return np.asarray(-np.linalg.solve(square + ridge + 1e-30 * np.eye(len(square)), across[seeds].sum(0)))

        apart = ~np.eye(len(before), dtype=np.bool_)
        gains = []
        for strength in STRENGTHS:
            by = np.stack([solved(others, strength) for others in apart])
            after = before + 2 * (by * across).sum(1) + np.einsum("sj,sjk,sk->s", by, squares, by)
            gains.append(np.sqrt(before) - np.sqrt(after.clip(0)))
        best = int(np.argmax([gain.sum() for gain in gains]))
        if gains[best].mean() <= SURE * gains[best].std(ddof=1) / len(before) ** 0.5:
            return None
        parts = [solved(fold != part, float(STRENGTHS[best])) for part in range(int(fold.max()) + 1)]
        whole = solved(np.ones(len(before), dtype=np.bool_), float(STRENGTHS[best]))
        return np.einsum("n,nij->ij", whole, self.changes), np.einsum("fn,nij->fij", np.stack(parts), self.changes)


class Branches:
    """Makes the steps of one run of all seeds with given weights, and of what becomes of them with others.

    The batch grows: its item k belongs to seed k modulo the number of seeds. sigmas: (N + 1,). weights: (N, N).
    size: of the error at the end that is to be expected. scale: of the data.
    """

    def __init__(
        self, sigmas: Tensor, weights: Array, size: float, scale: float, choose: Callable[[Tensor], Tensor]
    ) -> None:
        self._levels, self._weights = sigmas.double().tolist(), weights
        self._size, self._scale, self._choose = size, scale, choose
        self._seeds = 0
        self._seen: list[Tensor] = []
        self._changes: list[Array] = []
        self._ends: list[Tensor] = []  # what the last row's changes move

    def __call__(self, x: Tensor, denoised: Tensor) -> Tensor:
        i = len(self._seen)
        self._seeds = self._seeds or len(x)
        self._seen.append(denoised)
        ratio = self._levels[i + 1] / self._levels[i]
        weights = self._weights[i]
        mean = sum(float(weights[j]) * seen for j, seen in enumerate(self._seen))
        following = ratio * x + (1 - ratio) * mean
        base = [seen[: self._seeds] for seen in self._seen]
        last = i + 1 == len(self._weights)
        moves = []
        for row in self._directions(base, ratio, self._levels[i + 1], last):
            change = np.zeros_like(self._weights)
            change[i, : i + 1] = row
            self._changes.append(change)
            moves.append((1 - ratio) * sum(float(w) * seen for w, seen in zip(row, base, strict=True)))
        if last:
            self._ends = [self._choose(move) for move in moves]
            return cast(Tensor, following)
        if moves:
            self._seen = [torch.cat([seen, *[seen[: self._seeds]] * len(moves)]) for seen in self._seen]
            following = torch.cat([following, *(following[: self._seeds] + move for move in moves)])
        return cast(Tensor, following)

    def sensitivity(self, ends: Tensor, converged: Tensor) -> Sensitivity | None:
        """After the run: from where all branches end (branches * seeds, ...) and are to end (seeds, ...).

        None where no weight matters, since the predictions never turn.
        """
        if not self._changes:
            return None
        first, *others = torch.split(ends, self._seeds)
        moves = [self._choose(other - first) for other in others] + self._ends
        errors = self._choose(first - converged).double()
        return Sensitivity(np.stack(self._changes), torch.stack(moves, dim=2).double(), errors)

    def _directions(self, base: list[Tensor], ratio: float, level: float, last: bool) -> list[Array]:
        """Changes (i + 1,) of the row, in which the mean prediction moves most, each as large as it is to be tried."""
        order = len(base) - 1
        if not order:
            return []
        kept = [self._choose(seen).double() for seen in base]
        differences = torch.stack([seen - kept[-1] for seen in kept[:-1]], dim=1)
        squares = (differences @ differences.transpose(1, 2)).mean(0) / differences.shape[2]
        sizes, axes = np.linalg.eigh(squares.numpy())
        rows = []
        for k in range(order)[::-1][: order if last else DIRECTIONS]:
            if sizes[k] <= LEAST_DIRECTION * sizes[-1]:
                break
            wanted = TRIED * self._size * max(1.0, level / self._scale) / (1 - ratio) / sizes[k] ** 0.5
            change = min(wanted, MOST_TRIED) * axes[:, k]
            rows.append(np.append(change, -change.sum()))
        return rows


class PerSeed:
    """Makes the steps of one run with weights (seeds, N, N) of each seed's own."""

    def __init__(self, sigmas: Tensor, weights: Array) -> None:
        self._levels, self._weights = sigmas.double().tolist(), torch.from_numpy(weights)
        self._seen: list[Tensor] = []

    def __call__(self, x: Tensor, denoised: Tensor) -> Tensor:
        i = len(self._seen)
        self._seen.append(denoised)
        ratio = self._levels[i + 1] / self._levels[i]
        rows = self._weights[:, i].to(x)
        each = (rows[:, j].view(-1, *(1,) * (x.ndim - 1)) * seen for j, seen in enumerate(self._seen))
        return cast(Tensor, ratio * x + (1 - ratio) * sum(each))
