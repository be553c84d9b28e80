"""What a user should know of a sampler that does not follow the schedule that it is given."""

from __future__ import annotations

import logging
from typing import Any

from .. import host

logger = logging.getLogger(__name__)

OWN_STEPS = ("dpm_fast", "dpm_adaptive")
NOTHING_IN_ONE_STEP = ("uni_pc", "uni_pc_bh2")
TOOLTIP = "dpm_fast and dpm_adaptive choose steps of their own between its ends."


def name_of(sampler: Any) -> str:
    """The name in ComfyUI's list of what a SAMPLER runs; of another pack's sampler whatever its function is called."""
    function = getattr(sampler, "sampler_function", None)
    name = getattr(function, "__name__", None) or type(sampler).__name__
    name = name.removeprefix("sample_").removesuffix("_function")
    return name.replace("unipc", "uni_pc")


def note_on_sampler(name: str, steps: int | None = None) -> str | None:
    """A sentence about a sampler that does not follow a schedule of so many steps; None for all others."""
    if name in OWN_STEPS:
        return (
            f"the sampler {name} chooses its own steps between the first and the last sigma above 0, and stops there; "
            "the schedule in between has no effect. Use another sampler."
        )
    if name in NOTHING_IN_ONE_STEP and steps == 1:
        return f"the sampler {name} does nothing in a single step: the noise stays. Use 2 steps, or another sampler."
    return None


def note_on_ksampler(name: str) -> str | None:
    """The same for ComfyUI's own KSampler, which takes one step out of the schedule for some samplers."""
    if name in host.samplers_that_lose_a_step():
        return (
            f"for the sampler {name} ComfyUI's KSampler asks for one step more and leaves out the last sigma above 0, "
            "which an optimised schedule is not made for. Use KSampler (HSO), or another sampler."
        )
    return note_on_sampler(name)


def tell_of_samplers(prompt: dict[str, Any], scheduler: str) -> list[str]:
    """Log, and return, a line for each node of an API prompt that has `scheduler` and a sampler to be told about."""
    told = []
    for node_id, node in prompt.items():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        if not isinstance(inputs, dict) or inputs.get("scheduler") != scheduler:
            continue
        name = inputs.get("sampler_name")
        note = note_on_ksampler(name) if isinstance(name, str) else None
        if note:
            told.append(f"{node.get('class_type')} (node {node_id}), scheduler '{scheduler}': {note}")
            logger.warning("%s", told[-1])
    return told
