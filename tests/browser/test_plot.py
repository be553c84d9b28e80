"""The plot on the nodes that give a schedule, most of it on Scheduler (HSO)."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import pytest
import torch
from playwright.sync_api import expect

import colour_vision
import demo_prompts
from comfy_page import FIND, ComfyPage
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


def look_at_panel(comfy: ComfyPage) -> None:
    """The lower part of the node, at its own size."""
    comfy.look_at(NODE, left=100, top=80)
    comfy.look_at(NODE, left=100, top=240 - comfy.page.locator(".hso-root:visible").bounding_box()["y"])


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
    last = float(sigmas_in(shown)[4])
    assert comfy.part("hso-summary").inner_text() == f"5 steps, 121.5 → {last:.3g} → 0"
    assert not comfy.page.locator(".hso-facts:visible").count(), "how it was found is in the report"


# Where the values of all schedules are on the page: by curve.
POINTS = """() => {
    const curves = [...document.querySelectorAll(".hso-curve")].filter(curve => curve.checkVisibility());
    return Object.fromEntries(curves.map(curve => {
        const line = curve.querySelector("polyline"), matrix = line.getScreenCTM();
        return [curve.dataset.curve, [...line.points].map(point => {
            const { x, y } = point.matrixTransform(matrix);
            return [x, y];
        })];
    }));
}"""


def faint_point(comfy: ComfyPage, curve: int, step: int) -> list[float]:
    """Where a value of one of the other schedules is on the page."""
    return comfy.evaluate(POINTS)[str(curve)][step]


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


# What is marked: the curves and names, the label's box, whether that touches the marked line or is within 3 pixels of
# it, and the ring's centre.
MARKED = """() => {
    const shown = selector => [...document.querySelectorAll(selector)].filter(element => element.checkVisibility());
    const curves = shown(".hso-curve.hso-strong");
    const line = curves[0].querySelector("polyline"), matrix = line.getScreenCTM();
    const points = [...line.points].map(point => point.matrixTransform(matrix));
    const box = shown(".hso-tip")[0].getBoundingClientRect(), margin = 3;
    const touches = points.some((point, i) => {
        const before = points[Math.max(i - 1, 0)];
        return Array.from({ length: 51 }, (_, part) => part / 50).some(part => {
            const [x, y] = [before.x + part * (point.x - before.x), before.y + part * (point.y - before.y)];
            return x > box.x - margin && x < box.right + margin && y > box.y - margin && y < box.bottom + margin;
        });
    });
    const ring = shown(".hso-here")[0].getBoundingClientRect();
    return {
        curves: curves.map(curve => curve.dataset.curve), names: shown(".hso-name.hso-strong").map(n => n.dataset.name),
        box: [box.x, box.y, box.right, box.bottom], touches, ring: ring.x + ring.width / 2,
    };
}"""


@pytest.mark.parametrize("width", [210, 400, 800])
def test_the_label_covers_nothing_of_the_curve_that_is_marked(comfy: ComfyPage, width: int) -> None:
    open_and_run(comfy)
    comfy.of_node(NODE, "(node.setSize([argument, node.size[1]]), null)", width)
    look_at_panel(comfy)
    plot, tip = comfy.part("hso-plot"), comfy.page.locator(".hso-tip:visible")
    seen, panel = set(), comfy.page.locator(".hso-root:visible").bounding_box()
    for axis in ("sigma", "lambda"):
        comfy.page.locator(f".hso-choice:visible button[value={axis}]").click()
        comfy.settle()
        places = comfy.evaluate(POINTS)
        assert [len(places[str(curve)]) for curve in range(5)] == [6] * 5
        for curve, step in itertools.product(range(5), range(6)):
            x, y = places[str(curve)][step]
            comfy.page.mouse.move(x, y)
            marked = comfy.evaluate(MARKED)
            (meant,) = marked["curves"]
            seen.add(int(meant))
            assert not marked["touches"], (axis, curve, step)
            left, top, right, bottom = marked["box"]
            assert panel["x"] - 1 <= left and right <= panel["x"] + panel["width"] + 1
            assert panel["y"] - 1 <= top and bottom <= panel["y"] + panel["height"] + 1
            assert marked["names"] == [meant]
            assert abs(marked["ring"] - x) < 2
    assert seen == set(range(5))
    comfy.page.mouse.move(700, 850)  # on the empty canvas
    assert not tip.count() and not plot.locator(".hso-strong, .hso-here").count()


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


EVERY_NODE = {
    "model": demo_prompts.node("HSODemoModel"),
    "preset": demo_prompts.node("HSOPresetSchedule"),
    "blend": demo_prompts.node("HSOBlendSchedules", first=["preset", 0], second=["preset", 0]),
    "pin": demo_prompts.node("HSOPinSigma", sigmas=["blend", 0], sigma=0.9),
    "start": demo_prompts.node("HSOStartAtDenoise", sigmas=["pin", 0], model=["model", 0], denoise=0.9),
    "resample": demo_prompts.node("HSOResampleSchedule", sigmas=["start", 0], steps=7),
    "custom": demo_prompts.custom_sigmas(sigmas=["resample", 0]),
    "split": demo_prompts.node("HSOSplitSchedule", sigmas=["custom", 0]),
    "plot": demo_prompts.node("HSOPlotSchedules", schedule_1=["split", 0]),
}


def build_everything(comfy: ComfyPage, seed: int, first: str) -> None:
    """All nodes that take no minutes, with `first` added before the others, so that they have other ids."""
    nodes = {first: demo_prompts.custom_sigmas("3, 2, 0"), f"show {first}": demo_prompts.show_text(first, 1)}
    nodes |= {**EVERY_NODE, "found": demo_prompts.optimize_schedule(5, search_seed=seed)}
    outputs = {name: 1 for name in nodes if name not in (first, "model", "plot", f"show {first}")}
    nodes |= {f"show {name}": demo_prompts.show_text(name, slot) for name, slot in outputs.items()}
    comfy.build(nodes, {name: (450 * (i % 6), 700 * (i // 6)) for i, name in enumerate(nodes)})


def what_is_shown(comfy: ComfyPage) -> dict[str, str]:
    """The summary, or the banner of the editor, of every node that shows a schedule, by its type."""
    script = """() => Object.fromEntries(app.graph.nodes.flatMap(node => {
        const root = node.widgets?.find(widget => widget.element?.classList.contains("hso-root"))?.element;
        const said = root?.querySelector(".hso-content:not([hidden]) .hso-summary, .hso-banner:not([hidden]) p");
        return said ? [[node.type, said.textContent]] : [];
    }))"""
    return {kind: said for kind, said in comfy.page.evaluate(script).items() if "Run the workflow" not in said}


def test_every_node_has_its_plot_after_a_run_from_the_cache_in_a_new_page(comfy: ComfyPage) -> None:
    """A host of this age says nothing of a node that it has in its cache."""
    seed = next(seeds)
    build_everything(comfy, seed, "one")
    assert what_is_shown(comfy) == {}
    comfy.run()
    expected = what_is_shown(comfy)
    assert expected.keys() >= {node["class_type"] for node in EVERY_NODE.values()} - {"HSODemoModel"} | {NODE}
    assert not [said for said in expected.values() if "last run" in said]
    comfy.load()
    build_everything(comfy, seed, "another")
    assert what_is_shown(comfy) == {}
    history = comfy.run()
    shown = [output for output in history["outputs"].values() if "hso_plot" in output]
    assert len(shown) < len(expected), "nothing was cached"
    comfy.page.wait_for_function(
        """count => app.graph.nodes.filter(node => node.widgets?.some(widget =>
            widget.element?.querySelector(".hso-content:not([hidden])"))).length >= count""",
        arg=len(expected) - 1,  # all but the editor
    )
    comfy.settle()
    assert what_is_shown(comfy) == expected


def test_a_cached_node_in_a_subgraph_has_its_plot(comfy: ComfyPage) -> None:
    seed = open_workflow(comfy)
    comfy.run()
    comfy.load()
    found = demo_prompts.optimize_schedule(5, search_seed=seed)
    found["inputs"]["model"] = ["network", 0]
    comfy.build(
        {
            "network": demo_prompts.node("HSODemoModel"),
            "found": found,
            "show": demo_prompts.show_text("found", 1),
        }
    )
    comfy.of_node(NODE, "(node.graph.convertToSubgraph(new Set([node])), null)")
    comfy.settle()
    comfy.run()
    comfy.page.wait_for_function(f"() => ({FIND})('{NODE}').properties.hso_plot")
    kept = comfy.of_node(NODE, "node.properties.hso_plot.schedules[0].sigmas")
    assert [plain_decimal(sigma) for sigma in kept] == expected_labels(5, seed)


CHANGE = """(app.canvas.emitBeforeChange(),
    node.widgets.find(widget => widget.name === argument[0]).value = argument[1], app.canvas.emitAfterChange(), null)"""


def test_an_old_plot_says_so_until_it_is_current_again(comfy: ComfyPage) -> None:
    open_and_run(comfy)
    summary = comfy.part("hso-summary").inner_text()
    picture = comfy.part("hso-plot")
    opacity = "picture => Number(getComputedStyle(picture).opacity)"
    assert summary.startswith("5 steps, ") and picture.evaluate(opacity) == 1
    comfy.of_node(NODE, RENAME)
    comfy.settle()
    assert comfy.part("hso-summary").inner_text() == summary, "a title changes no result"
    comfy.of_node(NODE, CHANGE, ["steps", 9])
    expect(comfy.part("hso-summary")).to_have_text(f"from the last run: {summary}")
    assert picture.evaluate(opacity) < 0.6
    saved = comfy.workflow()
    comfy.undo()
    look(comfy)
    expect(comfy.part("hso-summary")).to_have_text(summary)
    comfy.open_workflow(saved)
    look(comfy)
    expect(comfy.part("hso-summary")).to_have_text(f"from the last run: {summary}")
    comfy.run()
    assert comfy.part("hso-summary").inner_text().startswith("9 steps, ")


def test_a_plot_is_old_when_something_before_its_node_has_changed(comfy: ComfyPage) -> None:
    comfy.build(
        {
            "preset": demo_prompts.node("HSOPresetSchedule"),
            "result": demo_prompts.node("HSOResampleSchedule", sigmas=["preset", 0], steps=next(seeds) % 90 + 2),
            "show": demo_prompts.show_text("result", 1),
        }
    )
    comfy.run()
    comfy.look_at("HSOResampleSchedule", scale=0.6, top=80)
    said = comfy.part("hso-summary").last
    summary = said.inner_text()
    comfy.of_node("HSOPresetSchedule", CHANGE, ["denoise", 0.5])
    expect(said).to_have_text(f"from the last run: {summary}")
    change = "(app.canvas.emitBeforeChange(), node.mode = argument, app.canvas.emitAfterChange(), null)"
    comfy.undo()
    expect(comfy.part("hso-summary").last).to_have_text(summary)
    comfy.of_node("HSOPresetSchedule", change, 4)
    expect(comfy.part("hso-summary").last).to_have_text(f"from the last run: {summary}")


def test_the_first_run_makes_no_node_grow(comfy: ComfyPage) -> None:
    open_workflow(comfy)
    look(comfy)
    assert comfy.part("hso-empty").inner_text() == "Run to see the schedule"
    assert comfy.page.locator(".hso-root:visible").bounding_box()["height"] > 100
    size = comfy.of_node(NODE, "[...node.size]")
    comfy.run()
    look(comfy)
    assert comfy.part("hso-empty").count() == 0 and len(labels(comfy)) == 6
    assert comfy.of_node(NODE, "[...node.size]") == pytest.approx(size, abs=1)


def test_it_is_alive_after_an_undo(comfy: ComfyPage) -> None:
    seed = open_and_run(comfy)
    comfy.of_node(NODE, RENAME)
    comfy.undo()
    look(comfy)
    assert sigmas_in(labels(comfy)) == expected_labels(5, seed)
    comfy.page.locator(".hso-choice:visible button[value=lambda]").click()
    assert comfy.of_node(NODE, "node.properties.hso_axis") == "lambda"


SLOW_ANSWERS = """slow => {
    app.api.usualFetch ??= app.api.fetchApi;
    app.api.fetchApi = async function (path, ...rest) {
        const answer = await app.api.usualFetch.call(this, path, ...rest);
        if (slow && path === "/prompt" && rest[0]?.method === "POST") await new Promise(then => setTimeout(then, 3000));
        return answer;
    };
}"""


@pytest.mark.parametrize("slow", [False, True], ids=["", "the run is over before the page knows its id"])
def test_undo_to_before_the_run_keeps_the_plot(comfy: ComfyPage, slow: bool) -> None:
    seed = open_workflow(comfy)
    comfy.of_node(NODE, RENAME)
    comfy.evaluate(SLOW_ANSWERS, slow)
    comfy.run()
    if slow:
        comfy.page.wait_for_timeout(3500)
        comfy.evaluate(SLOW_ANSWERS, False)
    comfy.undo()
    if comfy.of_node(NODE, "node.title") == "renamed":  # Nodes 2.0 of 1.32 had a change of size to undo
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
        text: [...all(".hso-name, .hso-summary, .hso-facts dt, .hso-facts dd, .hso-note, .hso-choice button", "color"),
            ...all(".hso-frame text", "fill")],
        lines: [...all(".hso-line", "stroke"), ...all(".hso-name", "borderTopColor", "::before"),
            ...all(".hso-dot", "fill")],
    };
}"""
GROUND = "() => getComputedStyle(document.querySelector('.hso-root')).backgroundColor"


THEMES = [("dark", (34, 34, 34)), ("light", (201, 201, 201)), ("solarized", (0, 43, 54))]


@contextlib.contextmanager
def theme(comfy: ComfyPage, palette: str, ground: tuple[int, int, int]) -> Iterator[None]:
    use = "async palette => { await app.extensionManager.setting.set('Comfy.ColorPalette', palette) }"
    comfy.page.evaluate(use, palette)
    try:
        comfy.page.wait_for_function(f"colour => ({GROUND})() === colour", arg=f"rgb{ground}")
        yield
    finally:
        comfy.page.evaluate(use, "dark")


@pytest.mark.parametrize(("palette", "ground"), THEMES)
def test_it_can_be_read_in_every_theme(comfy: ComfyPage, palette: str, ground: tuple[int, int, int]) -> None:
    open_workflow(comfy)
    show_many(comfy)
    with theme(comfy, palette, ground):
        found = comfy.page.evaluate(CONTRAST)
    assert len(found["text"]) > 12 and min(found["text"]) >= 4.5
    assert len(found["lines"]) > 16 and min(found["lines"]) >= 3


LINE_COLOURS = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const lines = [...document.querySelectorAll(".hso-root [data-curve] .hso-line")];
    return Object.fromEntries(lines.map(line => {
        canvas.fillStyle = getComputedStyle(line).stroke;
        canvas.fillRect(0, 0, 1, 1);
        return [line.parentNode.dataset.curve, [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)];
    }));
}"""


@pytest.mark.parametrize("vision", colour_vision.VISIONS)
def test_curves_differ_in_colour_for_everybody_in_every_theme(comfy: ComfyPage, vision: str) -> None:
    open_workflow(comfy)
    show_many(comfy)
    for palette, ground in THEMES:
        with theme(comfy, palette, ground):
            colours = comfy.page.evaluate(LINE_COLOURS)
        pairs = itertools.combinations([colours[str(curve)] for curve in range(8)], 2)
        found = [colour_vision.difference(*pair, vision) for pair in pairs]
        usual = itertools.combinations([colours[str(curve)] for curve in range(5)], 2)
        assert min(found) >= 12.5, palette
        assert min(colour_vision.difference(*pair, vision) for pair in usual) >= 17.5, palette


@pytest.mark.parametrize("width", [120, 210])
def test_nothing_is_cut_off_on_a_narrow_node(comfy: ComfyPage, width: int) -> None:
    open_workflow(comfy)
    show_many(comfy)
    comfy.of_node(NODE, "(node.setSize([argument, node.size[1]]), null)", width)
    look_at_panel(comfy)
    root = comfy.page.locator(".hso-root:visible")
    assert root.evaluate("root => root.scrollWidth <= root.clientWidth")
    for part in (".hso-names", ".hso-summary", ".hso-facts", ".hso-note"):
        element = root.locator(part)
        element.scroll_into_view_if_needed()
        box, outer = element.bounding_box(), root.bounding_box()
        assert outer["y"] <= box["y"] + 1 and box["y"] + box["height"] <= outer["y"] + outer["height"] + 1, part
        assert outer["x"] <= box["x"] and box["x"] + box["width"] <= outer["x"] + outer["width"] + 1, part
    assert comfy.part("hso-plot").bounding_box()["height"] >= 59


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
    for part in (".hso-names", ".hso-picture", ".hso-summary", ".hso-facts", ".hso-note"):
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
