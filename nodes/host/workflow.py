"""The workflow that is queued or running: the classes of its nodes, and where a schedule in it was made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import nodes
from comfy_execution.graph_utils import ExecutionBlocker
from server import PromptServer

logger = logging.getLogger(__name__)

MAX_DEPTH = 8
MAX_TEXT = 300  # characters of one widget's value
SHORT = {"HSOOptimizeSchedule": "hso", "HSOCalibrateSchedule": "calibrated"}  # as in lists, reports and plots

Prompt = Mapping[str, Mapping[str, Any]]


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


def blocked(reason: str) -> Any:
    """A value for an output that has none: a node that it is connected to does not run, and says the reason."""
    return ExecutionBlocker(reason)


def display_name(class_type: str) -> str:
    """What a node is called in ComfyUI's menus."""
    return str(nodes.NODE_DISPLAY_NAME_MAPPINGS.get(class_type, class_type))


def output_type(class_type: str, output: int) -> str | None:
    """The type of an output of a node class, "SIGMAS" for example; None for an unknown class or output."""
    types = getattr(nodes.NODE_CLASS_MAPPINGS.get(class_type), "RETURN_TYPES", ())
    return types[output] if 0 <= output < len(types) else None


def origin(
    prompt: Prompt | None, node_id: str | None, input_name: str, depth: int = MAX_DEPTH
) -> dict[str, Any] | None:
    """The node that the SIGMAS input `input_name` of a node comes from: {"node": its class, its widgets' values}.

    Inputs that are SIGMAS themselves are followed in the same way; models and prompts are not kept. None if unknown.
    """
    link = _link((prompt or {}).get(str(node_id)), input_name)
    source = (prompt or {}).get(str(link[0])) if link else None
    if link is None or source is None or depth == 0:
        return None
    made: dict[str, Any] = {"node": str(source.get("class_type", ""))}
    for name, value in (source.get("inputs") or {}).items():
        if isinstance(value, (bool, int, float)):
            made[name] = value
        elif isinstance(value, str):
            made[name] = value[:MAX_TEXT]
        elif _is_sigmas(prompt, value):
            made[name] = origin(prompt, link[0], name, depth - 1)
    return made


def short_name(prompt: Prompt | None, node_id: str | None, input_name: str) -> str:
    """What to call the schedule of an input: the scheduler or preset that was chosen, else the node's title or name.

    Nodes that make one of SHORT are called so unless they have a title of their own.
    """
    link = _link((prompt or {}).get(str(node_id)), input_name)
    source = (prompt or {}).get(str(link[0]), {}) if link else {}
    inputs = source.get("inputs") or {}
    chosen = next((inputs[name] for name in ("scheduler", "preset", "file") if isinstance(inputs.get(name), str)), "")
    kind = str(source.get("class_type", ""))
    name, title = display_name(kind), (source.get("_meta") or {}).get("title")  # only the browser sends a title
    return chosen or str(title if title and title != name else SHORT.get(kind, name))


def _link(node: Mapping[str, Any] | None, input_name: str) -> list[Any] | None:
    value = (node or {}).get("inputs", {}).get(input_name)
    return value if isinstance(value, list) and len(value) == 2 else None


def _is_sigmas(prompt: Prompt | None, value: Any) -> bool:
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[1], int)):
        return False
    return output_type(str((prompt or {}).get(str(value[0]), {}).get("class_type")), value[1]) == "SIGMAS"
