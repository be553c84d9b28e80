"""What a few reference runs tell about a model: how its denoised prediction turns along the way.

Along a trajectory of the probability-flow ODE, with y = x / sigma and kappa = alpha / sigma, dy/dkappa = D, the
denoised prediction. So the Gram matrix of D at the reference's noise levels is all that a linear rule needs to know.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MOST_VALUES = 1 << 12  # of one latent that are looked at; a random choice of them keeps the inner products
CHOICE_SEED = 2511_11688
LEAST_SCALE = 1e-6  # of the data, for a model whose pictures are all one constant


@dataclass(frozen=True)
class Profile:
    """A model's behaviour on its way from noise to picture, averaged over the seeds of the reference.

    sigmas      (M,) the noise levels, falling
    gram        (M + 1, M + 1) float64: means over seeds and values of D_i * D_j; last, the final latent
    data_scale  standard deviation of the final latents
    typical_scale
                the same of one, from the brightness of all: the geometric mean, which rare ones hardly move
    """

    sigmas: Tensor
    gram: Tensor
    data_scale: float
    typical_scale: float

    def turning(self) -> Tensor:
        """RMS of D_(i+1) - D_i, (M - 1,): how far the prediction turns from each noise level to the next."""
        gram, last = self.gram, len(self.sigmas)
        own = gram.diagonal()[:last]
        beside = gram.diagonal(1)[: last - 1]
        return (own[1:] + own[:-1] - 2 * beside).clamp_min(0).sqrt()

    @classmethod
    def of(cls, sigmas: Tensor, trajectories: Tensor, data_scale: float) -> Profile:
        """trajectories: (seeds, M + 1, values) the predictions, and last the final latents."""
        points = trajectories.double()
        gram = torch.einsum("sid,sjd->ij", points, points) / (points.shape[0] * points.shape[2])
        final = points[:, -1]
        sizes = (final - final.mean()).square().mean(1).sqrt().clamp_min(LEAST_SCALE)
        return cls(sigmas, gram, data_scale, float(sizes.log().mean().exp()))


class ProfileRecorder:
    """An observer of reference runs on one schedule; keeps at most MOST_VALUES numbers of each prediction, on the CPU.

    After each call of the run it must be told whether that came to its end: `take` or `drop`.
    """

    def __init__(self) -> None:
        self._sigmas: list[float] = []
        self._rows: list[Tensor] = []  # of the batch under way: (batch, values) each
        self._seen: list[tuple[Tensor, Tensor]] = []  # batches of the call under way: sigmas (M,), (M, batch, values)
        self._choice: Tensor | None = None

    def __call__(self, sigma: float, x: Tensor, denoised: Tensor) -> None:
        if self._rows and (self._sigmas[-1] < self._sigmas[0] <= sigma or len(denoised) != len(self._rows[0])):
            self._finish_batch()
        if not self._rows:
            self._sigmas = []
        elif sigma >= self._sigmas[-1]:
            return  # a second look at a noise level, as heun takes, or one back
        self._sigmas.append(sigma)
        self._rows.append(self.choose(denoised))

    def take(self) -> tuple[Tensor, Tensor]:
        """The call came to its end: its noise levels (M,), falling, and predictions (M, seeds, values).

        A batch that stopped half-way, for want of memory, was run anew in smaller ones, and is left out.
        """
        self._finish_batch()
        most = max(len(sigmas) for sigmas, _ in self._seen)
        whole = [(sigmas, rows) for sigmas, rows in self._seen if len(sigmas) == most]
        self._seen = []
        return whole[0][0], torch.cat([rows for _, rows in whole], dim=1)

    def drop(self) -> None:
        """The call did not come to its end, and its latents are lost."""
        self._rows, self._seen = [], []

    def _finish_batch(self) -> None:
        if self._rows:
            self._seen.append((torch.tensor(self._sigmas, dtype=torch.float32, device="cpu"), torch.stack(self._rows)))
            self._rows = []

    def choose(self, latents: Tensor) -> Tensor:
        """(n, values) what is kept of latents (n, ...)."""
        flat = latents.detach().flatten(1)
        if flat.shape[1] > MOST_VALUES:
            if self._choice is None:
                generator = torch.Generator(device="cpu").manual_seed(CHOICE_SEED)
                self._choice = torch.randint(flat.shape[1], (MOST_VALUES,), generator=generator, device="cpu")
            flat = flat[:, self._choice.to(flat.device)]
        return flat.to("cpu", torch.float32, copy=True)
