"""Definitions of nodes, for hosts of different age."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io


def advanced(node_input: io.Input) -> io.Input:
    """Mark an input as one that newer browsers fold away; hosts before 0.10 have no argument for it."""
    node_input.extra_dict = {**node_input.extra_dict, "advanced": True}
    return node_input


def schema(**fields: Any) -> io.Schema:
    """io.Schema of those fields that this ComfyUI knows."""
    known = io.Schema.__dataclass_fields__
    return io.Schema(**{name: value for name, value in fields.items() if name in known})
