"""The check of pull requests: what would break saved workflows is found, and nothing else."""

from __future__ import annotations

import copy

import pytest

from node_diff import breaking_changes

NODE = {
    "input": {
        "required": {"model": ["MODEL", {}], "mode": ["COMBO", {"options": ["a", "b"]}], "steps": ["INT", {}]},
        "optional": {"seed": ["INT", {}], "report": ["STRING", {"forceInput": True}]},
    },
    "output": ["SIGMAS", "STRING"],
}


def changed(change) -> list[str]:
    new = copy.deepcopy({"Node": NODE})
    change(new)
    return breaking_changes({"Node": NODE}, new)


def optional(new) -> dict:
    return new["Node"]["input"]["optional"]


def required(new) -> dict:
    return new["Node"]["input"]["required"]


@pytest.mark.parametrize(
    "change",
    [
        lambda new: None,
        lambda new: new.update(Other=NODE),
        lambda new: new["Node"]["output"].append("IMAGE"),
        lambda new: optional(new).update(last=["FLOAT", {}]),
        lambda new: optional(new).update(sigmas=["SIGMAS", {}]),
        lambda new: required(new)["mode"][1]["options"].insert(0, "c"),
        lambda new: required(new).update(mode=[["a", "b", "c"], {}]),  # the older form of a list
        lambda new: required(new)["steps"][1].update(default=7, tooltip="more"),
    ],
)
def test_what_saved_workflows_can_bear(change):
    assert changed(change) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda new: new.pop("Node"), "Node is gone"),
        (lambda new: new["Node"]["output"].reverse(), "Node: the outputs were"),
        (lambda new: new["Node"]["output"].pop(), "Node: the outputs were"),
        (lambda new: required(new).pop("model"), "Node: the input model is gone"),
        (lambda new: required(new).update(model=["CLIP", {}]), "Node: the input model was MODEL, and is CLIP"),
        (lambda new: required(new).update(steps=["FLOAT", {}]), "Node: the input steps was INT, and is FLOAT"),
        (lambda new: required(new)["mode"][1]["options"].remove("a"), "Node: the choice 'a' of mode is gone"),
        (lambda new: required(new).update(extra=["CLIP", {}]), "Node: the new input extra is required"),
        (lambda new: required(new).update(extra=["INT", {}]), "Node: the widgets were"),
        (
            lambda new: new["Node"]["input"].update(optional={"first": ["INT", {}], **optional(new)}),
            "Node: the widgets were",
        ),
    ],
)
def test_what_would_break_them_is_said(change, message):
    assert any(line.startswith(message) for line in changed(change))


def test_the_pack_itself_is_read(node_classes):
    definitions = {name: cls.GET_NODE_INFO_V1() for name, cls in node_classes.items()}
    fewer = {name: copy.deepcopy(definition) for name, definition in definitions.items() if name != "HSOKSampler"}
    fewer["HSOPresetSchedule"]["input"]["required"]["preset"][1]["options"] = ["AYS SDXL"]
    assert breaking_changes(definitions, definitions) == []
    found = breaking_changes(definitions, fewer)
    assert found[0] == "HSOKSampler is gone" and "HSOPresetSchedule: the choice 'AYS SD 1.5' of preset is gone" in found
