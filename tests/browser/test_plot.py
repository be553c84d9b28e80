"""The plot on Scheduler (HSO)."""

from __future__ import annotations

import itertools

import pytest
import torch
from playwright.sync_api import expect

import demo_prompts
from comfy_page import ComfyPage
from hso_core import NoiseSchedule, Settings, optimize_schedule
from hso_core.schedule.sigmas import plain_decimal

NODE = "HSOOptimizeSchedule"
NETWORK = NoiseSchedule(torch.linspace(0.02, 10, 1000, dtype=torch.float64).expm1().sqrt().float())
RENAME = "(app.canvas.emitBeforeChange(), node.title = 'renamed', app.canvas.emitAfterChange())"
seeds = itertools.count(1000)  # of the search, so that no result comes from the server's cache


def open_and_run(comfy: ComfyPage, steps: int = 5) -> int:
    """A workflow that optimises, run once; the search's seed."""
    seed = open_workflow(comfy, steps)
    comfy.run()
    look(comfy)
    return seed


def open_workflow(comfy: ComfyPage, steps: int = 5) -> int:
    """A workflow that optimises, not run yet; the search's seed."""
    seed = next(seeds)
    comfy.build(
        {
            "model": demo_prompts.node("HSODemoModel"),
            "found": demo_prompts.optimize_schedule(steps, search_seed=seed),
            "show": demo_prompts.show_text("found", 1),
        }
    )
    return seed


def look(comfy: ComfyPage) -> None:
    comfy.look_at(NODE, scale=0.6, top=80)  # Nodes 2.0 of 1.32 folds no inputs away: the node is high


def labels(comfy: ComfyPage) -> list[str]:
    return [dot.get_attribute("aria-label") for dot in comfy.all_of(".hso-dot", "hso-plot")]


def expected_labels(steps: int, seed: int) -> list[str]:
    return [plain_decimal(s) for s in optimize_schedule(NETWORK, steps, Settings(seed=seed)).sigmas]


def sigmas_in(labels: list[str]) -> list[str]:
    return [label.split("  ")[1].removeprefix("σ ") for label in labels]


def test_it_shows_what_was_found_beside_the_usual_schedules(comfy: ComfyPage) -> None:
    seed = open_and_run(comfy)
    shown = labels(comfy)
    assert sigmas_in(shown) == expected_labels(5, seed)
    assert shown[0].startswith("step 0  σ 121.53") and "λ -4.8" in shown[0] and "t 9" in shown[0]
    assert shown[-1] == "step 5  σ 0  λ ∞  t 0"
    names = comfy.page.locator(".hso-name:visible").all_inner_texts()
    assert names == ["hso", "karras", "simple", "beta", "exponential"]
    assert comfy.part("hso-plot").locator(".hso-line").count() == 5
    facts = comfy.page.locator(".hso-facts:visible").inner_text()
    assert "121.5" in facts and "ms" in facts and "error J" in facts


def faint_point(comfy: ComfyPage, curve: int, step: int) -> tuple[float, float]:
    """Where a value of one of the other schedules is on the page."""
    line = comfy.part("hso-plot").locator(f"[data-curve='{curve}'] polyline")
    script = """(line, step) => { const point = line.points[step].matrixTransform(line.getScreenCTM());
        return [point.x, point.y] }"""
    return tuple(line.evaluate(script, step))


def test_axes_hover_and_keyboard(comfy: ComfyPage) -> None:
    open_and_run(comfy)
    plot = comfy.part("hso-plot")
    heights = {}
    for axis in ("lambda", "timestep", "sigma"):
        comfy.page.locator(f".hso-choice:visible button[value={axis}]").click()
        heights[axis] = [float(dot.get_attribute("cy")) for dot in comfy.all_of(".hso-dot", "hso-plot")]
        assert heights[axis] == sorted(heights[axis]), "noise falls from the top to the bottom on every axis"
    assert heights["sigma"] != heights["timestep"]
    tip = comfy.page.locator(".hso-tip:visible")
    plot.locator(".hso-dot").nth(2).hover(force=True)
    assert tip.inner_text() == labels(comfy)[2]
    plot.locator(".hso-dot").nth(3).focus()
    assert tip.inner_text() == labels(comfy)[3]
    x, y = faint_point(comfy, 2, step=4)
    comfy.page.mouse.move(x, y)
    assert tip.inner_text().startswith("simple  step 4  σ ")


def test_it_is_there_after_a_reload_and_a_cached_run(comfy: ComfyPage) -> None:
    open_and_run(comfy, steps=7)
    before = labels(comfy)
    assert "closer than" in comfy.page.locator(".hso-note:visible").inner_text()  # the paper's spacing, at 7 steps
    comfy.run()
    assert labels(comfy) == before
    saved = comfy.workflow()
    (node,) = [node for node in saved["nodes"] if node["type"] == NODE]
    assert len(node["widgets_values"]) == 21, "the plot must not be among the saved values"
    comfy.load()
    comfy.open_workflow(saved)
    look(comfy)
    assert labels(comfy) == before
    assert comfy.inputs(NODE)["steps"] == 7


def test_it_is_alive_after_an_undo(comfy: ComfyPage) -> None:
    seed = open_and_run(comfy)
    comfy.of_node(NODE, RENAME)
    comfy.undo()
    look(comfy)
    assert sigmas_in(labels(comfy)) == expected_labels(5, seed)
    comfy.page.locator(".hso-choice:visible button[value=lambda]").click()
    assert comfy.of_node(NODE, "node.properties.hso_axis") == "lambda"


def test_undo_to_before_the_run_keeps_the_plot(comfy: ComfyPage) -> None:
    seed = open_workflow(comfy)
    comfy.of_node(NODE, RENAME)
    comfy.run()
    comfy.undo()
    look(comfy)
    assert comfy.of_node(NODE, "node.title") != "renamed"
    assert sigmas_in(labels(comfy)) == expected_labels(5, seed)
    saved = """(({ properties, size }) => [properties, size])(app.extensionManager.workflow.activeWorkflow.changeTracker
        .activeState.nodes.find(other => other.id == node.id))"""
    now = "JSON.parse(JSON.stringify([node.properties, [...node.size]]))"
    assert comfy.of_node(NODE, saved) == comfy.of_node(NODE, now), "a change, after which there is nothing to redo"


def test_a_workflow_that_is_opened_again_shows_no_plot_but_its_own(comfy: ComfyPage) -> None:
    seed = open_workflow(comfy)
    without = comfy.workflow()
    comfy.run()
    with_plot = comfy.workflow()
    comfy.of_node(NODE, "node.widgets.find(widget => widget.name === 'steps').value = 9")
    comfy.run()
    look(comfy)
    assert len(labels(comfy)) == 10
    comfy.open_workflow(without)
    assert comfy.inputs(NODE)["steps"] == 5
    assert comfy.part("hso-plot").count() == 0
    comfy.open_workflow(with_plot)
    look(comfy)
    assert sigmas_in(labels(comfy)) == expected_labels(5, seed)


def test_a_run_is_no_change_that_undo_would_take_back(comfy: ComfyPage) -> None:
    open_and_run(comfy)
    comfy.page.mouse.click(1300, 900)  # the page looks for changes then
    comfy.settle()
    states = """(({ undoQueue, activeState }) => [undoQueue.at(-1) ?? activeState, activeState])
        (app.extensionManager.workflow.activeWorkflow.changeTracker)"""
    kept = ".map(state => state.nodes.find(other => other.id == node.id).properties.hso_plot?.schedules.length)"
    assert comfy.of_node(NODE, states + kept) == [5, 5]


DAMAGED = [
    {"version": 2, "schedules": [{"name": "x", "sigmas": [1, 0]}], "facts": [], "note": ""},
    {"version": 1, "schedules": [None], "facts": [], "note": ""},
    {"version": 1, "schedules": [{"name": "x", "sigmas": "10"}], "facts": [], "note": ""},
    {"version": 1, "schedules": [{"name": "x", "sigmas": [1, None]}], "facts": [], "note": ""},
    {"version": 1, "schedules": [{"name": "x", "sigmas": [1, 0], "lambdas": [1]}], "facts": [], "note": ""},
    {"version": 1, "schedules": [{"name": "x", "sigmas": [1, 0]}], "facts": [3], "note": ""},
    {"version": 1, "schedules": [{"name": "x", "sigmas": [1e300, 0]}], "facts": [], "note": ""},
    {"version": 1, "schedules": [{"name": "x", "sigmas": [1, 1e-300]}], "facts": [], "note": ""},
    {"version": 1, "schedules": [{"name": "x", "sigmas": [1, 0]}], "facts": [], "note": "", "sigma_min": 0},
    {"version": 1, "schedules": [{"name": "x", "sigmas": [1, 0]}], "facts": [], "note": "", "sigma_max": 1e39},
    {"version": 1, "schedules": [{"name": "x", "sigmas": [1, 0]}], "facts": [], "note": "", "sigma_max": "9"},
    {"version": 1, "schedules": [{"name": "x", "sigmas": [1, 0]}], "facts": [], "note": {}},
]


def test_a_damaged_plot_in_a_workflow_is_not_drawn(comfy: ComfyPage) -> None:
    """The page's errors are checked after every test."""
    open_and_run(comfy)
    saved = comfy.workflow()
    (node,) = [node for node in saved["nodes"] if node["type"] == NODE]
    for plot in DAMAGED:
        node["properties"]["hso_plot"] = plot
        comfy.open_workflow(saved)
        assert comfy.part("hso-plot").count() == 0, plot
        assert comfy.page.evaluate("() => app.graph.nodes.length") == 3


def test_many_long_schedules_are_drawn(comfy: ComfyPage) -> None:
    """More values than a JavaScript function takes arguments."""
    open_and_run(comfy)
    results = """(() => { const plot = JSON.parse(JSON.stringify(node.properties.hso_plot));
        const sigmas = Array.from({ length: 10001 }, (_, i) => 10000 - i);
        plot.schedules = Array.from({ length: 14 }, (_, i) => ({ name: `long ${i}`, sigmas }));
        app.nodeOutputs = { [String(node.id)]: { hso_plot: [plot] } } })()"""
    comfy.of_node(NODE, results)
    expect(comfy.part("hso-plot").locator(".hso-line")).to_have_count(14)
    assert "10000" in comfy.part("hso-plot").locator(".hso-step").all_text_contents()


def test_the_wheel_zooms_and_the_middle_button_pans(comfy: ComfyPage) -> None:
    open_and_run(comfy)
    box, mouse = comfy.part("hso-plot").bounding_box(), comfy.page.mouse
    view = "() => [app.canvas.ds.scale, ...app.canvas.ds.offset]"
    before = comfy.page.evaluate(view)
    mouse.move(box["x"] + 80, box["y"] + 60)
    mouse.down(button="middle")
    mouse.move(box["x"] + 110, box["y"] + 90, steps=4)
    mouse.up(button="middle")
    panned = comfy.page.evaluate(view)
    assert panned == pytest.approx([before[0], before[1] + 50, before[2] + 50], abs=1)  # 30 pixels at a scale of 0.6
    mouse.wheel(0, -200)
    comfy.page.wait_for_function("scale => app.canvas.ds.scale > scale", arg=before[0])


def test_results_that_come_back_without_a_run(comfy: ComfyPage) -> None:
    """The page hands old results to extensions, for example from the history."""
    open_and_run(comfy)
    restore = """(() => { const plot = JSON.parse(JSON.stringify(node.properties.hso_plot));
        app.nodeOutputs = { [String(node.id)]: { hso_plot: [{ ...plot, facts: [["from", "history"]] }] } } })()"""
    comfy.of_node(NODE, restore)
    comfy.settle()
    assert comfy.page.locator(".hso-facts:visible").inner_text().split() == ["from", "history"]


# The contrast of what is read or looked at with the ground, by the rule of WCAG 2.
CONTRAST = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const read = (colour, opacity = 1) => {
        canvas.globalAlpha = 1;
        canvas.fillStyle = ground;
        canvas.fillRect(0, 0, 1, 1);
        canvas.globalAlpha = opacity;
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [red, green, blue] = [...canvas.getImageData(0, 0, 1, 1).data].map(byte =>
            byte / 255 <= 0.03928 ? byte / 255 / 12.92 : ((byte / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
    };
    const root = document.querySelector(".hso-root:has(.hso-name)");
    const ground = getComputedStyle(root).backgroundColor;
    const contrast = (element, name, pseudo) => {
        let opacity = 1;
        for (let at = element; at !== root; at = at.parentElement) opacity *= getComputedStyle(at).opacity;
        const values = [read(getComputedStyle(element, pseudo)[name], opacity), read(ground)];
        return Math.max(...values) / Math.min(...values);
    };
    const all = (selector, ...more) => [...root.querySelectorAll(selector)].map(found => contrast(found, ...more));
    return {
        text: [...all(".hso-name, .hso-facts dt, .hso-facts dd, .hso-note, .hso-choice button", "color"),
            ...all(".hso-frame text", "fill")],
        lines: [...all(".hso-line", "stroke"), ...all(".hso-name", "borderTopColor", "::before"),
            ...all(".hso-dot", "fill")],
    };
}"""
GROUND = "() => getComputedStyle(document.querySelector('.hso-root')).backgroundColor"


@pytest.mark.parametrize(
    ("palette", "ground"), [("dark", (34, 34, 34)), ("light", (201, 201, 201)), ("solarized", (0, 43, 54))]
)
def test_it_can_be_read_in_every_theme(comfy: ComfyPage, palette: str, ground: tuple[int, int, int]) -> None:
    open_workflow(comfy)
    show_many(comfy)
    use = "async palette => { await app.extensionManager.setting.set('Comfy.ColorPalette', palette) }"
    comfy.page.evaluate(use, palette)
    try:
        comfy.page.wait_for_function(f"colour => ({GROUND})() === colour", arg=f"rgb{ground}")
        found = comfy.page.evaluate(CONTRAST)
    finally:
        comfy.page.evaluate(use, "dark")
    assert len(found["text"]) > 12 and min(found["text"]) >= 4.5
    assert len(found["lines"]) > 16 and min(found["lines"]) >= 3


def show_many(comfy: ComfyPage) -> None:
    """A result with as many schedules as there are colours, all with long names, and with a long note."""
    long = "a schedule that somebody has saved under a long name, with everything in it"
    schedules = [{"name": f"{i} {long}", "sigmas": [12 + i, 5, 2 + i / 10, 0]} for i in range(8)]
    ends = {"family": "vp", "sigma_min": 0.03, "sigma_max": 14.6}
    plot = {"version": 1, **ends, "schedules": schedules, "facts": [["steps", "3"]], "note": 6 * f"{long}. "}
    comfy.of_node(NODE, "(node.onExecuted({ hso_plot: [argument] }), null)", plot)
    look(comfy)
    expect(comfy.part("hso-plot").locator(".hso-line")).to_have_count(8)


def test_many_long_names_and_a_long_note_stay_on_the_node(comfy: ComfyPage) -> None:
    open_workflow(comfy)
    show_many(comfy)
    root = comfy.page.locator(".hso-root:visible")
    top, bottom = ((box := root.bounding_box())["y"], box["y"] + box["height"])
    for part in (".hso-names", ".hso-picture", ".hso-facts", ".hso-note"):
        box = root.locator(part).bounding_box()
        assert top <= box["y"] and box["y"] + box["height"] <= bottom, part
    assert comfy.part("hso-plot").bounding_box()["height"] > 50
    name = root.locator(".hso-name").nth(3)
    assert name.get_attribute("title") == name.inner_text()
    name.focus()  # out of sight until then
    box, names = name.bounding_box(), root.locator(".hso-names").bounding_box()
    assert names["y"] <= box["y"] < names["y"] + names["height"]


def test_folded_inputs_take_no_room(comfy: ComfyPage) -> None:
    """On the classic canvas; Nodes 2.0 measures the node itself."""
    open_and_run(comfy)
    if comfy.renderer == "classic":
        height = comfy.of_node(NODE, "node.size[1]")
        assert height < 450
        comfy.open_workflow(comfy.workflow())
        assert comfy.of_node(NODE, "node.size[1]") == height
        comfy.of_node(NODE, "node.toggleAdvanced()")
        comfy.settle()
        assert comfy.of_node(NODE, "node.size[1]") > height + 300
    plot = comfy.part("hso-plot").element_handle()
    comfy.page.wait_for_function("plot => plot.getBoundingClientRect().height > 60", arg=plot)
