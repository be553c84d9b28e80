"""Workflows as the browser saves them, and what the browser posts to the server when they are run."""

from __future__ import annotations

from typing import Any

ONLY_IN_BROWSER = {"Note", "MarkdownNote"}  # the server does not know them
AFTER_GENERATE = {"fixed", "increment", "decrement", "randomize"}
WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}

Node = dict[str, Any]
Definition = dict[str, Any]


def server_nodes(workflow: dict[str, Any]) -> list[Node]:
    return [node for node in workflow["nodes"] if node["type"] not in ONLY_IN_BROWSER]


def input_definitions(definition: Definition) -> dict[str, list[Any]]:
    """Every input of a node as [type, options], in the order in which the browser makes them."""
    order = definition["input_order"]
    return {name: definition["input"][group][name] for group in order if group != "hidden" for name in order[group]}


def is_widget(kind: Any) -> bool:
    return isinstance(kind, list) or kind in WIDGET_TYPES


def widgets(definition: Definition) -> list[tuple[str, Any, dict[str, Any]]]:
    """Name, type and options of each value that the browser saves for a node, in order.

    Behind a seed comes the browser's own `control_after_generate`, and behind an upload the name of its kind; neither
    is an input of the node.
    """
    found = []
    for name, (kind, *rest) in input_definitions(definition).items():
        options = rest[0] if rest else {}
        if not is_widget(kind) or options.get("forceInput"):
            continue
        found.append((name, kind, options))
        if options.get("control_after_generate"):
            found.append(("", sorted(AFTER_GENERATE), {}))
        if options.get("image_upload"):
            found.append(("", "STRING", {}))
    return found


def to_prompt(workflow: dict[str, Any], object_info: dict[str, Definition]) -> dict[str, Any]:
    """The API format of a workflow: what the browser posts when the user presses Run."""
    links = {link[0]: link for link in workflow["links"]}
    prompt = {}
    for node in server_nodes(workflow):
        saved = zip(widgets(object_info[node["type"]]), node.get("widgets_values") or [], strict=True)
        inputs = {name: value for (name, _, _), value in saved if name}
        for slot in node["inputs"]:
            if slot.get("link") is not None:
                _, source, output, *_ = links[slot["link"]]
                inputs[slot["name"]] = [str(source), output]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt
