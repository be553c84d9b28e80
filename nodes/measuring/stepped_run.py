"""A sampling of many seeds whose steps are decided on as it goes, through ComfyUI's own sampling."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...hso_core.calibration.run import Advance, BudgetSpent, Observer, SamplerResult
from .. import host
from .run import SEEDS, Meter, SamplingRun

Ask = Callable[[Tensor, Tensor], Tensor]
"""The denoised prediction (n, ...) at x (n, ...) and sigma (n,)."""


class SteppedSamplingRun:
    """What a SamplingRun samples, taken through its steps by hso_core: a SteppedRun.

    The guider is called once for all seeds, and told of as many as are sampled together; its SAMPLER asks the model for
    all of them, in batches of that size. Between two steps their states wait on the CPU.
    """

    def __init__(self, run: SamplingRun) -> None:
        self._run = run

    def __call__(
        self,
        sigmas: Tensor,
        seeds: Sequence[int],
        begin: Callable[[], Advance],
        *,
        limit: int | None = None,
        observe: Observer | None = None,
    ) -> SamplerResult:
        """See SteppedRun. Raises Cancelled, a BudgetSpent, once the user has cancelled."""
        run = self._run
        run.prepare()
        if len(seeds) > 1 and run.unproven:
            run.prove(sigmas, seeds[0])
        if run.disturbed:
            raise ValueError(
                "a patch of this model remembers earlier steps or looks at the whole batch (a cache such as LazyCache "
                "does), so a sampler cannot be fitted step by step; take the patch away for the calibration"
            )
        size, meter, advance = run.batch_size(), run.meter(limit, observe), begin()

        def walk(asked: list[Ask], states: list[Tensor], levels: Tensor) -> list[Tensor]:
            for sigma in levels[:-1]:
                pairs = zip(itertools.cycle(asked), states, strict=False)  # the seeds may have branched
                found = [self._ask(ask, x, sigma, meter).cpu() for ask, x in pairs]
                moved = advance(_joined([x.cpu() for x in states], meter), _joined(found, meter))
                states = [part.to(states[0]) for part in self._batches_of(moved, len(seeds), size)]
            return states

        sampler = host.SteppedSampler([run.noise(seeds[i : i + size]) for i in range(0, len(seeds), size)], walk)
        try:
            run.guide(sampler, run.noise(seeds[:size]), len(seeds[:size]), sigmas, seeds[0] % SEEDS)
        except BudgetSpent as error:
            error.evaluations = meter.count
            raise
        finally:
            run.evaluations += meter.count
        return SamplerResult(_joined([x.detach().float().cpu() for x in sampler.output], meter), meter.count)

    def _batches_of(self, latents: Tensor, seeds: int, size: int) -> list[Tensor]:
        """Latents (seeds, ...), or several times as many, as batches of the sampler's of at most `size` seeds."""
        latents = self._run.unweighted(latents)
        if self._run.frames:
            return [host.frames_of_video(one) for one in torch.split(latents, 1)]
        return [batch for branch in torch.split(latents, seeds) for batch in torch.split(branch, size)]

    def _ask(self, ask: Ask, x: Tensor, sigma: Tensor, meter: Meter) -> Tensor:
        """The prediction, in smaller batches where this one is too large, from then on."""
        fits = len(x) if self._run.frames else self._run.batch_size()
        if len(x) > fits:
            return torch.cat([self._ask(ask, part, sigma, meter) for part in torch.split(x, fits)])
        meter.before(x)
        try:
            denoised = ask(x, sigma * x.new_ones([len(x)]))
        except host.CANCELLED:
            raise
        except Exception as error:  # whatever a patch raises that is made for one latent
            is_memory = isinstance(error, host.OUT_OF_MEMORY)
            if not is_memory:
                meter.failed(x)
            if len(x) == 1 or self._run.frames:
                raise
            self._run.take_fewer(len(x) // 2 if is_memory else 1, None if is_memory else error)
        else:
            meter.after(x, sigma, denoised)
            return denoised
        return self._ask(ask, x, sigma, meter)


def _joined(batches: Sequence[Tensor], meter: Meter) -> Tensor:
    """The latents (seeds, ...) of all batches."""
    return torch.cat([meter.latents(batch) for batch in batches])
