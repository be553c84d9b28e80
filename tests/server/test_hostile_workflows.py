"""Workflows with hostile values: the server answers each with a clear refusal or a result, and lives on."""

from __future__ import annotations

import random
import urllib.error
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

import demo_prompts
from comfy_server import ComfyServer, PromptFailed, PromptRejected
from demo_prompts import show_text
from saved_workflows import input_definitions, is_widget

VALUES: list[Any] = [
    None, True, -1, 0, 1, 7, 0.5, 1e308, -1e308, 10**40, -(10**40), float("nan"), float("inf"), float("-inf"),
    5e-324, "",
    "3, 2, 0", "14,6 3,2 0", "nan", "1e-3", "../../etc/passwd", "..\\..\\x", "/etc/passwd", "C:\\x", "a\x00b", "\u202e",
    "__import__('os').system('id')", "x" * 100_000, "9 " * 60_000, [], {}, ["model", 0], ["model", 99], ["nobody", 0],
    ["model"], [1, 2, 3], {"__value__": [1]}, {"a": {"b": []}}, "auto", "torch", "scipy ", "cuda", "ddim", "unipc",
]  # fmt: skip
SECONDS = 20.0  # of the server's processor time for a whole workflow; the refusals themselves take milliseconds
ROUNDS = 1_000


# A run of theirs takes seconds; their fields are these kinds too.
LONG = {"HSOCalibrateSampler", "HSOCalibrateSchedule", "HSOCompareSchedules"}
SOCKETS: dict[str, Any] = {
    "MODEL": ["model", 0],
    "CONDITIONING": ["model", 1],
    "LATENT": ["latent", 0],
    "SIGMAS": ["other", 0],
}
GOOD: dict[str, Any] = {"steps": 4, "text": "3 2 1 0"}
SAMPLER = "sigmas: 3, 1, 0\nweights:\n1\n-0.5, 1.5"  # the text of Fitted Sampler


def sources(server: ComfyServer) -> dict[str, dict[str, Any]]:
    """For each node of the pack with a cheap result, inputs with which it works."""
    every = server.object_info()
    nodes = [name for name in every if name.startswith("HSO") and "Demo" not in name and name not in LONG]
    return {name: dict(good_inputs(every[name])) for name in nodes}


def good_inputs(definition: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, (kind, *rest) in input_definitions(definition).items():
        options = rest[0] if rest else {}
        if is_widget(kind) and not options.get("forceInput"):
            choices = kind if isinstance(kind, list) else options.get("options", [""])
            good = GOOD.get(name, options.get("default", choices[0] if choices else ""))
            yield name, SAMPLER if (definition["name"], name) == ("HSOFittedSampler", "text") else good
        elif kind == "SIGMAS" or (name in definition["input"]["required"] and kind in SOCKETS):
            yield name, SOCKETS[kind]


def test_hostile_values_in_every_input(server: ComfyServer, figure: Any) -> None:
    generator, answers, slowest = random.Random(4), 0, 0.0
    good = sources(server)
    assert len(good) >= 12
    definitions = server.object_info()
    names = {node: [n for n in input_definitions(definitions[node]) if n != "backend"] for node in good}
    sockets = {
        node: {name for name, (kind, *_) in input_definitions(definitions[node]).items() if not is_widget(kind)}
        for node in good
    }
    for _ in range(ROUNDS):
        node = generator.choice(list(good))
        values = dict(good[node])
        for name in generator.sample(names[node], min(generator.randrange(1, 4), len(names[node]))):
            values[name] = generator.choice(VALUES)
        if isinstance(values.get("steps"), int) and values["steps"] > 50:
            values["steps"] = 50
        prompt = prompt_with(definitions[node], {"class_type": node, "inputs": values})
        before = processor_seconds(server)
        try:
            server.run(prompt)
        except PromptRejected:
            pass  # ComfyUI itself, or a node's validate_inputs
        except PromptFailed as refusal:
            hostile = {name for name, value in values.items() if value != good[node].get(name)}
            if not hostile & sockets[node]:  # a value in a socket's place is beyond the node's control
                assert refusal.exception_type == "ValueError", (node, values, refusal.exception_message)
                assert refusal.exception_message.startswith(f"{definitions[node]['display_name']}: ")
        except urllib.error.HTTPError as error:
            assert error.code in (400, 413), (error, values)
        slowest = max(slowest, processor_seconds(server) - before)
        answers += 1
    assert slowest < SECONDS
    figure("hostile input: workflows", answers)
    sane = prompt_with(definitions["HSOCustomSigmas"], demo_prompts.custom_sigmas("3 2 0"))
    assert len(server.texts(server.run(sane))) == 1


def processor_seconds(server: ComfyServer) -> float:
    times = psutil.Process(server.process_id).cpu_times()
    return times.user + times.system


def prompt_with(definition: dict[str, Any], tested: dict[str, Any]) -> dict[str, Any]:
    """A workflow around one node, whose last output is shown where it has one."""
    shown = {"show": show_text("tested", len(definition["output"]) - 1)} if definition["output"] else {}
    other = demo_prompts.basic_scheduler("karras", 3)
    return {**demo_prompts.galaxy_nodes(1), "other": other, "tested": tested, **shown}


def test_the_good_inputs_are_good(server: ComfyServer) -> None:
    """Else the hostile values would all be refused for somebody else's sake."""
    for node, values in sources(server).items():
        if node != "HSOLoadSchedule":  # there is no file to choose
            server.run(prompt_with(server.object_info(node), {"class_type": node, "inputs": values}))


def choices(definitions: dict[str, Any]) -> list[tuple[str, str]]:
    """Every list of choices: node and input."""
    nodes = [name for name in definitions if name.startswith("HSO") and "Demo" not in name]
    every = [(node, name, kind) for node in nodes for name, (kind, *_) in input_definitions(definitions[node]).items()]
    return [(node, name) for node, name, kind in every if kind == "COMBO" or isinstance(kind, list)]


def test_a_choice_that_is_not_offered_is_refused_by_the_nodes_name(server: ComfyServer) -> None:
    """A shared workflow may name a sampler of another pack; ComfyUI itself checks no list of a node of this kind."""
    definitions = server.object_info()
    assert len(choices(definitions)) >= 19
    for node, name in choices(definitions):
        values = {**dict(good_inputs(definitions[node])), name: "res_2s"}
        if node in LONG:
            values |= {key: value for key, value in demo_prompts.MEASURED.items() if key != name}
        with pytest.raises((PromptRejected, PromptFailed)) as refusal:
            server.run(prompt_with(definitions[node], {"class_type": node, "inputs": values}))
        assert "'res_2s'" in str(refusal.value)
        if isinstance(refusal.value, PromptFailed):
            assert refusal.value.exception_type == "ValueError", (node, name)
            assert refusal.value.exception_message.startswith(f"{definitions[node]['display_name']}: ")


def test_a_value_that_is_missing_is_asked_for_in_comfyuis_own_words(server: ComfyServer) -> None:
    definitions = server.object_info()
    for node, name in (("HSOLoadSchedule", "file"), ("HSOSaveSchedule", "name"), ("HSOCustomSigmas", "text")):
        values = {key: value for key, value in good_inputs(definitions[node]) if key != name}
        with pytest.raises(PromptRejected, match=f"Required input is missing: {name}"):
            server.run(prompt_with(definitions[node], {"class_type": node, "inputs": values}))


def test_a_sampler_that_loses_a_step_is_told_when_the_workflow_is_queued(server: ComfyServer) -> None:
    server.run(demo_prompts.ksampler_prompt("uni_pc", "hso", 4, batch_size=1))
    message = (
        "KSampler (node sample), scheduler 'hso': for the sampler uni_pc ComfyUI's KSampler asks for one step more"
    )
    assert message in server.log()
