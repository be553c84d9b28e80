"""A sampler run through ComfyUI's own sampling, from given seeds on a given schedule, with its evaluations counted."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...hso_core.calibration.run import BudgetSpent, Observer, SamplerResult
from .. import host

logger = logging.getLogger(__name__)

LARGEST_BATCH = 8
ALIKE = 1e-2, 4.0  # RMSE of one picture made twice: in its standard deviations, or roundings if these are more
LOUDER = 4.0
SEEDS = 1 << 64


class Cancelled(BudgetSpent):
    """The user has cancelled: no evaluation is made any more."""


@contextmanager
def cancelled_as_comfyui_does() -> Iterator[None]:
    """End with ComfyUI's own exception where a run was cancelled."""
    try:
        yield
    except Cancelled:
        host.stop_if_cancelled()
        raise


class SamplingRun:
    """A GUIDER (model, conditioning, cfg) with a SAMPLER on latents of one size: a SamplerRun of hso_core.

    Every call is a complete sampling by the guider, as SamplerCustomAdvanced does it, so that patches, ControlNets,
    hooks and offloading do what they do in the user's workflow; a model that is loaded already stays loaded. A seed
    gives the picture that it gives there, up to what rounding differs between batch sizes: whether the seeds of a batch
    leave each other alone is found out on the first of several, by running it again beside another picture. Caches and
    guidance patches may compute over a whole batch; seeds are run one by one then.

    guider: a GUIDER. sampler: a SAMPLER. latent: a LATENT, of which only the first item and its mask are used; where
    its items are the frames of a video to the model, all of it is one item. evaluations: how many all calls together
    have made. proof: how many of them, of all runs on this guider, that took; no call counts these, and no limit holds
    for them.
    """

    def __init__(
        self, guider: Any, sampler: Any, latent: dict[str, Any], *, largest_batch: int = LARGEST_BATCH
    ) -> None:
        self.guider = guider
        self.sampler = sampler
        self.latent = host.first_latent(guider.model_patcher, latent)
        self._frames = host.batch_is_frames(guider.model_patcher)
        mask = latent.get("noise_mask")
        self.mask = None if mask is None else _first_mask(mask, self.latent)
        index = latent.get("batch_index")
        self.batch_index = index if index is None or self._frames else index[:1]
        # In a batch, what ddim puts under a mask depends on the first seed, and a prompt out of a batch on the place.
        alone = mask is not None or self._frames or host.conditioning_is_batch(guider)
        self.largest_batch = 1 if alone else largest_batch
        self.evaluations = 0
        self._batches = _Batches()  # which is also that of the runs that with_sampler makes

    def with_sampler(self, sampler: Any) -> SamplingRun:
        """The same with another SAMPLER."""
        other = copy.copy(self)
        other.sampler, other.evaluations = sampler, 0
        return other

    @property
    def proof(self) -> int:
        return self._batches.proof

    def __call__(
        self, sigmas: Tensor, seeds: Sequence[int], *, limit: int | None = None, observe: Observer | None = None
    ) -> SamplerResult:
        """See SamplerRun. Raises Cancelled, a BudgetSpent, once the user has cancelled."""
        meter = self._meter(limit, observe)
        latents, rest = [], list(seeds)
        try:
            while rest:
                chunk = rest[: self._batch_size()]
                try:
                    made = self._sample(sigmas, chunk, meter)
                except host.OUT_OF_MEMORY:
                    if len(chunk) == 1:
                        raise
                    self._batches.size = len(chunk) // 2
                    host.free_memory()
                except BudgetSpent:
                    raise
                except Exception as error:  # whatever a patch raises that is made for one latent
                    if len(chunk) == 1:
                        raise
                    self._batches.size = 1
                    logger.warning("HSO: several latents together fail with this model (%s); one by one then.", error)
                else:
                    latents.append(made)
                    rest = rest[len(chunk) :]
                    if rest and self._batches.size != 1 and not self._batches.proven:
                        self._prove(sigmas, chunk[0], made)
        except BudgetSpent as error:
            error.evaluations = meter.count
            raise
        finally:
            self.evaluations += meter.count
        return SamplerResult(torch.cat(latents), meter.count)

    def with_other_randomness(self, sigmas: Tensor, seed: int) -> Tensor:
        """Latents (1, ...) from the noise of `seed`, where all else that a seed decides is of another one.

        A sampler that draws no random numbers gives the same as with that seed.
        """
        meter = self._meter(None, None)
        try:
            return self._sample(sigmas, [seed], meter, other=1)
        finally:
            self.evaluations += meter.count

    def _prove(self, sigmas: Tensor, seed: int, alone: Tensor) -> None:
        """Find out whether that seed gives what it gave `alone` (1, ...) beside a picture of much louder noise."""
        meter, batches = self._meter(None, None), self._batches
        try:
            both = self._sample(sigmas, [seed, seed], meter, louder=LOUDER)
        except host.OUT_OF_MEMORY:
            batches.size = 1
            host.free_memory()
        except BudgetSpent:
            raise
        except Exception as error:  # whatever a patch raises that is made for one latent
            batches.size = 1
            logger.warning("HSO: several latents together fail with this model (%s); one by one then.", error)
        else:
            batches.proven = _alike(both[:1], alone, host.rounding(self.guider.model_patcher))
            if not batches.proven:
                batches.size = 1
                logger.warning("HSO: with this model a picture depends on the others of its batch; one by one then.")
        finally:
            batches.proof += meter.count
            self.evaluations += meter.count

    def _sample(
        self, sigmas: Tensor, seeds: Sequence[int], meter: _Meter, other: int = 0, louder: float = 1.0
    ) -> Tensor:
        """louder: times what the noise of the last of the seeds is."""
        first = host.frames_of_video(self.latent) if self._frames else self.latent
        noise = torch.cat([host.noise_of_seed(first, seed % SEEDS, self.batch_index) for seed in seeds])
        noise[-1] *= louder
        sampler_seed = (seeds[0] + other) % SEEDS
        if other:
            torch.manual_seed(sampler_seed)
        latent = first.to(noise.dtype).repeat(len(seeds), *(1,) * (first.ndim - 1))
        metered = _MeteredSampler(self.sampler, meter)
        try:
            with torch.no_grad():
                self.guider.sample(
                    noise,
                    latent,
                    metered,
                    sigmas.detach().clone(),  # uni_pc writes into what it is given
                    denoise_mask=self.mask,
                    disable_pbar=True,
                    seed=sampler_seed,
                )
        except host.CANCELLED as error:
            host.cancel()  # ComfyUI forgets with the exception that the user has cancelled
            raise Cancelled from error
        return meter.latents(metered.output)

    def _meter(self, limit: int | None, observe: Observer | None) -> _Meter:
        return _Meter(limit, observe, host.video_of_frames if self._frames else lambda batch: batch)

    def _batch_size(self) -> int:
        batches = self._batches
        if batches.size is None:
            model, shape = self.guider.model_patcher, tuple(self.latent.shape)
            batches.size = host.batch_that_fits(model, shape, self.largest_batch)
        return batches.size if batches.proven else 1


@dataclass
class _Batches:
    """What is known of sampling several seeds together.

    size: at most so many, once it is known. proven: that a seed gives then what it gives alone. proof: see SamplingRun.
    """

    size: int | None = None
    proven: bool = False
    proof: int = 0


def _alike(latents: Tensor, others: Tensor, rounding: float) -> bool:
    """Whether one picture made twice (1, ...) is the same but for rounding; where it is not finite both times, too."""
    least, roundings = ALIKE
    difference = (latents - others).nan_to_num().square().mean().sqrt()
    far = float(difference) > max(least, roundings * rounding) * float(others.nan_to_num().std())
    return latents.isfinite().equal(others.isfinite()) and not far


def _first_mask(mask: Tensor, latent: Tensor) -> Tensor:
    """The mask of the first latent (1, channels, ...): all of it where its first axis does not count latents.

    A mask may be one picture (height, width), or one for each frame of a video.
    """
    for_frames = latent.ndim == 5 and mask.ndim < 5
    return mask if mask.ndim == 2 or for_frames else mask[:1]


class _Meter:
    """Counts evaluations, keeps to the limit, and shows each to the observer.

    latents: makes of a batch of the sampler's what a SamplerRun calls latents.
    """

    def __init__(self, limit: int | None, observe: Observer | None, latents: Callable[[Tensor], Tensor]) -> None:
        self.limit = limit
        self.observe = observe
        self.latents = latents
        self.count = 0

    def before(self, x: Tensor) -> None:
        if host.is_cancelled():
            raise Cancelled
        batch = len(self.latents(x))
        if self.limit is not None and self.count + batch > self.limit:
            raise BudgetSpent(f"{self.count} of {self.limit} evaluations are made, and the next batch needs {batch}")

    def failed(self, x: Tensor) -> None:
        """What fails in the end has been evaluated all the same."""
        self.count += len(self.latents(x))

    def after(self, x: Tensor, sigma: Tensor, denoised: Tensor) -> None:
        self.count += len(self.latents(x))
        if self.observe is not None:
            self.observe(float(sigma.flatten()[0]), self.latents(x), self.latents(denoised))


class _MeteredSampler:
    """A SAMPLER in whose place it stands, with a meter between it and the guider; keeps what the sampler puts out."""

    def __init__(self, sampler: Any, meter: _Meter) -> None:
        self._sampler = sampler
        self._meter = meter
        self.output: Tensor

    def sample(self, model_wrap: Any, *arguments: Any, **named: Any) -> Tensor:
        output = self._sampler.sample(_MeteredGuider(model_wrap, self._meter), *arguments, **named)
        self.output = output.detach().to("cpu", torch.float32, copy=True)
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)


class _MeteredGuider:
    """The guider as a sampler sees it."""

    def __init__(self, guider: Any, meter: _Meter) -> None:
        self._guider = guider
        self._meter = meter

    def __call__(self, x: Tensor, sigma: Tensor, *arguments: Any, **named: Any) -> Tensor:
        self._meter.before(x)
        try:
            denoised = self._guider(x, sigma, *arguments, **named)
        except (host.OUT_OF_MEMORY, host.CANCELLED):
            raise
        except Exception:
            self._meter.failed(x)
            raise
        self._meter.after(x, sigma, denoised)
        return denoised

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guider, name)
