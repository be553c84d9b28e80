"""What several nodes have alike: the head of a definition, and inputs and outputs with their words."""

from __future__ import annotations

from typing import Any

import nodes
from comfy_api.v0_0_2 import io

from ...hso_core import MAX_STEPS
from ...hso_core.schedule.sigmas import RESAMPLINGS
from .sampling import sampler_names

_OLDER_MENU = {  # ComfyUI 0.3.75's, for a server without these nodes; later ones have moved them to model/sampling
    "BasicScheduler": "sampling/custom_sampling/schedulers",
    "SplitSigmas": "sampling/custom_sampling/sigmas",
    "KSampler": "sampling",
    "KSamplerSelect": "sampling/custom_sampling/samplers",
}
LARGEST_SIGMA = 5000.0  # v-prediction models with zero terminal SNR go to 4518.76


def category_of(node_id: str) -> str:
    """Where this ComfyUI has one of its own nodes in the menu, so that the pack's stand beside it."""
    return str(getattr(nodes.NODE_CLASS_MAPPINGS.get(node_id), "CATEGORY", _OLDER_MENU[node_id]))


def schema(*, name: str, aliases: list[str], **fields: Any) -> io.Schema:
    """The definition of a node, in those fields that this ComfyUI knows.

    The order of the inputs is part of every saved workflow, so new ones stand at the end. Where a node shows a plot,
    newer hosts send it again when the result comes from the cache.
    """
    known = io.Schema.__dataclass_fields__
    shows_plot = any(output.io_type == "SIGMAS" for output in fields["outputs"])
    fields = {"has_intermediate_output": shows_plot, "search_aliases": ["hso", *aliases], **fields}
    return io.Schema(display_name=name, **{field: value for field, value in fields.items() if field in known})


def advanced(node_input: io.Input) -> io.Input:
    """Mark an input as one that newer browsers fold away; hosts before 0.10 have no argument for it."""
    node_input.extra_dict = {**node_input.extra_dict, "advanced": True}
    return node_input


def sigmas_out() -> io.Output:
    return io.Sigmas.Output(
        display_name="SIGMAS", tooltip="For SamplerCustom, SamplerCustomAdvanced or KSampler (HSO)."
    )


def report_out(tooltip: str = "What was done, and the values as text.") -> io.Output:
    return io.String.Output(display_name="report", tooltip=tooltip)


def steps_in(default: int, tooltip: str, low: int = 1, high: int = MAX_STEPS) -> io.Input:
    return io.Int.Input("steps", default=default, min=low, max=high, tooltip=tooltip)


def cfg_in(tooltip: str) -> io.Input:
    return io.Float.Input("cfg", default=8.0, min=0.0, max=100.0, step=0.1, round=0.01, tooltip=tooltip)


def sampler_name_in(tooltip: str) -> io.Input:
    return io.Combo.Input("sampler_name", options=sampler_names(), default="dpmpp_2m", tooltip=tooltip)


def denoise_in(tooltip: str, default: float = 1.0, *, optional: bool = False) -> io.Input:
    return io.Float.Input("denoise", default=default, min=0.01, max=1.0, step=0.01, optional=optional, tooltip=tooltip)


def sigma_in(tooltip: str) -> io.Input:
    """A noise level at which two models meet; by default that of Wan 2.2."""
    return io.Float.Input("sigma", default=0.875, min=0.0, max=LARGEST_SIGMA, step=0.001, round=False, tooltip=tooltip)


def resampling_in(tooltip: str) -> io.Input:
    return io.Combo.Input(
        "resampling",
        options=list(RESAMPLINGS),
        default=RESAMPLINGS[0],
        tooltip=f"{tooltip} log-linear: straight lines in ln sigma. monotone: a smooth curve that never rises.",
    )
