"""A solver's coefficients moved towards the least error at the end, by one step of Gauss and Newton.

The fit of fit_solver.py brings every step to the reference's trajectory, but what counts is where the last one ends,
and errors of earlier steps may cancel. How the end moves is measured: of the steps before the last one their strengths
are tried, and the few directions of their weights in which the mean prediction changes most, in one run, in which the
seeds branch; what the last step's weights do is known without. (Its strength stays: any other would leave noise in the
picture.) The change of all coefficients is then one of least squares, with a ridge whose strength the seeds decide that
are left out. The later a step, the fewer evaluations its branches take, and the more it is worth: where the budget does
not pay for all steps, only the last few are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..solvers import LinearMultistep

Array = NDArray[np.float64]
Places = NDArray[np.int64]

DIRECTIONS = 3  # of a step's weights that are tried, at most
LEAST_DIRECTION = 1e-6  # of the square of the row's first one
TRIED = 0.5  # size of what is tried, in that of the error at the end
MOST_TRIED = 1.0  # of the weights
MOST_KEPT = 0.1  # of the part of x that a step leaves, by its strength
RIDGES = np.array([1e-3, 1e-2, 1e-1, 0.3, 1.0, 3.0, 10.0])
LEAST_ERROR = 1e-6


def ways_to_try(steps: int) -> list[tuple[int, ...]]:
    """How many changes of each step but the last are tried: of all steps as many as there are, and ever cheaper ways.

    What is worth most for its evaluations is kept longest: the last steps, and the strength of the first one.
    """
    n = steps - 1
    each = [1 + min(i, DIRECTIONS) for i in range(n)]  # a step's strength, and directions of its weights
    ways = [each]
    ways += [[1] * (n - last) + each[n - last :] for last in (3, 2, 1) if last < n]  # all strengths
    ways += [[1] + [0] * (n - 1 - last) + each[n - last :] for last in (2, 1) if last < n - 1]  # the first one's
    ways += [[0] * (n - 1) + each[n - 1 :]]
    prices = [evaluations_of(way) for way in ways]
    return [tuple(way) for i, way in enumerate(ways) if prices[i] < min(prices[:i], default=prices[i] + 1)]


def evaluations_of(tried: Sequence[int]) -> int:
    """How many the run of `Branches` takes for each seed."""
    steps = len(tried) + 1
    return steps + sum(changes * (steps - 1 - i) for i, changes in enumerate(tried))


def latents_of(tried: Sequence[int]) -> int:
    """How many latents the run of `Branches` keeps for each seed: every branch's state, and all its predictions."""
    return (len(tried) + 2) * (1 + sum(tried))


@dataclass(frozen=True)
class Sensitivity:
    """How the end moves with the coefficients (see LinearMultistep).

    changes (n, N, N + 1) of them, each with rows of the sum 0; moves (seeds, values, n) of the end with each of them;
    errors (seeds, values) at the end without.
    """

    changes: Array
    moves: Tensor
    errors: Tensor

    def step(self, fold: Places, shares: Array) -> tuple[Array, Array] | None:
        """What is to be added: (N, N + 1), and (folds, N, N + 1) without the seeds of each fold.

        shares: (seeds,) for how many each counts. It is the mean distance that is made small, so that in the squares a
        seed counts the less the further it is off. None where the seeds that are left out do not get nearer.
        """
        values = self.errors.shape[1]
        squares = (self.moves.transpose(1, 2) @ self.moves / values).numpy()
        across = (self.moves.transpose(1, 2) @ self.errors[..., None] / values)[..., 0].numpy()
        before = self.errors.square().mean(1).numpy()
        if not (np.isfinite(squares).all() and np.isfinite(across).all() and len(before) > 1):
            return None
        counts = shares / np.sqrt(before).clip(LEAST_ERROR)

        def solved(seeds: NDArray[np.bool_], ridge: float) -> Array:
            square = np.einsum("s,sjk->jk", counts[seeds], squares[seeds])
            held = square + (ridge * np.trace(square) / len(square) + 1e-30) * np.eye(len(square))
            return np.asarray(-np.linalg.solve(held, counts[seeds] @ across[seeds]))

        apart = ~np.eye(len(before), dtype=np.bool_)
        gains = []
        for ridge in RIDGES:
            by = np.stack([solved(others, ridge) for others in apart])
            after = before + 2 * (by * across).sum(1) + np.einsum("sj,sjk,sk->s", by, squares, by)
            gains.append(float(shares @ (np.sqrt(before) - np.sqrt(after.clip(0)))))
        best = int(np.argmax(gains))
        if gains[best] <= 0:
            return None
        parts = [solved(fold != part, float(RIDGES[best])) for part in range(int(fold.max()) + 1)]
        whole = solved(np.ones(len(before), dtype=np.bool_), float(RIDGES[best]))
        return np.einsum("n,nij->ij", whole, self.changes), np.einsum("fn,nij->fij", np.stack(parts), self.changes)


class Branches:
    """Makes the steps of one run of all seeds with a given solver, and of what becomes of them with others.

    The batch grows: its item k belongs to seed k modulo the number of seeds. size: of the error at the end that is to
    be expected. scale: of the data. tried: how many changes of each step but the last.
    """

    def __init__(
        self,
        solver: LinearMultistep,
        size: float,
        scale: float,
        choose: Callable[[Tensor], Tensor],
        tried: Sequence[int],
    ) -> None:
        self._coefficients, self._levels = solver.coefficients.numpy(), solver.sigmas.tolist()
        self._size, self._scale, self._choose = size, scale, choose
        self._tried = (*tried, solver.steps)
        self._seeds = 0
        self._seen: list[Tensor] = []
        self._changes: list[Array] = []
        self._ends: list[Tensor] = []  # what changes of the last step move

    def __call__(self, x: Tensor, denoised: Tensor) -> Tensor:
        i = len(self._seen)
        self._seeds = self._seeds or len(x)
        self._seen.append(denoised)
        following = _combined(self._coefficients[i], x, self._seen)
        own = [x[: self._seeds], *(seen[: self._seeds] for seen in self._seen)]
        last = i + 1 == len(self._coefficients)
        moves = []
        for row in self._directions(own, self._levels[i + 1], last)[: self._tried[i]]:
            change = np.zeros_like(self._coefficients)
            change[i, : i + 2] = row
            self._changes.append(change)
            moves.append(_combined(row, own[0], own[1:]))
        if last:
            self._ends = [self._choose(move) for move in moves]
        else:
            self._seen = [torch.cat([seen, *[seen[: self._seeds]] * len(moves)]) for seen in self._seen]
            following = torch.cat([following, *(following[: self._seeds] + move for move in moves)])
        return following

    def sensitivity(self, ends: Tensor, converged: Tensor) -> Sensitivity:
        """After the run: from where all branches end (branches * seeds, ...) and are to end (seeds, ...)."""
        first, *others = torch.split(ends, self._seeds)
        moves = [self._choose(other - first) for other in others] + self._ends
        errors = self._choose(first - converged).double()
        return Sensitivity(np.stack(self._changes), torch.stack(moves, dim=2).double(), errors)

    def _directions(self, own: list[Tensor], level: float, last: bool) -> list[Array]:
        """Changes (i + 2,) of the step's coefficients, each as large as it is to be tried.

        own: x_i and D_0 ... D_i, of the seeds' own runs. The first change is of the strength, but in the last step; the
        others are those of the weights in which the mean prediction moves most.
        """
        x, *kept = (self._choose(part).double() for part in own)
        order = len(kept) - 1
        row = self._coefficients[order, : order + 2]
        share = 1 - row[0]  # of the mean prediction in what follows
        wanted = TRIED * self._size * max(1.0, level / self._scale)
        mean = sum(float(w) * seen for w, seen in zip(row[1:], kept, strict=True)) / share
        apart = float((x - mean).square().mean().sqrt())
        rows: list[Array] = []
        if not last:
            rows.append(min(wanted / max(apart, 1e-30), MOST_KEPT) * np.append(1.0, -row[1:] / share))
        if not order:
            return rows
        differences = torch.stack([seen - kept[-1] for seen in kept[:-1]], dim=1)
        squares = (differences @ differences.transpose(1, 2)).mean(0) / differences.shape[2]
        sizes, axes = np.linalg.eigh(squares.numpy())
        for k in range(order)[::-1][: order if last else DIRECTIONS]:
            if sizes[k] <= LEAST_DIRECTION * sizes[-1]:
                break
            change = min(wanted / sizes[k] ** 0.5, MOST_TRIED * share) * axes[:, k]
            rows.append(np.concatenate([[0.0], change, [-change.sum()]]))
        return rows


class PerSeed:
    """Makes the steps of one run with coefficients (seeds, N, N + 1) of each seed's own."""

    def __init__(self, coefficients: Array) -> None:
        self._coefficients = torch.from_numpy(coefficients)
        self._seen: list[Tensor] = []

    def __call__(self, x: Tensor, denoised: Tensor) -> Tensor:
        rows = self._coefficients[:, len(self._seen)].to(x)
        self._seen.append(denoised)
        parts = (rows[:, j].view(-1, *(1,) * (x.ndim - 1)) * part for j, part in enumerate([x, *self._seen]))
        return cast(Tensor, sum(parts))


def _combined(row: Array, x: Tensor, seen: Sequence[Tensor]) -> Tensor:
    """Of x and the predictions so far, as a row of coefficients says."""
    return cast(Tensor, sum(float(w) * part for w, part in zip(row, [x, *seen], strict=False)))
