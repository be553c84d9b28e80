"""What the calibration needs of a sampler: to be run for real, from given seeds, on a given schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Observer = Callable[[float, Tensor, Tensor], None]
"""Called at every evaluation with sigma, the noisy latents x (batch, ...) that went in and the denoised ones that came
out, on the model's device; an observer keeps what it needs of them as copies."""


Advance = Callable[[Tensor, Tensor], Tensor]
"""x (seeds, ...) at the next sigma, from x at this one and its denoised prediction (seeds, ...), both of all seeds of a
run and on one device. Called once in each step, in their order."""


class BudgetSpent(Exception):
    """The next evaluation would go beyond the limit; nothing was evaluated for it.

    evaluations: that the call had made by then, which count like all others.
    """

    def __init__(self, message: str = "the budget is spent", evaluations: int = 0) -> None:
        super().__init__(message)
        self.evaluations = evaluations


@dataclass(frozen=True)
class SamplerResult:
    """The outcome of one call of a SamplerRun.

    latents      (seeds, ...) float32 on the CPU, what the sampler put out, in the model's own space (as the last
                 denoised prediction, before the host's latent format is undone)
    evaluations  of one latent: a batch of 4 counts 4; a conditional and unconditional pair counts 1
    """

    latents: Tensor
    evaluations: int


class SamplerRun(Protocol):
    """One sampler on one model with everything that belongs to it (conditioning, cfg, size, patches)."""

    def __call__(
        self, sigmas: Tensor, seeds: Sequence[int], *, limit: int | None = None, observe: Observer | None = None
    ) -> SamplerResult:
        """Sample along `sigmas` (N + 1,) from the noise of each of `seeds`.

        The noise of a seed is always the same, whatever the other seeds of the call are and however they are batched.
        `limit` is the largest number of evaluations this call may make; BudgetSpent is raised before the one beyond.
        """
        ...


class SteppedRun(Protocol):
    """One model with everything that belongs to it, sampled by steps that are decided on as it goes."""

    def __call__(
        self,
        sigmas: Tensor,
        seeds: Sequence[int],
        begin: Callable[[], Advance],
        *,
        limit: int | None = None,
        observe: Observer | None = None,
    ) -> SamplerResult:
        """Sample along `sigmas` (N + 1,) from the noise of each of `seeds`: N evaluations of each.

        All seeds go through the steps together: at each sigma the model is asked for all of them, in as small batches
        as it takes, and then what `begin` gave makes the step of all. It may give back more latents than it was given,
        a multiple of the seeds, of which item k belongs to seed k modulo their number; the model is then asked for all
        of these, and all are the result. `begin` is asked once for each run of the schedule; where a run has to begin
        anew, for want of memory, it is asked again. Otherwise as a SamplerRun.
        """
        ...
