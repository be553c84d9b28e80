"""What artists hand to each other: images with their workflow in them, and the example workflows."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest
from playwright.sync_api import expect

import demo_prompts
import workbench
from comfy_page import ComfyPage
from hso_core.schedule.sigmas import parse_sigmas, print_sigmas
from saved_workflows import to_prompt

DROP = """([name, bytes]) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
    const at = { bubbles: true, cancelable: true, clientX: 1200, clientY: 850 };
    for (const kind of ["dragenter", "dragover", "drop"])
        document.querySelector("#graph-canvas").dispatchEvent(new DragEvent(kind, { dataTransfer, ...at }));
}"""
KEPT_PLOT = "() => app.graph.nodes.some(node => node.type === 'HSOOptimizeSchedule' && node.properties.hso_plot)"
EXAMPLES = sorted((workbench.REPOSITORY / "example_workflows").glob("*.json"))


def test_an_image_that_is_dropped_on_the_canvas_brings_its_schedule_back(comfy: ComfyPage) -> None:
    """Drawn by hand and found by the search: the values, the settings and the plot."""
    text = print_sigmas(parse_sigmas("100.12345, 5, 2.25, 0.333333333, 0"))
    prompt = demo_prompts.hso_ksampler_prompt(demo_prompts.custom_sigmas(text), "euler", batch_size=1)
    del prompt["save"]
    prompt["image"] = demo_prompts.node("HSODemoImage", samples=["sample", 0])
    prompt["keep"] = demo_prompts.node("SaveImage", images=["image", 0], filename_prefix="shared")
    # A host of this age sends no plot for what it has in its cache, so no other page may have asked for the same.
    prompt["found"] = demo_prompts.optimize_schedule(6, search_seed=secrets.randbelow(1 << 31))
    prompt["show"] = demo_prompts.show_text("found", 1)
    comfy.build(prompt)
    comfy.run()  # an image holds the workflow as it was when it was queued: the plot of the run before
    comfy.page.wait_for_function(KEPT_PLOT)
    comfy.of_node("HSOKSampler", "node.widgets.find(widget => widget.name === 'seed').value = 77")
    (file,) = comfy.server.files(comfy.run())
    image = comfy.server.fetch(file)

    comfy.load()
    comfy.build({"other": demo_prompts.custom_sigmas("2, 1, 0"), "show": demo_prompts.show_text("other", 1)})
    comfy.page.evaluate(DROP, ["galaxy.png", list(image)])
    comfy.page.wait_for_function("() => app.graph.nodes.some(node => node.type === 'SaveImage')")
    comfy.settle()
    assert comfy.inputs("HSOCustomSigmas")["text"] == text
    assert comfy.inputs("HSOOptimizeSchedule")["steps"] == 6
    comfy.look_at("HSOCustomSigmas")
    handles = comfy.all_of(".hso-handle", "hso-editor")
    assert ", ".join(handle.get_attribute("aria-valuenow") for handle in handles) == text
    comfy.look_at("HSOOptimizeSchedule", scale=0.6, top=80)
    expect(comfy.part("hso-plot").locator(".hso-dot")).to_have_count(7)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_opens_and_is_sent_as_it_was_saved(comfy: ComfyPage, file: Path) -> None:
    """Every value and every link of our nodes; the page adds nothing and loses nothing."""
    saved = json.loads(file.read_text("utf-8"))
    comfy.open_workflow(saved)
    sent, expected = comfy.prompt(), to_prompt(saved, comfy.server.object_info())
    assert sent.keys() == expected.keys()
    for number, node in expected.items():
        assert sent[number]["class_type"] == node["class_type"]
        if node["class_type"].startswith("HSO"):
            assert sent[number]["inputs"] == node["inputs"]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_opens_with_the_room_that_its_nodes_need(comfy: ComfyPage, file: Path) -> None:
    """No node grows over another, neither then nor by its first plot. (Nodes 2.0 has sizes of its own.)"""
    if comfy.renderer == "nodes2":
        pytest.skip("the files have the sizes of the classic page")
    saved = json.loads(file.read_text("utf-8"))
    comfy.open_workflow(saved)
    sizes = comfy.page.evaluate("() => Object.fromEntries(app.graph.nodes.map(node => [node.id, node.size[1]]))")
    ours = [node for node in saved["nodes"] if node["type"].startswith("HSO")]
    assert not [node["type"] for node in ours if sizes[str(node["id"])] > node["size"][1] + 2]
