"""What is kept and shared gives the same schedule elsewhere: files, workflows, and the images that carry them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from PIL import Image

import demo_prompts
import workbench
from comfy_server import ComfyServer, PromptFailed, PromptRejected
from demo_prompts import custom_sigmas, node, show_text
from hso_core.schedule.schedule_file import read_schedule, write_schedule
from hso_core.schedule.sigmas import parse_sigmas
from saved_workflows import to_prompt

Prompt = dict[str, dict[str, Any]]
CUSTOM_SIGMAS = workbench.REPOSITORY / "example_workflows" / "HSO 05 Draw your own sigmas.json"


@pytest.fixture(scope="module")
def other_machine() -> Iterator[ComfyServer]:
    """Another process with another folder, that has never seen a search."""
    environment = {workbench.WEIGHTS_VARIABLE: str(workbench.demo_weights()), "OMP_NUM_THREADS": "1"}
    with ComfyServer(workbench.node_packs(), environment=environment) as running:
        yield running


def text_of(server: ComfyServer, prompt: Prompt, source: str, output: int = 0) -> str:
    """A SIGMAS output as text, which Custom Sigmas prints exactly."""
    text = {"text": custom_sigmas(sigmas=[source, output]), "show": show_text("text", 1)}
    (shown,) = server.texts(server.run({**prompt, **text}))
    return shown


def picture_prompt(sigmas: dict[str, Any]) -> Prompt:
    """A picture made with the node `sigmas`, saved as an image."""
    prompt = demo_prompts.hso_ksampler_prompt(sigmas, "euler", batch_size=1)
    del prompt["save"]
    prompt["image"] = node("HSODemoImage", samples=["sample", 0])
    prompt["keep"] = node("SaveImage", images=["image", 0], filename_prefix="shared")
    return prompt


def optimised_text(server: ComfyServer, steps: int = 5) -> str:
    """The schedule in the report of Scheduler (HSO), as one copies it."""
    prompt = {
        **demo_prompts.galaxy_nodes(1),
        "found": demo_prompts.optimize_schedule(steps),
        "show": show_text("found", 1),
    }
    (report,) = server.texts(server.run(prompt))
    (line,) = [line for line in report.splitlines() if line.startswith("sigmas: ")]
    return line.removeprefix("sigmas: ")


@pytest.mark.parametrize("kept", ["values", "settings"])
def test_an_image_carries_its_schedule_to_another_machine(
    server: ComfyServer, other_machine: ComfyServer, kept: str
) -> None:
    """The PNG of one server, opened on another: the same sigmas and the same picture, to the last bit."""
    text = optimised_text(server)
    source = custom_sigmas(text) if kept == "values" else demo_prompts.optimize_schedule(5)
    (file,) = server.files(server.run(picture_prompt(source)))
    picture = Image.open(io.BytesIO(server.fetch(file)))

    prompt = json.loads(picture.info["prompt"])
    if kept == "values":
        assert prompt["sigmas"]["inputs"]["text"] == text
    (again,) = other_machine.files(other_machine.run(prompt))
    assert Image.open(io.BytesIO(other_machine.fetch(again))).tobytes() == picture.tobytes()
    only_sigmas = {name: prompt[name] for name in ("model", "latent", "sigmas")}
    assert text_of(other_machine, only_sigmas, "sigmas") == text


def test_an_image_carries_its_workflow_with_the_exact_values(server: ComfyServer, other_machine: ComfyServer) -> None:
    """What the browser opens when an image is dropped on it: the saved workflow, as the server wrote it."""
    workflow = json.loads(CUSTOM_SIGMAS.read_text("utf-8"))
    (saved,) = [entry for entry in workflow["nodes"] if entry["type"] == "HSOCustomSigmas"]
    saved["widgets_values"][0] = optimised_text(server, 7)
    prompt = picture_prompt(custom_sigmas(saved["widgets_values"][0]))
    entry = server.wait(server.queue(prompt, extra_data={"extra_pnginfo": {"workflow": workflow}}))
    (file,) = server.files(entry)
    opened = json.loads(Image.open(io.BytesIO(server.fetch(file))).info["workflow"])
    assert opened == workflow
    restored = to_prompt(opened, other_machine.object_info())[str(saved["id"])]
    restored["inputs"] = {name: value for name, value in restored["inputs"].items() if name != "model"}
    assert text_of(other_machine, {"sigmas": restored}, "sigmas") == saved["widgets_values"][0]


def test_a_file_carries_a_schedule_to_another_machine(server: ComfyServer, other_machine: ComfyServer) -> None:
    prompt = {
        **demo_prompts.galaxy_nodes(1),
        "found": demo_prompts.optimize_schedule(6),
        "mixed": node(
            "HSOBlendSchedules",
            first=["found", 0],
            second=["karras", 0],
            weight=0.25,
            resampling="log-linear",
        ),
        "karras": demo_prompts.basic_scheduler("karras", 4),
        "keep": node(
            "HSOSaveSchedule",
            sigmas=["mixed", 0],
            model=["model", 0],
            report=["mixed", 1],
            name="shared/blend",
            folder="user",
            sampler="euler",
            note="half way",
        ),
    }
    (label,) = server.texts(server.run(prompt))
    assert label == "shared/blend_00001_.safetensors [user]"
    written = server.base_directory / "user" / "default" / "schedules" / label.split(" [")[0]
    _, metadata = read_schedule(written)
    assert json.loads(metadata["made_by"]) == {
        "node": "HSOBlendSchedules",
        "weight": 0.25,
        "resampling": "log-linear",
        "first": {"node": "HSOOptimizeSchedule", "steps": 6, "denoise": 1.0, "start": "auto"},
        "second": {"node": "BasicScheduler", "scheduler": "karras", "steps": 4, "denoise": 1.0},
    }

    received = other_machine.output_directory / "schedules" / "received.safetensors"
    received.parent.mkdir(parents=True, exist_ok=True)
    received.write_bytes(written.read_bytes())
    options = other_machine.object_info("HSOLoadSchedule")["input"]["required"]["file"][1]["options"]
    assert options == ["received.safetensors [output]"]
    load = {
        "model": node("HSODemoModel"),
        "load": node("HSOLoadSchedule", file=options[0], model=["model", 0]),
        "report": show_text("load", 1),
    }
    (report,) = other_machine.texts(other_machine.run(load))
    assert "Warning" not in report  # the same model
    for words in ("6 steps", "Sampler it was made for: euler", "half way", "25% of the second", "HSOBlendSchedules"):
        assert words in report
    assert text_of(other_machine, {"model": load["model"], "load": load["load"]}, "load") == text_of(
        server, {name: prompt[name] for name in ("model", "found", "karras", "mixed")}, "mixed"
    )


def test_a_file_that_was_changed_is_read_again(server: ComfyServer) -> None:
    path = server.output_directory / "schedules" / "changing.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    prompt = {"load": node("HSOLoadSchedule", file="changing.safetensors [output]")}
    for values in ([3.0, 1.0, 0.0], [5.0, 2.0, 0.0]):
        write_schedule(path, torch.tensor(values), {})
        assert parse_sigmas(text_of(server, prompt, "load")).tolist() == values


def test_a_hostile_file_fails_with_one_sentence(server: ComfyServer) -> None:
    path = server.output_directory / "schedules" / "hostile.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x80\x04c__builtin__\neval\n")
    with pytest.raises(PromptFailed, match=r"Load Sigmas \(HSO\): 'hostile.safetensors' is damaged or cut"):
        text_of(server, {"load": node("HSOLoadSchedule", file="hostile.safetensors [output]")}, "load")


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "nul", "a\0b", "x" * 300])
def test_dangerous_names_are_refused_before_the_run(server: ComfyServer, name: str) -> None:
    keep = node("HSOSaveSchedule", sigmas=["s", 0], name=name, folder="output", sampler="", note="")
    with pytest.raises(PromptRejected, match="the name .* write it like 'portraits'"):
        server.run({"s": custom_sigmas("3 1 0"), "keep": keep})
    assert not list(server.base_directory.rglob("outside*"))


@pytest.mark.parametrize("file", ["../../../../etc/passwd [output]", "none.safetensors [user]"])
def test_files_outside_the_list_are_refused_before_the_run(server: ComfyServer, file: str) -> None:
    with pytest.raises(PromptRejected, match="there is no schedule .* choose one from the list"):
        text_of(server, {"load": node("HSOLoadSchedule", file=file)}, "load")


def test_schedules_are_plotted_with_the_names_of_their_schedulers(server: ComfyServer) -> None:
    prompt = {
        "model": node("HSODemoModel"),
        "found": demo_prompts.optimize_schedule(5),
        "karras": demo_prompts.basic_scheduler("karras", 5),
        "preset": node("HSOPresetSchedule", preset="AYS SDXL", steps=5, denoise=1.0),
        "plot": node(
            "HSOPlotSchedules",
            schedule_1=["found", 0],
            schedule_2=["karras", 0],
            schedule_5=["preset", 0],
            model=["model", 0],
            names="ours",
            axis="lambda",
            theme="light",
            width=640,
            height=400,
        ),
        "show": show_text("plot", 1),
        "save": node("SaveImage", images=["plot", 0], filename_prefix="plot"),
    }
    entry = server.run(prompt)
    (table,) = server.texts(entry)
    assert table.splitlines()[0] == "| step | ours | karras | AYS SDXL |" and len(table.splitlines()) == 8
    (file,) = server.files(entry)
    assert Image.open(io.BytesIO(server.fetch(file))).size == (640, 400)
    (payload,) = entry["outputs"]["plot"]["hso_plot"]
    assert [curve["name"] for curve in payload["schedules"]] == ["ours", "karras", "AYS SDXL"]


def test_a_split_schedule_gives_the_picture_of_the_whole_one(server: ComfyServer) -> None:
    """Two samplers in a row, the first one leaving its noise: euler needs nothing else to go on."""
    whole = demo_prompts.sampler_custom_prompt(demo_prompts.optimize_schedule(6), "euler", batch_size=2)
    parts = demo_prompts.sampler_custom_prompt(demo_prompts.optimize_schedule(6), "euler", batch_size=2)
    parts["split"] = node("HSOSplitSchedule", sigmas=["sigmas", 0], where="step", sigma=1.0, insert=False, step=3)
    parts["sample"]["inputs"]["sigmas"] = ["split", 0]
    rest = {**parts["sample"]["inputs"], "add_noise": False, "latent_image": ["sample", 0], "sigmas": ["split", 1]}
    parts["rest"] = node("SamplerCustom", **rest)
    parts["save"]["inputs"]["samples"] = ["rest", 0]
    torch.testing.assert_close(demo_prompts.sample(server, parts), demo_prompts.sample(server, whole))
