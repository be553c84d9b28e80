"""The only file that touches ComfyUI's internals."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import comfy.model_sampling
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from comfy_api.v0_0_2 import io
from server import PromptServer
from torch import Tensor

from ..hso_core import NoiseSchedule, NoiseScheduleError
from ..hso_core.sigmas import check_range, describe_low_start

logger = logging.getLogger(__name__)


@contextmanager
def named_errors(node: str) -> Iterator[None]:
    """Put the node's name in front of the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{node}: {error}") from error


# -- the model's noise schedule ----------------------------------------------------------------------------------------


def noise_schedule(model: Any) -> NoiseSchedule:
    """The noise schedule that `model` (a MODEL) has with all patches that are applied to it."""
    return noise_schedule_of_sampling(model.get_model_object("model_sampling"))


def check_schedule(sigmas: Tensor, model: Any) -> str | None:
    """Refuse sigmas (n,) that start above the largest noise level of `model`; say what is odd about a low start.

    Raises SigmasError. A model whose noise schedule cannot be read is not held against the schedule.
    """
    try:
        noise = noise_schedule(model)
    except NoiseScheduleError:
        return None
    check_range(sigmas, noise)
    return describe_low_start(sigmas, noise)


def noise_schedule_of_sampling(model_sampling: Any) -> NoiseSchedule:
    """The noise schedule of a model_sampling object. Raises NoiseScheduleError, which names the object's class."""
    kind = type(model_sampling).__name__
    sigmas = getattr(model_sampling, "sigmas", None)
    if not isinstance(sigmas, Tensor):
        raise NoiseScheduleError(
            f"this model's noise schedule ({kind}) has no table of sigmas, so there is nothing to optimise for; "
            "use a diffusion model, or a node that patches its sampling (for example ModelSamplingDiscrete)"
        )
    family = "flow" if isinstance(model_sampling, comfy.model_sampling.CONST) else "vp"
    try:
        return NoiseSchedule(sigmas, family)
    except NoiseScheduleError as error:
        raise NoiseScheduleError(f"this model's noise schedule ({kind}) cannot be used: {error}") from error


# -- long work ---------------------------------------------------------------------------------------------------------


def stop_if_cancelled(*_: object) -> None:
    """Raise ComfyUI's own exception if the user has cancelled."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def progress_bar() -> Callable[[int, int], None]:
    """A function of (done, total) that moves the node's progress bar, and ends the work when the user cancels."""
    bar: list[comfy.utils.ProgressBar] = []

    def show(done: int, total: int) -> None:
        stop_if_cancelled()
        if not bar:
            bar.append(comfy.utils.ProgressBar(max(total, 1)))
        bar[0].update_absolute(done, max(total, 1))

    return show


# -- sampling ----------------------------------------------------------------------------------------------------------

DOWNSCALE_RATIOS = ("downscale_ratio_spacial", "downscale_ratio_temporal")


def sampler_names() -> list[str]:
    """The samplers of this ComfyUI: the very list, so that what other packs add later is there."""
    return comfy.samplers.SAMPLER_NAMES


def is_empty(latent: dict[str, Any]) -> bool:
    """Whether a LATENT is what Empty Latent Image gives: no picture to start from."""
    samples = latent["samples"]
    return not samples.is_nested and not torch.count_nonzero(samples)


def sample_with_sigmas(
    model: Any,
    seed: int,
    cfg: float,
    sampler_name: str,
    sigmas: Tensor,
    positive: list,
    negative: list,
    latent: dict[str, Any],
) -> dict[str, Any]:
    """What ComfyUI's KSampler does, with the schedule given: a LATENT, with preview, progress, mask and batch index."""
    latent_image = comfy.sample.fix_empty_latent_channels(model, latent["samples"], **_downscale_ratios(latent))
    noise = comfy.sample.prepare_noise(latent_image, seed, latent.get("batch_index"))
    samples = comfy.sample.sample_custom(
        model,
        noise,
        cfg,
        comfy.samplers.sampler_object(sampler_name),
        sigmas.clone(),  # uni_pc writes into what it is given
        positive,
        negative,
        latent_image,
        noise_mask=latent.get("noise_mask"),
        callback=latent_preview.prepare_callback(model, len(sigmas) - 1),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )
    return {**{key: value for key, value in latent.items() if key not in DOWNSCALE_RATIOS}, "samples": samples}


def _downscale_ratios(latent: dict[str, Any]) -> dict[str, Any]:
    """What newer hosts' empty latents say of their size, for those of the arguments that this host's function takes."""
    taken = inspect.signature(comfy.sample.fix_empty_latent_channels).parameters
    return {key: latent.get(key) for key in DOWNSCALE_RATIOS if key in taken}


class GuardedSigmas(Tensor):
    """A schedule that core's uni_pc cannot spoil: what is sliced out of it is a copy. All else is as with a Tensor
    (and so writing through view(), unbind() or numpy() would still reach it; no sampler of ComfyUI does that).

    uni_pc writes 0.001 over the final 0 through a slice of the very tensor that the node put out. ComfyUI keeps that
    tensor in its cache, so the next sampler, also of the next workflow, would get the spoiled one.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # whatever is computed from it is a plain Tensor

    def __getitem__(self, index: Any) -> Tensor:
        return self.clone()[index]

    def __repr__(self, **options: Any) -> str:
        return self.clone().__repr__(**options)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.clone().__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict) -> Tensor:
        return self.clone()


def sigmas_output(sigmas: Tensor) -> Tensor:
    """The form in which a node puts out a schedule (n,): float32, on the CPU, its own memory, guarded."""
    return sigmas.detach().to("cpu", torch.float32, copy=True).as_subclass(GuardedSigmas)


# -- the scheduler lists -----------------------------------------------------------------------------------------------


def add_scheduler(name: str, handler: Callable[[Any, int], Tensor]) -> None:
    """Offer `handler`(model_sampling, steps) as a scheduler in KSampler and BasicScheduler, now and after start-up.

    The lists are only appended to: rebinding or reordering them breaks other packs. A pack that loads after this one
    may have rebound them, so the entry is made once more when every pack has been loaded.
    """
    _append_scheduler(name, handler)
    server = getattr(PromptServer, "instance", None)
    if server is not None:

        async def again(_app: object) -> None:
            _append_scheduler(name, handler)

        server.app.on_startup.append(again)


def _append_scheduler(name: str, handler: Callable[[Any, int], Tensor]) -> None:
    samplers = comfy.samplers
    entry = samplers.SCHEDULER_HANDLERS.setdefault(name, samplers.SchedulerHandler(handler, use_ms=True))
    if entry.handler is not handler:
        logger.warning("HSO: another pack has a scheduler named %r; it stays, and HSO adds none.", name)
        return
    for names in (samplers.SCHEDULER_NAMES, samplers.KSampler.SCHEDULERS):
        if name not in names:
            names.append(name)


# -- node definitions --------------------------------------------------------------------------------------------------


def advanced(node_input: io.Input) -> io.Input:
    """Mark an input as one that newer browsers fold away; hosts before 0.10 have no argument for it."""
    node_input.extra_dict = {**node_input.extra_dict, "advanced": True}
    return node_input


def schema(**fields: Any) -> io.Schema:
    """io.Schema of those fields that this ComfyUI knows."""
    known = io.Schema.__dataclass_fields__
    return io.Schema(**{name: value for name, value in fields.items() if name in known})
