"""The example workflows, as the browser saves them, fit the nodes of this server, and the demonstration runs."""

from __future__ import annotations

import gzip
import io
import json
import re
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import demo_prompts
import workbench
from comfy_server import ComfyServer
from demo_prompts import on_demo_network, show_text
from saved_workflows import (
    boxes,
    input_definitions,
    is_widget,
    server_nodes,
    to_prompt,
    widgets,
    wires_under_nodes,
)

REPOSITORY = workbench.REPOSITORY
FOLDERS = (REPOSITORY / "example_workflows", REPOSITORY / "demo" / "example_workflows")
FILES = [file for folder in FOLDERS for file in sorted(folder.glob("*.json"))]
GALAXIES = REPOSITORY / "demo" / "example_workflows" / "galaxies.json"
PLOT = FOLDERS[0] / "HSO 06 Plot schedules side by side.json"
COMPARE = FOLDERS[0] / "HSO 07 Compare schedulers on your model.json"
CALIBRATE = FOLDERS[0] / "HSO 08 Calibrate to your model.json"
CUSTOM_SIGMAS = FOLDERS[0] / "HSO 05 Draw your own sigmas.json"
OLD_NAMES = {  # what a link to a template may still say, with a node that was in it
    "hso_ksampler": "HSOKSampler",
    "hso_flow": "HSOOptimizeSchedule",
    "hso_img2img": "VAEEncode",
    "hso_custom_sigmas": "HSOCustomSigmas",
    "hso_compare": "HSOCompareSchedules",
    "hso_calibrate": "HSOCalibrateSchedule",
    "hso_split": "HSOSplitSchedule",
    "hso_sampler_custom": "SamplerCustom",
    "hso_sampler_custom_advanced": "SamplerCustomAdvanced",
}
DEV_WORKFLOW = REPOSITORY / "demo" / "workflow_api.json"
EMOJI = GALAXIES.with_name("emoji.json")
DEV_EMOJI = DEV_WORKFLOW.with_name("emoji_workflow_api.json")

USERS_FILES = {  # a server for tests has none of them
    "example.png",
    "v1-5-pruned-emaonly-fp16.safetensors",
    "sd_xl_base_1.0.safetensors",
    "flux1-dev-fp8.safetensors",
    "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors",
    "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors",
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "wan_2.1_vae.safetensors",
}


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
    ways |= {"HSOPresetSchedule", "HSOSplitSchedule", "HSOSaveSchedule", "HSOPlotSchedules"}
    ways |= {"HSOCalibrateSchedule", "HSOCompareSchedules", "HSOCalibrateSampler"}
    assert ways <= used
    assert {GALAXIES, EMOJI} <= set(FILES)


def test_the_template_browser_lists_them(server: ComfyServer) -> None:
    listed = server.get("/api/workflow_templates")
    assert set(listed["hso-schedule"]) == {file.stem for file in FILES if file.parent == FOLDERS[0]}
    assert set(listed["hso-demo"]) == {"emoji", "galaxies"}
    for name in listed["hso-schedule"]:
        assert re.fullmatch(r"HSO \d\d [A-Z][\w ()]+", name), "the page shows the name, and sorts by it"
        served = server.get(f"/api/workflow_templates/hso-schedule/{urllib.parse.quote(name)}.json")
        assert served == load(FOLDERS[0] / f"{name}.json")


@pytest.mark.parametrize(("name", "kind"), OLD_NAMES.items())
def test_the_names_that_templates_had_before_still_open_them(server: ComfyServer, name: str, kind: str) -> None:
    """They are not listed. Every browser asks for compressed files."""
    address = f"{server.url}/api/workflow_templates/hso-schedule/{name}.json"
    request = urllib.request.Request(address, headers={"Accept-Encoding": "gzip, deflate, br"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        old = json.loads(gzip.decompress(answer.read()))
    assert old in [load(file) for file in FILES], "run benchmarks/pictures/templates.py"
    assert kind in {entry["type"] for entry in old["nodes"]}


@every_workflow
def test_the_page_can_offer_the_models_that_are_missing(file: Path) -> None:
    """As in ComfyUI's own templates: where each file is to be had, and the folder that it belongs into."""
    for entry in load(file)["nodes"]:
        models = {model["name"]: model for model in entry["properties"].get("models", [])}
        wanted = [
            name for name in USERS_FILES & set(map(str, entry.get("widgets_values") or [])) if "safetensors" in name
        ]
        assert sorted(models) == sorted(wanted)
        for name, model in models.items():
            assert model["url"].startswith("https://") and model["url"].endswith(f"/{name}")
            assert model["directory"] in ("checkpoints", "diffusion_models", "text_encoders", "vae")


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
def test_nodes_do_not_overlap(file: Path) -> None:
    """Nor when they have grown with what they have to show."""
    covered = list(boxes(load(file)).values())
    for i, (left, top, right, bottom) in enumerate(covered):
        for other in covered[i + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


@every_workflow
def test_no_wire_runs_under_a_node(file: Path) -> None:
    assert not wires_under_nodes(load(file))


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


def test_the_plot_runs(server: ComfyServer) -> None:
    """With the demonstration network in the place of the user's checkpoint, here and below."""
    entry = server.run(on_demo_network(to_prompt(load(PLOT), server.object_info())))
    (table,) = server.texts(entry)
    assert table.startswith("| step | hso | karras | beta | AYS SD 1.5 |")
    (picture,) = server.files(entry)
    assert Image.open(io.BytesIO(server.fetch(picture))).size == (1024, 640)


def test_the_comparison_runs(server: ComfyServer) -> None:
    entry = server.run(on_demo_network(to_prompt(load(COMPARE), server.object_info())))
    (table,) = server.texts(entry)
    rows = table.splitlines()
    assert rows[0].startswith("| schedule | mean")
    assert {row.split("|")[1].strip() for row in rows[2:7]} == {"hso", "karras", "exponential", "simple", "beta"}
    assert len(server.files(entry)) == 2, "the ranking, and the pictures side by side"


def test_the_calibration_runs_and_gains_on_other_seeds(server: ComfyServer) -> None:
    prompt = on_demo_network(to_prompt(load(CALIBRATE), server.object_info()))
    (made,) = (number for number, entry in prompt.items() if entry["class_type"] == "HSOCalibrateSchedule")
    inputs = {name: value for name, value in prompt[made]["inputs"].items() if name not in ("budget", "remembered")}
    prompt["compare"] = demo_prompts.node(
        "HSOCompareSchedules",
        **{**inputs, "seed": 1000},
        schedulers="hso, karras, exponential, simple, beta",
        pictures=8,
        theme="dark",
        schedule_1=[made, 0],
    )
    prompt["table"] = show_text("compare")
    entry = server.run(prompt)
    texts = server.texts(entry)
    assert any("closer to the converged picture than" in text for text in texts), "the report"
    (table,) = (text for text in texts if text.startswith("| schedule | mean"))
    assert table.splitlines()[2].startswith("| calibrated |"), "the first row: nearest on seeds of its own"
    assert any(text.startswith("calibrated_") for text in texts), "the file that keeps it"


@every_workflow
def test_the_template_browser_has_a_picture_of_each(server: ComfyServer, file: Path) -> None:
    pack = "hso-schedule" if file.parent == FOLDERS[0] else "hso-demo"
    content = server.download(f"/api/workflow_templates/{pack}/{urllib.parse.quote(file.stem)}.jpg")
    picture = Image.open(io.BytesIO(content))
    assert picture.format == "JPEG" and len(content) < 150_000
    assert 1.3 < picture.width / picture.height < 2 and picture.width >= 400


def test_the_custom_sigmas_workflow_holds_what_the_search_finds(server: ComfyServer) -> None:
    """Its text is the optimised 5-step schedule of Stable Diffusion 1.5."""
    from hso_core import named_schedule, optimize_schedule
    from hso_core.schedule.sigmas import parse_sigmas

    (node,) = [n for n in load(CUSTOM_SIGMAS)["nodes"] if n["type"] == "HSOCustomSigmas"]
    found = optimize_schedule(named_schedule("sd15"), 5).sigmas
    assert parse_sigmas(node["widgets_values"][0]).tolist() == list(found)
