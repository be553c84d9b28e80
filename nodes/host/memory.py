"""What fits into the memory of the device."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import torch

OUT_OF_MEMORY = comfy.model_management.OOM_EXCEPTION


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


def rounding(model: Any) -> float:
    """The relative rounding of what a MODEL computes with."""
    network = model.model
    computes_with = getattr(network, "get_dtype_inference", None) or model.model_dtype
    dtype = getattr(network, "manual_cast_dtype", None) or computes_with()
    known = isinstance(dtype, torch.dtype) and dtype.is_floating_point and dtype.itemsize > 1
    return torch.finfo(dtype if known else torch.bfloat16).eps
