"""Workflows that were saved with a released version of the pack open and run for ever.

Each folder of tests/frozen_workflows is a version: what its examples were, as the browser saved them. The folders are
never changed; a release adds one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import workbench
from comfy_server import ComfyServer, PromptRejected
from saved_workflows import server_nodes, widgets

FOLDER = workbench.REPOSITORY / "tests" / "frozen_workflows"
FILES = sorted(FOLDER.glob("*/*.json"))
SAVED = [file for file in FILES if not file.name.startswith("api_")]
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"


def load(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text("utf-8"))


def name_of(file: Path) -> str:
    return file.relative_to(FOLDER).as_posix()


def to_prompt(workflow: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """What a browser of today posts: saved values go to the widgets by position, later widgets have their defaults."""
    links = {link[0]: link for link in workflow["links"]}
    prompt = {}
    for node in server_nodes(workflow):
        inputs: dict[str, Any] = {}
        values = node.get("widgets_values") or []
        for i, (name, kind, options) in enumerate(widgets(object_info[node["type"]])):
            value = (
                values[i] if i < len(values) else options.get("default", kind[0] if isinstance(kind, list) else None)
            )
            if name:
                inputs[name] = value
        for slot in node["inputs"]:
            if slot.get("link") is not None:
                _, source, output, *_ = links[slot["link"]]
                inputs[slot["name"]] = [str(source), output]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def test_this_version_is_frozen_too() -> None:
    """0.1.0 was released; a version that is released gets its folder before the next one is begun."""
    assert (FOLDER / "0.1.0").is_dir()
    used = {node["type"] for file in SAVED for node in load(file)["nodes"]}
    assert {"HSOOptimizeSchedule", "HSOCustomSigmas", "HSOKSampler"} <= used


@pytest.mark.parametrize("file", SAVED, ids=name_of)
def test_it_opens_with_the_values_that_it_was_saved_with(server: ComfyServer, file: Path) -> None:
    object_info = server.object_info()
    for node in server_nodes(load(file)):
        if not node["type"].startswith("HSO"):
            continue
        definition = object_info[node["type"]]
        now = [name for name, _, _ in widgets(definition)]
        saved = [slot["name"] for slot in node["inputs"] if slot.get("widget")]
        assert [name for name in now if name][: len(saved)] == saved, node["type"]
        assert len(node.get("widgets_values", [])) <= len(now), node["type"]
        assert [output["name"] for output in node["outputs"]] == definition["output_name"][: len(node["outputs"])]
        assert [output["type"] for output in node["outputs"]] == definition["output"][: len(node["outputs"])]


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_the_server_of_today_accepts_it(server: ComfyServer, file: Path) -> None:
    """Only what is the user's own may be missing: the checkpoint and the picture."""
    prompt = load(file) if file not in SAVED else to_prompt(load(file), server.object_info())
    try:
        server.wait(server.queue(prompt))
    except PromptRejected as rejected:
        problems = [
            problem["extra_info"]["input_name"] for node in rejected.node_errors.values() for problem in node["errors"]
        ]
        assert problems and set(problems) <= {"ckpt_name", "image"}, str(rejected)
    else:
        assert "galaxies" in file.name
