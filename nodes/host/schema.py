"""Definitions of nodes, for hosts of different age."""

from __future__ import annotations

from typing import Any

import nodes
from comfy_api.v0_0_2 import io

_OLDER_MENU = {  # ComfyUI 0.3.75's, for a server without these nodes; later ones have moved them to model/sampling
    "BasicScheduler": "sampling/custom_sampling/schedulers",
    "SplitSigmas": "sampling/custom_sampling/sigmas",
    "KSampler": "sampling",
}


def category_of(node_id: str) -> str:
    """Where this ComfyUI has one of its own nodes in the menu, so that the pack's stand beside it."""
    return str(getattr(nodes.NODE_CLASS_MAPPINGS.get(node_id), "CATEGORY", _OLDER_MENU[node_id]))


def advanced(node_input: io.Input) -> io.Input:
    """Mark an input as one that newer browsers fold away; hosts before 0.10 have no argument for it."""
    node_input.extra_dict = {**node_input.extra_dict, "advanced": True}
    return node_input


def schema(**fields: Any) -> io.Schema:
    """io.Schema of those fields that this ComfyUI knows."""
    known = io.Schema.__dataclass_fields__
    return io.Schema(**{name: value for name, value in fields.items() if name in known})
