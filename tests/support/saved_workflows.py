"""Workflows as the browser saves them, and what the browser posts to the server when they are run."""

from __future__ import annotations

import math
from collections.abc import Iterator
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


# -- how it looks ------------------------------------------------------------------------------------------------------

TITLE, SLOT = 30, 20  # pixels: the title stands above the position of a node, the slots below it
SHOWS_PLOT = 560  # height to which these nodes grow, by a plot
PLOTS = {
    "HSOCalibrateSchedule", "HSOCompareSchedules", "HSOCustomSigmas", "HSOEditSigmas", "HSOOptimizeSchedule",
    "HSOPlotSchedules", "HSOPresetSchedule", "HSOSaveSchedule", "HSOSplitSchedule",
}  # fmt: skip
BENT = 0.25  # of a wire's length: how far its two ends go on straight (LiteGraph's splines)

Box = tuple[float, float, float, float]


def boxes(workflow: dict[str, Any]) -> dict[int, Box]:
    """What each node covers once it has run, with its title: left, top, right, bottom."""
    found = {}
    for node in workflow["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        found[node["id"]] = x, y - TITLE, x + width, y + max(height, SHOWS_PLOT if node["type"] in PLOTS else 0)
    return found


def wires_under_nodes(workflow: dict[str, Any]) -> list[str]:
    """A line for each wire that would run under a node, as LiteGraph draws wires and puts slots."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    covered, found = boxes(workflow), []
    for number, source, output, target, slot, _ in workflow["links"]:
        sockets = [i for i, given in enumerate(nodes[target]["inputs"]) if not given.get("widget")]
        start = covered[source][2], nodes[source]["pos"][1] + (output + 0.7) * SLOT
        end = covered[target][0], nodes[target]["pos"][1] + (sockets.index(slot) + 0.7) * SLOT
        points = list(_spline(start, end))
        for node_id, (left, top, right, bottom) in covered.items():
            if any(left + 2 < x < right - 2 and top < y < bottom for x, y in points):
                names = [nodes[i].get("title", nodes[i]["type"]) for i in (source, target, node_id)]
                found.append(f"wire {number} from {names[0]} to {names[1]} runs under {names[2]}")
    return found


def _spline(start: tuple[float, float], end: tuple[float, float]) -> Iterator[tuple[float, float]]:
    bend = BENT * math.dist(start, end)
    for k in range(101):
        t = k / 100
        weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
        xs, ys = (start[0], start[0] + bend, end[0] - bend, end[0]), (start[1], start[1], end[1], end[1])
        yield sum(w * x for w, x in zip(weights, xs, strict=True)), sum(w * y for w, y in zip(weights, ys, strict=True))
