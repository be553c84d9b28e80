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

from ...hso_core.calibration.reference import reference_sigmas
from ...hso_core.calibration.run import BudgetSpent, Observer, SamplerResult
from .. import host

logger = logging.getLogger(__name__)

LARGEST_BATCH = 8
ALIKE = 1e-2, 4.0  # RMSE of one picture made twice: in its standard deviations, or roundings if these are more
LOUDER = 4.0
PILOT, PILOT_STEPS = "euler", 8
FLAT = 1e-3  # of the others' deviation: a part that hardly varies has no scale of its own
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

    Of a LATENT of several parts, such as picture and sound, all are measured, each in its own scale: the latents that a
    call gives are one row of values then, in which each part has the same share in the mean square. Its deviation is
    taken from a short run; see `prepare`.

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
        self._parts = [part.shape for part in host.parts_of(self.latent)]
        self.frames = host.batch_is_frames(guider.model_patcher) and len(self._parts) == 1
        mask = latent.get("noise_mask")
        self.mask = None if mask is None else _first_mask(mask, self.latent)
        index = latent.get("batch_index")
        self.batch_index = index if index is None or self.frames else index[:1]
        # In a batch, what ddim puts under a mask depends on the first seed, and a prompt out of a batch on the place.
        alone = mask is not None or self.frames or len(self._parts) > 1 or host.conditioning_is_batch(guider)
        self.largest_batch = 1 if alone else largest_batch
        self.evaluations = 0
        self._known = _Known(proven=host.is_plain(guider))  # which is also that of the runs that with_sampler makes

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the latents that a call gives, without their first axis, which counts the seeds."""
        values = sum(shape[1:].numel() for shape in self._parts)
        return tuple(self._parts[0][1:]) if len(self._parts) == 1 else (1, values)

    @property
    def sizes(self) -> str:
        """Of one latent, for people."""
        return " and ".join(" x ".join(str(length) for length in shape[1:]) for shape in self._parts)

    @property
    def note(self) -> str:
        """What is to be said of the distances, with a space in front; mostly nothing."""
        return " All parts of the latent count alike, each in its own scale." if len(self._parts) > 1 else ""

    def picture_of(self, latents: Tensor) -> Tensor:
        """Of the latents (n, ...) that a call gives, what is the picture, as the model has it."""
        if len(self._parts) == 1:
            return latents
        shape = self._parts[0]
        return self.unweighted(latents)[..., : shape[1:].numel()].reshape(len(latents), *shape[1:])

    def unweighted(self, latents: Tensor) -> Tensor:
        """Latents (n, ...) that a call gives, with every part in the model's own scale."""
        weights = self._known.weights
        return latents if weights is None else latents / weights.to(latents.device)

    def prepare(self) -> None:
        """Find out the deviations of the parts of the latent, where there are several and that is not done yet.

        A run does it by itself, and counts it in `evaluations` only.
        """
        if len(self._parts) == 1 or self._known.weights is not None:
            return
        values = [shape[1:].numel() for shape in self._parts]
        self._known.weights = torch.ones(sum(values), dtype=torch.float32, device="cpu")
        pilot = self.with_sampler(host.sampler(PILOT))
        schedule = reference_sigmas(host.noise_schedule(self.guider.model_patcher), PILOT_STEPS)
        try:
            parts = torch.split(pilot(schedule, [0]).latents.flatten(), values)
        except BaseException:
            self._known.weights = None
            raise
        finally:
            self.evaluations += pilot.evaluations
        rounded = [float(f"{float(part.std(correction=0)):.2g}") for part in parts]  # less rounding
        deviations = torch.tensor(rounded, dtype=torch.float32, device="cpu")
        overall = float(deviations.square().mean().sqrt())
        if not 0 < overall < torch.inf:
            return
        deviations[deviations < FLAT * overall] = overall
        shares = [(sum(values) / (len(values) * count)) ** 0.5 for count in values]
        weights = overall * torch.tensor(shares, dtype=torch.float32, device="cpu") / deviations
        self._known.weights = weights.repeat_interleave(torch.tensor(values, dtype=torch.int64, device="cpu"))

    def with_sampler(self, sampler: Any) -> SamplingRun:
        """The same with another SAMPLER."""
        other = copy.copy(self)
        other.sampler, other.evaluations = sampler, 0
        return other

    @property
    def proof(self) -> int:
        return self._known.proof

    @property
    def unproven(self) -> bool:
        """Whether it is not known yet if seeds of a batch leave each other alone."""
        return self._known.size != 1 and self.largest_batch > 1 and not self._known.proven

    @property
    def disturbed(self) -> bool:
        """Whether it was found that they do not."""
        return self._known.disturbed

    def __call__(
        self, sigmas: Tensor, seeds: Sequence[int], *, limit: int | None = None, observe: Observer | None = None
    ) -> SamplerResult:
        """See SamplerRun. Raises Cancelled, a BudgetSpent, once the user has cancelled."""
        self.prepare()
        meter = self.meter(limit, observe)
        latents, rest = [], list(seeds)
        try:
            while rest:
                chunk = rest[: self.batch_size()]
                try:
                    made = self._sample(sigmas, chunk, meter)
                except host.OUT_OF_MEMORY:
                    if len(chunk) == 1:
                        raise
                    self.take_fewer(len(chunk) // 2)
                except BudgetSpent:
                    raise
                except Exception as error:  # whatever a patch raises that is made for one latent
                    if len(chunk) == 1:
                        raise
                    self.take_fewer(1, error)
                else:
                    latents.append(made)
                    rest = rest[len(chunk) :]
                    if rest and self.unproven:
                        self.prove(sigmas, chunk[0], made)
        except BudgetSpent as error:
            error.evaluations = meter.count
            raise
        finally:
            self.evaluations += meter.count
        return SamplerResult(torch.cat(latents), meter.count)

    def take_fewer(self, seeds: int, error: Exception | None = None) -> None:
        """Sample so many seeds together from now on: for want of memory, or because of whatever else they raise."""
        self._known.size = seeds
        if error is None:
            host.free_memory()
        else:
            logger.warning("HSO: several latents together fail with this model (%s); one by one then.", error)

    def with_other_randomness(self, sigmas: Tensor, seed: int) -> Tensor:
        """Latents (1, ...) from the noise of `seed`, where all else that a seed decides is of another one.

        A sampler that draws no random numbers gives the same as with that seed.
        """
        self.prepare()
        meter = self.meter(None, None)
        try:
            return self._sample(sigmas, [seed], meter, other=1)
        finally:
            self.evaluations += meter.count

    def prove(self, sigmas: Tensor, seed: int, alone: Tensor | None = None) -> None:
        """Find out whether that seed gives what it gave `alone` (1, ...) beside a picture of much louder noise."""
        meter, known = self.meter(None, None), self._known
        try:
            alone = self._sample(sigmas, [seed], meter) if alone is None else alone
            both = self._sample(sigmas, [seed, seed], meter, louder=LOUDER)
        except host.OUT_OF_MEMORY:
            self.take_fewer(1)
        except BudgetSpent:
            raise
        except Exception as error:  # whatever a patch raises that is made for one latent
            self.take_fewer(1, error)
        else:
            known.proven = _alike(both[:1], alone, host.rounding(self.guider.model_patcher))
            if not known.proven:
                known.size, known.disturbed = 1, True
                logger.warning("HSO: with this model a picture depends on the others of its batch; one by one then.")
        finally:
            known.proof += meter.count
            self.evaluations += meter.count

    def _sample(
        self, sigmas: Tensor, seeds: Sequence[int], meter: Meter, other: int = 0, louder: float = 1.0
    ) -> Tensor:
        """louder: times what the noise of the last of the seeds is."""
        noise, sampler_seed = self.noise(seeds, louder), (seeds[0] + other) % SEEDS
        if other:
            torch.manual_seed(sampler_seed)  # behind the noise, which sets it too
        metered = _MeteredSampler(self.sampler, meter)
        self.guide(metered, noise, len(seeds), sigmas, sampler_seed)
        return meter.latents(metered.output)

    def noise(self, seeds: Sequence[int], louder: float = 1.0) -> Tensor:
        """What a sampler gets of these seeds, one after the other; the last one's so many times louder."""
        first = host.frames_of_video(self.latent) if self.frames else self.latent
        noises = [host.noise_of_seed(first, seed % SEEDS, self.batch_index) for seed in seeds]
        return noises[0] if len(seeds) == 1 else torch.cat([*noises[:-1], louder * noises[-1]])

    def guide(self, sampler: Any, noise: Tensor, seeds: int, sigmas: Tensor, seed: int) -> None:
        """Let the guider sample with `sampler`, from the noise of so many seeds. Raises Cancelled."""
        first = host.frames_of_video(self.latent) if self.frames else self.latent
        latent = first.to(noise.dtype)
        latent = latent if seeds == 1 else latent.repeat(seeds, *(1,) * (first.ndim - 1))
        try:
            with torch.no_grad():
                self.guider.sample(
                    noise,
                    latent,
                    sampler,
                    sigmas.detach().clone(),  # uni_pc writes into what it is given
                    denoise_mask=self.mask,
                    disable_pbar=True,
                    seed=seed,
                )
        except host.CANCELLED as error:
            host.cancel()  # ComfyUI forgets with the exception that the user has cancelled
            raise Cancelled from error

    def meter(self, limit: int | None, observe: Observer | None) -> Meter:
        weights = self._known.weights

        def weighted(batch: Tensor) -> Tensor:
            return batch if weights is None else batch * weights.to(batch.device)

        return Meter(limit, observe, host.video_of_frames if self.frames else weighted)

    def batch_size(self) -> int:
        """How many seeds are sampled together."""
        known = self._known
        if known.size is None:
            model, shape = self.guider.model_patcher, tuple(self.latent.shape)
            known.size = host.batch_that_fits(model, shape, self.largest_batch)
        return known.size if known.proven else 1


@dataclass
class _Known:
    """What has been found out of the guider and the latent.

    weights: (values,) of those of all parts of the latent; None where it has only one. Of several seeds together:
    size: at most so many, once it is known. proven: that a seed gives then what it gives alone; disturbed: that it does
    not. proof: see SamplingRun.
    """

    weights: Tensor | None = None
    size: int | None = None
    proven: bool = False
    disturbed: bool = False
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
    return mask if mask.ndim == 2 or (for_frames and not mask.is_nested) else host.first_of(mask)


class Meter:
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

    def __init__(self, sampler: Any, meter: Meter) -> None:
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

    def __init__(self, guider: Any, meter: Meter) -> None:
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
