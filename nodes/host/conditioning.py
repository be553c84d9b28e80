"""What is inside a GUIDER: conditioning, and what a run leaves there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import comfy.clip_vision
import comfy.conds
import comfy.controlnet
import comfy.hooks
import comfy.samplers
from torch import Tensor


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


_LEFT_BY_A_RUN: dict[tuple[Any, str], set[str]] = {  # by module and class, which another ComfyUI may not have
    (comfy.controlnet, "ControlBase"): {"cond_hint", "extra_concat", "timestep_range", "multigpu_clones"},
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


_SAMPLES = ("sample", "outer_sample", "inner_sample", "__call__", "outer_predict_noise", "predict_noise")


def runs_of(thing: Any) -> tuple[str, ...]:
    """The methods that run a GUIDER, of whatever pack; none of anything else."""
    return _SAMPLES if isinstance(thing, comfy.samplers.CFGGuider) else ()


def left_by_a_run(thing: Any) -> frozenset[str]:
    """The attributes in which an object of ComfyUI keeps a run's own things, or a random name.

    Only of those classes: with another pack an attribute of the same name may be a setting.
    """
    known = ((getattr(module, kind, ()), names) for (module, kind), names in _LEFT_BY_A_RUN.items())
    return frozenset().union(*(names for kind, names in known if isinstance(thing, kind)))


def is_plain(guider: Any) -> bool:
    """Whether only ComfyUI's own code makes a GUIDER's predictions: no patch, no wrapper, no guider of another pack.

    Then the latents of a batch leave each other alone.
    """
    model = guider.model_patcher
    options = dict(model.model_options)
    held = ("wrappers", "callbacks", "injections", "additional_models", "attachments")
    added = any(value for name in held for value in dict(getattr(model, name, {})).values())
    replaced = set(getattr(model, "object_patches", {})) - {"model_sampling"}
    own = type(guider) is comfy.samplers.CFGGuider
    return own and not any(options.values()) and not added and not replaced
