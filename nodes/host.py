"""The only file that touches ComfyUI's internals."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.cli_args
import comfy.clip_vision
import comfy.conds
import comfy.controlnet
import comfy.hooks
import comfy.model_base
import comfy.model_management
import comfy.model_sampling
import comfy.sample
import comfy.samplers
import comfy.utils
import folder_paths
import latent_preview
import nodes
import torch
from comfy_api.v0_0_2 import io
from server import PromptServer
from torch import Tensor

from ..hso_core import NoiseSchedule, NoiseScheduleError
from ..hso_core.safe_file import FileError
from ..hso_core.sigmas import check_range, describe_low_start

logger = logging.getLogger(__name__)


@contextmanager
def named_errors(node: str) -> Iterator[None]:
    """Put the node's name in front of the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{node}: {error}") from error


def check_choice(name: str, value: Any, options: Collection[str]) -> None:
    """Raises ValueError unless `value` is one of a list's options: ComfyUI itself checks no list of such a node."""
    if value not in list(options):  # a list, because a hostile value may not be hashable
        raise ValueError(f"{name} is {str(value)[:60]!r}; it must be one of {', '.join(options)}")


# -- the model's noise schedule ----------------------------------------------------------------------------------------


def noise_schedule(model: Any) -> NoiseSchedule:
    """The noise schedule that `model` (a MODEL) has with all patches that are applied to it."""
    return noise_schedule_of_sampling(model.get_model_object("model_sampling"))


def readable_noise_schedule(model: Any) -> NoiseSchedule | None:
    """`noise_schedule`, or None for a model whose noise schedule cannot be read."""
    try:
        return noise_schedule(model)
    except NoiseScheduleError:
        return None


def check_schedule(sigmas: Tensor, model: Any) -> str | None:
    """Refuse sigmas (n,) that start above the largest noise level of `model`; say what is odd about a low start.

    Raises SigmasError. A model whose noise schedule cannot be read is not held against the schedule.
    """
    noise = readable_noise_schedule(model)
    if noise is None:
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


def scheduler_sigmas(model: Any, scheduler: str, steps: int) -> Tensor:
    """The sigmas (n,), usually steps + 1, that a scheduler of ComfyUI's list gives for `model`; on the CPU."""
    return comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), scheduler, steps).cpu()


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
    sampler: Any,
    sigmas: Tensor,
    positive: list[Any],
    negative: list[Any],
    latent: dict[str, Any],
    *,
    add_noise: bool = True,
) -> dict[str, Any]:
    """What ComfyUI's KSampler does, with the schedule given: a LATENT, with preview, progress, mask and batch index.

    Without add_noise, what SamplerCustom does then: the latent holds the noise.
    """
    latent_image = comfy.sample.fix_empty_latent_channels(model, latent["samples"], **_downscale_ratios(latent))
    noise = comfy.sample.prepare_noise(latent_image, seed, latent.get("batch_index"))
    if not add_noise:
        noise = noise * 0  # also of a nested latent
    samples = comfy.sample.sample_custom(
        model,
        _single_precision(noise),
        cfg,
        sampler,
        sigmas.clone(),  # uni_pc writes into what it is given
        positive,
        negative,
        _single_precision(latent_image),
        noise_mask=latent.get("noise_mask"),
        callback=latent_preview.prepare_callback(model, len(sigmas) - 1),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )
    return {**{key: value for key, value in latent.items() if key not in DOWNSCALE_RATIOS}, "samples": samples}


def _single_precision(latent: Tensor) -> Tensor:
    """A half-precision latent in float32: in float16 ComfyUI's guidance divides 0 by 0 at cfg 1 (its 1e-37 is 0)."""
    half = not latent.is_nested and latent.dtype in (torch.float16, torch.bfloat16)
    return latent.float() if half else latent


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

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # whatever is computed from it is a plain Tensor

    def __getitem__(self, index: Any) -> Tensor:
        return self.clone()[index]

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return str(Tensor.__repr__(self.clone(), tensor_contents=tensor_contents))  # type: ignore

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Tensor.__reduce_ex__(self.clone(), protocol)  # type: ignore[no-untyped-call]

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return self.clone()


def sigmas_output(sigmas: Tensor) -> Tensor:
    """The form in which a node puts out a schedule (n,): float32, on the CPU, its own memory, guarded."""
    return sigmas.detach().to("cpu", torch.float32, copy=True).as_subclass(GuardedSigmas)


# -- sampling again and again ------------------------------------------------------------------------------------------

OUT_OF_MEMORY = comfy.model_management.OOM_EXCEPTION
CANCELLED = comfy.model_management.InterruptProcessingException


def guider(model: Any, positive: list[Any], negative: list[Any], cfg: float) -> Any:
    """A GUIDER as core's CFGGuider node makes it."""
    made = comfy.samplers.CFGGuider(model)
    made.set_conds(positive, negative)
    made.set_cfg(cfg)
    return made


def sampler(name: str) -> Any:
    """The SAMPLER of that name, as KSampler uses it."""
    try:
        return comfy.samplers.sampler_object(name)
    except AttributeError:
        raise ValueError(
            f"this ComfyUI has no sampler {str(name)[:60]!r}; install the pack that brings it, or choose another"
        ) from None


def batch_is_frames(model: Any) -> bool:
    """Whether a batch of latents is one video to `model`, frame by frame: SVD, SV3D, AnimateDiff."""
    motion_models = getattr(model, "additional_models", {}).get("ADE")
    return isinstance(model.model, comfy.model_base.SVD_img2vid) or bool(motion_models)


def first_latent(model: Any, latent: dict[str, Any]) -> Tensor:
    """The first item of a LATENT (1, channels, ...) in the number of channels that `model` works on.

    Where the items are frames, all of them: a video (1, channels, frames, height, width).
    """
    fixed = comfy.sample.fix_empty_latent_channels(model, latent["samples"], **_downscale_ratios(latent))
    if fixed.is_nested:
        raise ValueError("the latent holds picture and sound together, which cannot be compared; use a plain latent")
    return video_of_frames(fixed) if batch_is_frames(model) else fixed[:1]


def video_of_frames(frames: Tensor) -> Tensor:
    """(frames, channels, height, width) -> (1, channels, frames, height, width)"""
    return frames.movedim(0, 1)[None]


def frames_of_video(video: Tensor) -> Tensor:
    """(1, channels, frames, height, width) -> (frames, channels, height, width)"""
    return video[0].movedim(1, 0)


def noise_of_seed(latent: Tensor, seed: int, batch_index: Sequence[int] | None = None) -> Tensor:
    """The noise that KSampler starts from with that seed and these latents (n, channels, ...)."""
    return _single_precision(comfy.sample.prepare_noise(latent, seed, batch_index))


def conditioning_is_batch(guider: Any) -> bool:
    """Whether a part of a GUIDER's conditioning is itself a batch: each of several latents would get another item."""
    conditioning = getattr(guider, "original_conds", {})
    return any(len(tensor) > 1 for tensor in _conditioning_tensors(conditioning))


def _conditioning_tensors(thing: Any) -> Iterator[Tensor]:
    if isinstance(thing, Tensor):
        if thing.ndim and not thing.is_nested:
            yield thing
        return
    parts: Any = ()
    if isinstance(thing, Mapping):
        parts = thing.values()
    elif isinstance(thing, list | tuple):
        parts = thing
    elif isinstance(thing, comfy.controlnet.ControlBase):
        parts = (thing.cond_hint_original, thing.extra_concat_orig, thing.previous_controlnet)
    elif isinstance(thing, comfy.conds.CONDRegular):
        parts = (thing.cond,)
    elif isinstance(thing, comfy.clip_vision.Output):
        parts = vars(thing).values()
    for part in parts:
        yield from _conditioning_tensors(part)


def batch_that_fits(model: Any, shape: tuple[int, ...], most: int) -> int:
    """How many latents of `shape` (1, ...) can be sampled together, beside the whole model: 1 to `most`."""
    device = model.load_device
    getattr(comfy.model_management, "cleanup_models_gc", lambda: None)()
    loaded = sum(
        entry.model_loaded_memory()
        for entry in comfy.model_management.current_loaded_models
        if entry.device == device and entry.model is not None  # the MODEL is gone, and its network is in use elsewhere
    )
    room = comfy.model_management.get_free_memory(device) + loaded - model.model_size()
    # twice: the conditional and the unconditional half of each, as comfy.sampler_helpers.estimate_memory counts
    fits = [n for n in range(2, most + 1) if model.memory_required([2 * n, *shape[1:]]) <= room]
    return max(fits, default=1)


def free_memory() -> None:
    """Give back what torch holds without using it."""
    comfy.model_management.soft_empty_cache()


_LEFT_BY_A_RUN: dict[tuple[Any, str], set[str]] = {  # by module and class, which another ComfyUI may not have
    (comfy.samplers, "CFGGuider"): {"conds", "inner_model", "loaded_models"},
    (comfy.controlnet, "ControlBase"): {"cond_hint", "extra_concat", "timestep_range"},
    (comfy.controlnet, "ControlNet"): {"model_sampling_current"},
    (comfy.controlnet, "ControlLora"): {"control_model", "manual_cast_dtype"},
    (comfy.controlnet, "T2IAdapter"): {"control_input"},
    (comfy.hooks, "Hook"): {"hook_ref"},
    (comfy.hooks, "TransformerOptionsHook"): {"_skip_adding"},
    (comfy.hooks, "HookKeyframe"): {"start_t"},
    (comfy.hooks, "HookKeyframeGroup"): {
        "_current_keyframe", "_current_used_steps", "_current_index", "_current_strength", "_curr_t", "curr_t"
    },
}  # fmt: skip


def left_by_a_run(thing: Any) -> frozenset[str]:
    """The attributes in which an object of ComfyUI keeps a run's own things, or a random name.

    Only of those classes: with another pack an attribute of the same name may be a setting.
    """
    known = ((getattr(module, kind, ()), names) for (module, kind), names in _LEFT_BY_A_RUN.items())
    return frozenset().union(*(names for kind, names in known if isinstance(thing, kind)))


def is_cancelled() -> bool:
    """Whether the user has cancelled; `stop_if_cancelled` has still to be called."""
    return comfy.model_management.processing_interrupted()


def cancel() -> None:
    """Take back that a cancellation was noticed: the next `stop_if_cancelled` raises."""
    comfy.model_management.interrupt_current_processing()


def scheduler_names() -> list[str]:
    """The schedulers of this ComfyUI: the very list."""
    return comfy.samplers.SCHEDULER_NAMES


def ksampler_sigmas(model: Any, scheduler: str, steps: int) -> Tensor:
    """The sigmas (steps + 1,) that KSampler makes of a scheduler for those samplers: one step more, one left out."""
    sigmas = scheduler_sigmas(model, scheduler, steps + 1)
    return torch.cat([sigmas[:-2], sigmas[-1:]])


def user_folder() -> Path:
    """The folder of this ComfyUI for what belongs to the user."""
    return Path(folder_paths.get_user_directory())


# -- files of schedules ------------------------------------------------------------------------------------------------


def schedule_folders() -> dict[str, Path]:
    """Where schedules are kept. "user" is what the browser reaches through ComfyUI's own /userdata/schedules."""
    return {
        "output": Path(folder_paths.get_output_directory()) / "schedules",
        "user": user_folder() / "default" / "schedules",
    }


def numbered_file(folder: Path, name: str, suffix: str) -> Path:
    """A file `name`_00001_`suffix` in `folder` with the next free number, as SaveImage counts; makes the folder.

    Raises FileError.
    """
    try:
        parent, stem, counter, _, _ = folder_paths.get_save_image_path(name, str(folder.absolute()))
    except OSError as error:
        raise FileError(f"the folder for {name!r} in {folder.name!r} cannot be used: {error.strerror}") from error
    return Path(parent) / f"{stem}_{counter:05}_{suffix}"


def may_keep_metadata() -> bool:
    """Whether files may say how they were made; the user can forbid it (--disable-metadata)."""
    return not comfy.cli_args.args.disable_metadata


def display_name(class_type: str) -> str:
    """What a node is called in ComfyUI's menus."""
    return str(nodes.NODE_DISPLAY_NAME_MAPPINGS.get(class_type, class_type))


def output_type(class_type: str, output: int) -> str | None:
    """The type of an output of a node class, "SIGMAS" for example; None for an unknown class or output."""
    types = getattr(nodes.NODE_CLASS_MAPPINGS.get(class_type), "RETURN_TYPES", ())
    return types[output] if 0 <= output < len(types) else None


# -- the scheduler lists -----------------------------------------------------------------------------------------------


def add_scheduler(name: str, handler: Callable[[Any, int], Tensor]) -> None:
    """Offer `handler`(model_sampling, steps) as a scheduler in KSampler and BasicScheduler, now and after start-up.

    The lists are only appended to: rebinding or reordering them breaks other packs (where one of these has left a
    tuple, that is replaced). A pack that loads after this one
    may have rebound them, so the entry is made once more when every pack has been loaded.
    """
    _append_scheduler(name, handler)
    server = getattr(PromptServer, "instance", None)
    if server is not None:

        async def again(_app: object) -> None:
            try:  # the server does not start if this fails
                _append_scheduler(name, handler)
            except Exception:
                logger.exception("HSO: could not add the scheduler %r to ComfyUI's lists once more.", name)

        server.app.on_startup.append(again)


def _append_scheduler(name: str, handler: Callable[[Any, int], Tensor]) -> None:
    samplers = comfy.samplers
    entry = samplers.SCHEDULER_HANDLERS.setdefault(name, samplers.SchedulerHandler(handler, use_ms=True))
    if entry.handler is not handler:
        logger.warning("HSO: another pack has a scheduler named %r; it stays, and HSO adds none.", name)
        return
    for owner, attribute in ((samplers, "SCHEDULER_NAMES"), (samplers.KSampler, "SCHEDULERS")):
        names = getattr(owner, attribute)
        if name in names:
            continue
        if isinstance(names, tuple):
            setattr(owner, attribute, (*names, name))
        else:
            names.append(name)


def samplers_that_lose_a_step() -> frozenset[str]:
    """The samplers for which ComfyUI's KSampler leaves out the last sigma above 0."""
    return frozenset(getattr(comfy.samplers.KSampler, "DISCARD_PENULTIMATE_SIGMA_SAMPLERS", ()))


def on_prompt(look: Callable[[dict[str, Any]], object]) -> None:
    """Call `look`(prompt) with each workflow, in its API form, that is queued. It cannot stop or change it."""
    add_handler = getattr(getattr(PromptServer, "instance", None), "add_on_prompt_handler", None)
    if add_handler is None:
        return

    def handler(request: dict[str, Any]) -> dict[str, Any]:
        try:
            if isinstance(request.get("prompt"), dict):
                look(request["prompt"])
        except Exception:
            logger.exception("HSO: could not look through the workflow; it runs all the same.")
        return request

    add_handler(handler)


# -- node definitions --------------------------------------------------------------------------------------------------


def advanced(node_input: io.Input) -> io.Input:
    """Mark an input as one that newer browsers fold away; hosts before 0.10 have no argument for it."""
    node_input.extra_dict = {**node_input.extra_dict, "advanced": True}
    return node_input


def schema(**fields: Any) -> io.Schema:
    """io.Schema of those fields that this ComfyUI knows."""
    known = io.Schema.__dataclass_fields__
    return io.Schema(**{name: value for name, value in fields.items() if name in known})
