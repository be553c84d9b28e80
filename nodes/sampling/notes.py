"""What a user should know of a sampler, or of a node of ComfyUI, that does not follow the schedule it is given."""

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


def note_on_denoise(denoise: Any, steps: Any) -> str | None:
    """A sentence about an optimised schedule of which ComfyUI takes the end; None for a new picture, and if unknown.

    Its schedulers are told a number of steps alone, steps / denoise, and neither of the two: what is optimised there
    is the whole longer schedule.
    """
    if isinstance(denoise, bool) or not isinstance(denoise, int | float) or not 0 < denoise < 1:
        return None
    longer = f"a schedule of {int(steps / denoise)} steps" if isinstance(steps, int) else "a longer schedule"
    return (
        f"for denoise {denoise:g} ComfyUI asks for {longer} and takes the end of it, which is not made for that, and "
        "starts at another noise level. Use HSO Optimize Schedule with this denoise, and KSampler (HSO)."
    )


def tell_of_nodes(prompt: dict[str, Any], scheduler: str) -> list[str]:
    """Log, and return, a line for all that is to be said of the nodes of an API prompt that have `scheduler`."""
    told = []
    for node_id, node in prompt.items():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        if not isinstance(inputs, dict) or inputs.get("scheduler") != scheduler:
            continue
        name = inputs.get("sampler_name")
        notes = [
            note_on_ksampler(name) if isinstance(name, str) else None,
            note_on_denoise(inputs.get("denoise"), inputs.get("steps")),
        ]
        for note in filter(None, notes):
            told.append(f"{node.get('class_type')} (node {node_id}), scheduler '{scheduler}': {note}")
            logger.warning("%s", told[-1])
    return told
