"""Workflows with hostile values: the server answers each with a clear refusal or a result, and lives on."""

from __future__ import annotations

import random
import time
import urllib.error
from typing import Any

import demo_prompts
from comfy_server import ComfyServer, PromptFailed, PromptRejected
from demo_prompts import show_text

VALUES: list[Any] = [
    None, True, -1, 0, 1, 7, 0.5, 1e308, -1e308, 10**40, -(10**40), float("nan"), float("inf"), float("-inf"),
    5e-324, "",
    "3, 2, 0", "14,6 3,2 0", "nan", "1e-3", "../../etc/passwd", "..\\..\\x", "/etc/passwd", "C:\\x", "a\x00b", "\u202e",
    "__import__('os').system('id')", "x" * 100_000, "9 " * 60_000, [], {}, ["model", 0], ["model", 99], ["nobody", 0],
    ["model"], [1, 2, 3], {"__value__": [1]}, {"a": {"b": []}}, "auto", "torch", "scipy ", "cuda", "ddim", "unipc",
]  # fmt: skip
SECONDS = 20.0  # for a whole workflow on a busy machine; the refusals themselves take milliseconds
ROUNDS = 1_000


def sources(server: ComfyServer) -> dict[str, dict[str, Any]]:
    """For each node of the pack with a cheap result, its inputs as a workflow would have them."""
    return {
        "HSOOptimizeSchedule": demo_prompts.optimize_schedule(4)["inputs"],
        "HSOCustomSigmas": demo_prompts.custom_sigmas("3 2 1 0", sigmas=["other", 0])["inputs"],
    }


def inputs_of(server: ComfyServer, node: str) -> list[str]:
    definition = server.object_info(node)["input"]
    return [name for group in ("required", "optional") for name in definition.get(group, {})]


def test_hostile_values_in_every_input(server: ComfyServer, figure: Any) -> None:
    generator, answers, slowest = random.Random(4), 0, 0.0
    good = sources(server)
    names = {node: [n for n in inputs_of(server, node) if n != "backend"] for node in good}
    for _ in range(ROUNDS):
        node = generator.choice(list(good))
        values = dict(good[node])
        for name in generator.sample(names[node], generator.randrange(1, 4)):
            values[name] = generator.choice(VALUES)
        if isinstance(values.get("steps"), int) and values["steps"] > 50:
            values["steps"] = 50
        prompt = {
            **demo_prompts.galaxy_nodes(1),
            "other": demo_prompts.basic_scheduler("karras", 3),
            "hostile": {"class_type": node, "inputs": values},
            "show": show_text("hostile", 1),
        }
        began = time.monotonic()
        try:
            server.run(prompt)
        except (PromptRejected, PromptFailed) as refusal:
            assert str(refusal).strip()  # as long as the values: ComfyUI repeats them
        except urllib.error.HTTPError as error:
            assert error.code in (400, 413), (error, values)
        slowest = max(slowest, time.monotonic() - began)
        answers += 1
    assert slowest < SECONDS
    figure("hostile input: workflows", answers)
    assert len(server.texts(server.run({**prompt, "hostile": demo_prompts.custom_sigmas("3 2 0")}))) == 1


def test_a_sampler_that_loses_a_step_is_told_when_the_workflow_is_queued(server: ComfyServer) -> None:
    server.run(demo_prompts.ksampler_prompt("uni_pc", "hso", 4, batch_size=1))
    message = (
        "KSampler (node sample), scheduler 'hso': for the sampler uni_pc ComfyUI's KSampler asks for one step more"
    )
    assert message in server.log()
