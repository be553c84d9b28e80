"""The example workflows, as the browser saves them, fit the nodes of this server, and the demonstration runs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import workbench
from comfy_server import ComfyServer
from demo_prompts import on_demo_network, show_text
from saved_workflows import input_definitions, is_widget, server_nodes, to_prompt, widgets

REPOSITORY = workbench.REPOSITORY
FOLDERS = (REPOSITORY / "example_workflows", REPOSITORY / "demo" / "example_workflows")
FILES = [file for folder in FOLDERS for file in sorted(folder.glob("*.json"))]
GALAXIES = REPOSITORY / "demo" / "example_workflows" / "galaxies.json"
DEV_WORKFLOW = REPOSITORY / "demo" / "workflow_api.json"
EMOJI = GALAXIES.with_name("emoji.json")
DEV_EMOJI = DEV_WORKFLOW.with_name("emoji_workflow_api.json")

USERS_FILES = {  # a server for tests has none of them
    "example.png",
    "v1-5-pruned-emaonly-fp16.safetensors",
    "flux1-dev-fp8.safetensors",
    "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors",
    "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors",
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "wan_2.1_vae.safetensors",
}
GROWS = {  # by a plot
    "HSOCalibrateSchedule", "HSOCompareSchedules", "HSOCustomSigmas", "HSOOptimizeSchedule", "HSOPinSigma",
    "HSOPlotSchedules", "HSOPresetSchedule",
}  # fmt: skip


def load(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text("utf-8"))


def name_of(file: Path) -> str:
    return file.relative_to(REPOSITORY).as_posix()


every_workflow = pytest.mark.parametrize("file", FILES, ids=name_of)


def assert_value_fits(value: Any, kind: Any, options: dict[str, Any], where: str) -> None:
    choices = kind if isinstance(kind, list) else options.get("options")
    if choices is not None:
        assert value in choices or value in USERS_FILES, where
    elif kind in ("INT", "FLOAT"):
        assert isinstance(value, int if kind == "INT" else (int, float)) and not isinstance(value, bool), where
        assert options.get("min", value) <= value <= options.get("max", value), where
    else:
        assert isinstance(value, bool if kind == "BOOLEAN" else str), where


def assert_pictures_of_galaxies(server: ComfyServer, entry: dict[str, Any], count: int) -> None:
    """Dark sky in the corners, a bright source in the middle, all different."""
    contents = [server.fetch(file) for file in server.files(entry)]
    assert len(set(contents)) == count
    for content in contents:
        brightness = Image.open(io.BytesIO(content)).convert("L")
        assert brightness.size == (256, 256)
        assert all(brightness.getpixel(corner) < 30 for corner in ((4, 4), (251, 4), (4, 251), (251, 251)))
        assert brightness.crop((80, 80, 176, 176)).getextrema()[1] > 100


def test_there_is_a_workflow_for_each_way_to_use_the_pack() -> None:
    used = {node["type"] for file in FILES for node in load(file)["nodes"]}
    ways = {"HSOOptimizeSchedule", "HSOCustomSigmas", "HSOKSampler", "SamplerCustom", "SamplerCustomAdvanced"}
    ways |= {"HSOPresetSchedule", "HSOPinSigma", "HSOSplitSchedule", "HSOSaveSchedule", "HSOPlotSchedules"}
    ways |= {"HSOCalibrateSchedule", "HSOCompareSchedules"}
    assert ways <= used
    assert {GALAXIES, EMOJI} <= set(FILES)


def test_the_template_browser_lists_them(server: ComfyServer) -> None:
    listed = server.get("/api/workflow_templates")
    assert set(listed["hso-schedule"]) == {file.stem for file in FILES if file.parent == FOLDERS[0]}
    assert set(listed["hso-demo"]) == {"emoji", "galaxies"}
    assert server.get("/api/workflow_templates/hso-schedule/hso_ksampler.json") == load(
        FOLDERS[0] / "hso_ksampler.json"
    )


@every_workflow
def test_widget_values_fit_the_nodes(server: ComfyServer, file: Path) -> None:
    object_info = server.object_info()
    for node in server_nodes(load(file)):
        expected = widgets(object_info[node["type"]])  # KeyError: the server has no such node
        values = node.get("widgets_values", [])  # null makes the page complain
        assert len(values) == len(expected), node["type"]
        for (name, kind, options), value in zip(expected, values, strict=True):
            assert_value_fits(value, kind, options, f"{node['type']}.{name} = {value!r}")


@every_workflow
def test_seeds_are_fixed(server: ComfyServer, file: Path) -> None:
    """Everybody who opens the workflow gets the same picture, also the second time."""
    for node in load(file)["nodes"]:
        assert not {"increment", "decrement", "randomize"} & set(map(str, node.get("widgets_values") or []))


@every_workflow
def test_links_are_consistent(server: ComfyServer, file: Path) -> None:
    """Both ends exist, know the link, and have its type; every input that the server requires is connected."""
    workflow, object_info = load(file), server.object_info()
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: link for link in workflow["links"]}
    assert len(links) == len(workflow["links"]) and max(links) == workflow["last_link_id"]
    for number, source, output, target, slot, kind in links.values():
        sender, receiver = nodes[source]["outputs"][output], nodes[target]["inputs"][slot]
        assert number in sender["links"] and receiver["link"] == number
        sent = sender["type"]
        assert sent == object_info[nodes[source]["type"]]["output"][output]
        assert kind in (sent, "*")  # the browser writes the receiver's type where that takes anything
        expected = input_definitions(object_info[nodes[target]["type"]])[receiver["name"]][0]
        assert expected in (sent, "*")
    for node in server_nodes(workflow):
        connected = {slot["name"] for slot in node["inputs"] if slot.get("link") is not None}
        required = object_info[node["type"]]["input"].get("required", {})
        assert {name for name, (kind, *_) in required.items() if not is_widget(kind)} <= connected, node["type"]
        assert {slot["link"] for slot in node["inputs"] if slot.get("link") is not None} <= links.keys()
        assert {link for output in node["outputs"] for link in output["links"] or []} <= links.keys()


@every_workflow
def test_nodes_do_not_overlap(server: ComfyServer, file: Path) -> None:
    """Positions are those of the body; the title is 30 pixels above it. Some nodes grow with what they have to show."""
    boxes = []
    for node in load(file)["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        height = max(height, 560) if node["type"] in GROWS else height
        boxes.append((x, y - 30, x + width, y + height))
    for i, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


@every_workflow
def test_nothing_of_the_machine_that_saved_it_is_left(file: Path) -> None:
    assert load(file)["extra"] == {}


def test_the_galaxies_workflow_runs(server: ComfyServer) -> None:
    prompt = to_prompt(load(GALAXIES), server.object_info())
    entry = server.run(prompt)

    (batch_size,) = [node["inputs"]["batch_size"] for node in prompt.values() if "batch_size" in node["inputs"]]
    assert_pictures_of_galaxies(server, entry, batch_size)
    (report,) = server.texts(entry)
    assert "5 steps, made for this model" in report and "sigmas:" in report


def test_the_workflow_of_dev_run_runs(server: ComfyServer) -> None:
    prompt = load(DEV_WORKFLOW)
    entry = server.run(prompt)

    (batch_size,) = [node["inputs"]["batch_size"] for node in prompt.values() if "batch_size" in node["inputs"]]
    assert_pictures_of_galaxies(server, entry, batch_size)
    assert "5 steps, made for this model" in server.texts(entry)[0]


def test_the_emoji_follow_their_class(server: ComfyServer) -> None:
    """Eight hearts, full in the middle and white beside the point; then faces, most of them yellow."""
    prompt = load(DEV_EMOJI)
    (drawn,) = (node["inputs"] for node in prompt.values() if node["inputs"].get("name") == "hearts")
    entry = server.run(prompt)
    hearts = [Image.open(io.BytesIO(server.fetch(file))).convert("RGB") for file in server.files(entry)]
    assert len({picture.tobytes() for picture in hearts}) == 8
    for picture in hearts:
        assert min(_mean_colour(picture, 96, 96)) < 180
        assert all(min(_mean_colour(picture, x, 216)) > 200 for x in (0, 216))
    assert "steps, made for this model" in server.texts(entry)[0]

    drawn["name"] = "faces"
    faces = [Image.open(io.BytesIO(server.fetch(file))).convert("RGB") for file in server.files(server.run(prompt))]
    assert _yellow(faces) > 50 > 20 > _yellow(hearts)


def _yellow(pictures: list[Image.Image]) -> float:
    """How much more green than blue is in the middle of the pictures, on the average."""
    colours = [_mean_colour(picture, 96, 96) for picture in pictures]
    return sum(green - blue for _, green, blue in colours) / len(colours)


def _mean_colour(picture: Image.Image, x: int, y: int, side: int = 40) -> tuple[int, int, int]:
    return picture.crop((x, y, x + side, y + side)).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))


@pytest.mark.parametrize(("page", "program"), [(GALAXIES, DEV_WORKFLOW), (EMOJI, DEV_EMOJI)], ids=["galaxies", "emoji"])
def test_what_dev_runs_is_what_a_person_opens(server: ComfyServer, page: Path, program: Path) -> None:
    """What dev.py runs and what a person opens in the browser give the same pictures."""
    first, second = to_prompt(load(page), server.object_info()), load(program)
    pictures = [[server.fetch(file) for file in server.files(server.run(prompt))] for prompt in (first, second)]
    assert [pixels(content) for content in pictures[0]] == [pixels(content) for content in pictures[1]]


def pixels(picture: bytes) -> bytes:
    """Without the workflow that SaveImage writes beside them."""
    return Image.open(io.BytesIO(picture)).tobytes()


def test_the_comparison_runs(server: ComfyServer) -> None:
    """With the demonstration network in the place of the user's checkpoint."""
    entry = server.run(on_demo_network(to_prompt(load(FOLDERS[0] / "hso_compare.json"), server.object_info())))
    (table,) = server.texts(entry)
    assert table.startswith("| step | Scheduler (HSO) | karras | beta | AYS SD 1.5 |")
    (picture,) = server.files(entry)
    assert Image.open(io.BytesIO(server.fetch(picture))).size == (1024, 640)


def test_the_calibration_runs_and_shows_what_it_gains(server: ComfyServer) -> None:
    prompt = on_demo_network(to_prompt(load(FOLDERS[0] / "hso_calibrate.json"), server.object_info()))
    (compared,) = (number for number, node in prompt.items() if node["class_type"] == "HSOCompareSchedules")
    prompt["table"] = show_text(compared)
    entry = server.run(prompt)
    texts = server.texts(entry)
    assert any("fitted to this model and sampler" in text for text in texts), "the report"
    (table,) = (text for text in texts if text.startswith("| schedule | mean"))
    assert table.splitlines()[2].startswith("| Calibrate Sigmas (HSO) |"), "the first row: nearest on seeds of its own"
    assert len(server.files(entry)) == 3, "a picture, the ranking, and the pictures side by side"


@every_workflow
def test_the_template_browser_has_a_picture_of_each(server: ComfyServer, file: Path) -> None:
    pack = "hso-schedule" if file.parent == FOLDERS[0] else "hso-demo"
    content = server.download(f"/api/workflow_templates/{pack}/{file.stem}.jpg")
    picture = Image.open(io.BytesIO(content))
    assert picture.format == "JPEG" and len(content) < 150_000
    assert 1.3 < picture.width / picture.height < 2 and picture.width >= 400


def test_the_custom_sigmas_workflow_holds_what_the_search_finds(server: ComfyServer) -> None:
    """Its text is the optimised 5-step schedule of Stable Diffusion 1.5."""
    from hso_core import named_schedule, optimize_schedule
    from hso_core.schedule.sigmas import parse_sigmas

    (node,) = [n for n in load(FOLDERS[0] / "hso_custom_sigmas.json")["nodes"] if n["type"] == "HSOCustomSigmas"]
    found = optimize_schedule(named_schedule("sd15"), 5).sigmas
    assert parse_sigmas(node["widgets_values"][0]).tolist() == list(found)
