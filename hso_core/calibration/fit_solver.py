"""The weights of a solver on one schedule, fitted step by step to the reference's trajectories, in closed form.

The seeds are run once. In step i each is at x_i, where its own steps have brought it, and its predictions D_0 ... D_i
are known. The mean prediction that it should go along is the one that leads to the reference's trajectory,

    T = (x_ref(sigma_(i+1)) - r x_i) / (1 - r),   r = sigma_(i+1) / sigma_i

and the weights are those of least squares, sum over seeds |sum_j v_j D_j - T|^2, with the sum of 1, and with a ridge
towards an anchor, a known solver's weights. How strong the ridge is, each step decides by the seeds that are left out;
where they do not surely get nearer, the anchor's weights stay. Then the step is made, and the next one is fitted where
it lands. All that is needed are inner products.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .trajectory import Trajectory

Array = NDArray[np.float64]

STRENGTHS = np.array([1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0])
"""Of the ridge, in units of the mean square of the differences D_j - D_i."""
SURE = 1.0  # standard errors by which the seeds that are left out must get nearer
LEAST_SQUARE = 1e-30


class ClosedLoopFit:
    """Makes the steps of one run of all seeds together, and finds the weights on the way.

    sigmas: (N + 1,). anchor: (N, N) the weights to hold on to. paths: (seeds, M + 1, values) the reference's
    predictions and where it ended, of which `choose` keeps so many values; trajectory: through its levels.
    folds: parts of the seeds, of which each is run with weights that are fitted to the others: so where they end is
    what the fit gives on seeds that it has not seen. 1 for weights fitted to the seeds that are run.

    weights: (N, N) those fitted to all seeds, once the run is over.
    """

    def __init__(
        self,
        sigmas: Tensor,
        anchor: Array,
        paths: Tensor,
        trajectory: Trajectory,
        choose: Callable[[Tensor], Tensor],
        folds: int,
    ) -> None:
        self._levels, self._anchor = sigmas.double(), anchor
        self._paths, self._trajectory, self._choose = paths, trajectory, choose
        self._fold = np.arange(len(paths)) % min(folds, len(paths))
        self._seen: list[Tensor] = []
        self._kept: list[Tensor] = []
        self._targets: list[Tensor] = []
        self.weights = np.zeros_like(anchor)

    def __call__(self, x: Tensor, denoised: Tensor) -> Tensor:
        """x (seeds, ...) at the next sigma, from x at this one and its denoised prediction."""
        i = len(self._seen)
        chosen = self._choose(x).double()
        if not i:
            self._targets = self._trajectories(chosen / self._levels[0])
        ratio = float(self._levels[i + 1] / self._levels[i])
        self._seen.append(denoised)
        self._kept.append(self._choose(denoised).double())
        wanted = (self._targets[i] - ratio * chosen) / (1 - ratio)
        anchor = self._anchor[i, : i + 1]
        self.weights[i, : i + 1], rows = fitted_rows(_inner_products(self._kept, wanted, anchor), anchor, self._fold)
        weights = torch.from_numpy(rows[self._fold]).to(x)
        each = (weights[:, j].view(-1, *(1,) * (x.ndim - 1)) * seen for j, seen in enumerate(self._seen))
        return ratio * x + (1 - ratio) * sum(each)

    def _trajectories(self, noise: Tensor) -> list[Tensor]:
        """The reference's x (seeds, values) at each sigma but the first, from x / sigma at the start."""
        inner = self._levels[1:][self._levels[1:] > 0]
        weights = torch.from_numpy(self._trajectory.travelled(inner.numpy()))
        paths = self._paths.double()
        passed = [sigma * (noise + row @ paths[:, :-1]) for sigma, row in zip(inner, weights, strict=True)]
        return [*passed, paths[:, -1]]


def _inner_products(predictions: list[Tensor], wanted: Tensor, anchor: Array) -> Array:
    """(seeds, i + 1, i + 1) of the differences D_j - D_i, j < i, and last what the anchor's mean is off `wanted`."""
    now = predictions[-1]
    missed = sum(float(a) * d for a, d in zip(anchor, predictions, strict=True)) - wanted
    vectors = torch.stack([*(earlier - now for earlier in predictions[:-1]), missed], dim=1)
    return (vectors @ vectors.transpose(1, 2) / vectors.shape[2]).numpy()


def fitted_rows(products: Array, anchor: Array, fold: NDArray[np.int64]) -> tuple[Array, Array]:
    """The weights (i + 1,) fitted to all seeds, and those (folds, i + 1) fitted without each fold.

    products: (seeds, i + 1, i + 1), see _inner_products. anchor: (i + 1,). fold: (seeds,) which one each seed is in.
    """
    folds, (count, size) = int(fold.max()) + 1, products.shape[:2]
    strength = _strength(products) if size > 1 and count > 1 and np.isfinite(products).all() else None
    if strength is None:
        return anchor, np.tile(anchor, (folds, 1))
    whole = _changed(anchor, _change(products, strength))
    if folds == 1:
        return whole, whole[None]
    return whole, np.stack([_changed(anchor, _change(products[fold != part], strength)) for part in range(folds)])


def _strength(products: Array) -> float | None:
    """That with which the seeds get nearest that are left out; None where they do not surely get nearer."""
    before = products[:, -1, -1]
    changes = np.stack([_change(products, strength, leave_out=True) for strength in STRENGTHS], axis=1)  # (S, K, i)
    after = before[:, None] + 2 * np.einsum("skj,sj->sk", changes, products[:, :-1, -1])
    after += np.einsum("skj,sjl,skl->sk", changes, products[:, :-1, :-1], changes)
    gains = np.sqrt(before)[:, None] - np.sqrt(after.clip(0))
    best = int(gains.sum(0).argmax())
    sure = gains[:, best].mean() > SURE * gains[:, best].std(ddof=1) / len(products) ** 0.5
    return float(STRENGTHS[best]) if sure else None


def _change(products: Array, strength: float, leave_out: bool = False) -> Array:
    """What is added to the anchor's weights of D_j, j < i: (i,), or (seeds, i) without each seed in turn."""
    total = products.sum(0) - products if leave_out else products.sum(0)
    squares, across = total[..., :-1, :-1], total[..., :-1, -1]
    order = squares.shape[-1]
    scale = np.trace(squares, axis1=-2, axis2=-1)[..., None, None] / order + LEAST_SQUARE
    return np.asarray(-np.linalg.solve(squares + strength * scale * np.eye(order), across[..., None])[..., 0])


def _changed(anchor: Array, change: Array) -> Array:
    """The anchor's weights with the change of the earlier ones; the latest gives what keeps the sum."""
    return np.asarray(anchor + np.append(change, -change.sum()))
