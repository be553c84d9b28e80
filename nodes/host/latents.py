"""Latents: what starts a run."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import comfy.model_base
import comfy.nested_tensor
import comfy.sample
import comfy.utils
import torch
from torch import Tensor

DOWNSCALE_RATIOS = ("downscale_ratio_spacial", "downscale_ratio_temporal")


def is_empty(latent: dict[str, Any]) -> bool:
    """Whether a LATENT is what Empty Latent Image gives: no picture to start from."""
    samples = latent["samples"]
    return not samples.is_nested and not torch.count_nonzero(samples)


def first_latent(model: Any, latent: dict[str, Any]) -> Any:
    """The first item of a LATENT (1, channels, ...) in the number of channels that `model` works on.

    Where the items are frames, all of them: a video (1, channels, frames, height, width). Where it holds several parts,
    such as picture and sound, a NestedTensor of the first item of each.
    """
    fixed = in_working_channels(model, latent)
    return video_of_frames(fixed) if batch_is_frames(model) and not fixed.is_nested else first_of(fixed)


def first_of(tensor: Any) -> Any:
    """The first item (1, ...) of a batch of latents or masks, also of a NestedTensor of such."""
    if tensor.is_nested:
        return comfy.nested_tensor.NestedTensor([part[:1] for part in tensor.unbind()])
    return tensor[:1]


def parts_of(latent: Any) -> list[Tensor]:
    """The latents that a sampler gets as one, each (n, channels, ...); mostly only one."""
    return list(latent.unbind()) if latent.is_nested else [latent]


def packed(latent: Any) -> Tensor:
    """What a sampler gets of latents: of several parts one row of values (n, 1, values)."""
    return comfy.utils.pack_latents(latent.unbind())[0] if latent.is_nested else latent


def batch_is_frames(model: Any) -> bool:
    """Whether a batch of latents is one video to `model`, frame by frame: SVD, SV3D, AnimateDiff."""
    motion_models = getattr(model, "additional_models", {}).get("ADE")
    return isinstance(model.model, comfy.model_base.SVD_img2vid) or bool(motion_models)


def video_of_frames(frames: Tensor) -> Tensor:
    """(frames, channels, height, width) -> (1, channels, frames, height, width)"""
    return frames.movedim(0, 1)[None]


def frames_of_video(video: Tensor) -> Tensor:
    """(1, channels, frames, height, width) -> (frames, channels, height, width)"""
    return video[0].movedim(1, 0)


def noise_of_seed(latent: Any, seed: int, batch_index: Sequence[int] | None = None) -> Any:
    """The noise that KSampler starts from with that seed and these latents (n, channels, ...)."""
    return single_precision(comfy.sample.prepare_noise(latent, seed, batch_index))


def in_working_channels(model: Any, latent: dict[str, Any]) -> Tensor:
    """A LATENT's samples in the number of channels, and the size, that `model` works on."""
    taken = inspect.signature(comfy.sample.fix_empty_latent_channels).parameters
    ratios = {key: latent.get(key) for key in DOWNSCALE_RATIOS if key in taken}  # what newer hosts' empty latents say
    return comfy.sample.fix_empty_latent_channels(model, latent["samples"], **ratios)


def single_precision(latent: Any) -> Any:
    """A half-precision latent in float32: in float16 ComfyUI's guidance divides 0 by 0 at cfg 1 (its 1e-37 is 0)."""
    half = not latent.is_nested and latent.dtype in (torch.float16, torch.bfloat16)
    return latent.float() if half else latent
