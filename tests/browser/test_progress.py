"""The lines on the nodes that take minutes: with the time that is left, and of what a cancelled search has kept."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import expect

import demo_prompts
from comfy_page import ComfyPage
from comfy_server import PromptInterrupted

CALIBRATE, COMPARE, SAMPLER = "HSOCalibrateSchedule", "HSOCompareSchedules", "HSOKSampler"
TIME = r"about \d+ (?:s|min) left"  # a machine may be busy
seeds = itertools.count(5000)  # so that no result comes from the server's cache


def prompt_of(class_type: str, **values: Any) -> dict[str, Any]:
    """A prompt with this node."""
    return {
        **demo_prompts.galaxy_nodes(1),
        "slow": demo_prompts.node(class_type, **demo_prompts.MEASURED, steps=5, seed=next(seeds), **values),
        "show": demo_prompts.show_text("slow", 1 if class_type == CALIBRATE else 0),
    }


def open_node(comfy: ComfyPage, class_type: str, **values: Any) -> dict[str, Any]:
    """A workflow with this node; as it is saved."""
    comfy.build(prompt_of(class_type, **values))
    comfy.look_at(class_type, scale=0.8, top=80)
    return saved(comfy)


def saved(comfy: ComfyPage) -> dict[str, Any]:
    """The present workflow, but for where the nodes are to the last digit: Nodes 2.0 of 1.32 measures that again
    whenever a node's height changes."""
    workflow = comfy.workflow()
    for node in workflow["nodes"]:
        node["pos"] = [round(x, 1) for x in node["pos"]]
    return workflow


def nodes_of(workflow: dict[str, Any], comfy: ComfyPage) -> list[dict[str, Any]]:
    """Its nodes; for Nodes 2.0 of 1.32, which sets sizes as it draws, without them."""
    measures = comfy.renderer == "nodes2" and comfy.page.evaluate("() => __COMFYUI_FRONTEND_VERSION__") == "1.32.9"
    return [{**node, "size": None} if measures else node for node in workflow["nodes"]]


def wait_for_line(comfy: ComfyPage, pattern: str) -> str:
    """What the line on the page says as soon as it matches."""
    seen = comfy.part("hso-progress").locator("[aria-hidden]")
    seen.filter(has_text=re.compile(pattern)).wait_for()
    return seen.inner_text()


def tell(comfy: ComfyPage, node: str, value: int, most: int = 2000, prompt: str = "told") -> None:
    """What the server sends of a node's progress."""
    detail = {"node": node, "value": value, "max": most, "prompt_id": prompt}
    comfy.page.evaluate("detail => app.api.dispatchEvent(new CustomEvent('progress', { detail }))", detail)


def tell_the_end(comfy: ComfyPage) -> None:
    comfy.page.evaluate("() => app.api.dispatchEvent(new CustomEvent('executing', { detail: null }))")
    comfy.settle()


@contextmanager
def clock_at(comfy: ComfyPage, seconds: float) -> Iterator[None]:
    """With the page's clock standing still there."""
    comfy.page.evaluate("seconds => { performance.now = () => 1000 * seconds }", seconds)
    try:
        yield
    finally:
        comfy.page.evaluate("() => { delete performance.now }")


def cancel(comfy: ComfyPage, prompt_id: str) -> None:
    comfy.server.interrupt()
    with pytest.raises(PromptInterrupted):
        comfy.wait(prompt_id)


def test_a_calibration_says_how_far_it_is(comfy: ComfyPage) -> None:
    before = open_node(comfy, CALIBRATE, budget="quick", remembered="reuse")
    prompt_id = comfy.start()
    assert re.fullmatch(rf"\d+ of 300 evaluations(, {TIME})?", wait_for_line(comfy, "evaluations"))
    assert comfy.part("hso-progress").get_by_role("status").inner_text() == "0 of 300 evaluations"
    comfy.wait(prompt_id)
    assert comfy.part("hso-progress").count() == 0
    expect(comfy.part("hso-plot")).to_have_count(1)
    after = nodes_of(saved(comfy), comfy)

    comfy.open_workflow(before)
    comfy.look_at(CALIBRATE, scale=0.8, top=80)
    forget = {"text": demo_prompts.custom_sigmas("2, 1, 0"), "show": demo_prompts.show_text("text", 1)}
    comfy.server.run(forget)  # ComfyUI keeps the results of its last run only, the node its own
    comfy.run()  # without the line: there is no progress
    expect(comfy.part("hso-plot")).to_have_count(1)
    assert nodes_of(saved(comfy), comfy) == after


@pytest.mark.parametrize(
    ("class_type", "values"),
    [(CALIBRATE, {"budget": "quick", "remembered": "reuse"}), (COMPARE, {"pictures": 1, "schedulers": "karras"})],
)
def test_a_second_run_measures_nothing(comfy: ComfyPage, class_type: str, values: dict[str, Any]) -> None:
    """The page draws a new number after a run for what is called seed, unless the node says no."""
    open_node(comfy, class_type, **values)
    before = comfy.inputs(class_type)
    comfy.run()
    assert comfy.inputs(class_type) == before


def test_the_plot_makes_room_for_it(comfy: ComfyPage) -> None:
    open_node(comfy, CALIBRATE, budget="quick", remembered="reuse")
    comfy.run()
    seed = next(seeds)
    change = "node.widgets.forEach(widget => { if (widget.name in argument) widget.value = argument[widget.name] })"
    comfy.of_node(CALIBRATE, change, {"seed": seed, "budget": "thorough"})
    before = saved(comfy)
    prompt_id = comfy.start()
    wait_for_line(comfy, TIME)
    plot, line = comfy.part("hso-plot").bounding_box(), comfy.part("hso-progress").bounding_box()
    assert line["y"] > plot["y"] + plot["height"] > plot["y"] + 60
    assert saved(comfy) == before
    comfy.undo()  # makes new nodes
    wait_for_line(comfy, TIME)
    expect(comfy.part("hso-progress")).to_have_count(1)
    cancel(comfy, prompt_id)
    assert comfy.part("hso-progress").count() == 0
    expect(comfy.part("hso-plot")).to_have_count(1)


def test_it_goes_when_the_run_is_cancelled(comfy: ComfyPage) -> None:
    before = open_node(comfy, CALIBRATE, budget="thorough", remembered="reuse")
    size = comfy.of_node(CALIBRATE, "[...node.size]")
    prompt_id = comfy.start()
    assert re.fullmatch(rf"\d+ of 10000 evaluations, {TIME}", wait_for_line(comfy, TIME))
    assert saved(comfy) == before, "the line is no change of the workflow"
    cancel(comfy, prompt_id)
    assert comfy.part("hso-progress").count() == 0
    assert comfy.of_node(CALIBRATE, "[...node.size]") == pytest.approx(size, abs=0.1)
    assert comfy.of_node(CALIBRATE, "node.widgets.filter(widget => widget.name === 'hso_progress').length") == 0
    assert saved(comfy) == before


def test_a_cancelled_search_says_what_it_has_kept_until_the_next_run(comfy: ComfyPage) -> None:
    open_node(comfy, CALIBRATE, budget="thorough", remembered="reuse")
    prompt_id = comfy.start()
    wait_for_line(comfy, r"[1-9]\d* of 10000")
    cancel(comfy, prompt_id)
    line = comfy.part("hso-cancelled")
    expect(line).to_have_text(re.compile(r"Cancelled at \d+ of 10000 evaluations\. "))
    kept = line.inner_text()
    plot, panel = line.bounding_box(), comfy.page.locator(".hso-root:visible").last.bounding_box()
    assert panel["y"] < plot["y"] and plot["y"] + plot["height"] <= panel["y"] + panel["height"] + 1
    comfy.of_node(CALIBRATE, "node.widgets.find(widget => widget.name === 'budget').value = 'quick'")
    comfy.run()
    expect(line).to_have_count(0)
    assert any(kept.endswith(end) for end in ("is shorter.", "nothing is kept.", "gives it at once."))


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ("schedule", "The best so far is kept: with reuse, Run gives it at once."),
        ("earlier", "The earlier result is kept: with reuse, Run gives it at once."),
        ("references", "The finished runs with many steps are kept, so the next search is shorter."),
        ("nothing", "Nothing was finished yet, so nothing is kept."),
    ],
)
def test_each_thing_that_may_be_kept_is_said(comfy: ComfyPage, kept: str, says: str) -> None:
    open_node(comfy, CALIBRATE, budget="quick")
    detail = {"evaluations": 15, "budget": 300, "kept": kept, "prompt_id": "told"}
    detail["node"] = str(comfy.of_node(CALIBRATE, "node.id"))
    send = "([kind, detail]) => app.api.dispatchEvent(new CustomEvent(kind, { detail }))"
    comfy.evaluate(send, ["hso_cancelled", detail])
    line = comfy.part("hso-cancelled")
    expect(line).to_have_text(re.compile("^Cancelled at 15 of 300 evaluations. .*" + re.escape(says)))
    comfy.evaluate(send, ["execution_start", {"prompt_id": "another"}])
    expect(line).to_have_count(0)


def test_a_comparison_shows_its_share(comfy: ComfyPage) -> None:
    open_node(comfy, COMPARE, pictures=128, schedulers="karras, simple")
    prompt_id = comfy.start()
    assert re.fullmatch(rf"\d+ %, {TIME}", wait_for_line(comfy, TIME))
    cancel(comfy, prompt_id)
    assert comfy.part("hso-progress").count() == 0


def open_tab(comfy: ComfyPage, name: str) -> None:
    """Go to another workflow that is open."""
    comfy.page.get_by_text(name, exact=True).first.click()
    script = "name => app.extensionManager.workflow.activeWorkflow.filename === name"
    comfy.page.wait_for_function(script, arg=name)
    comfy.settle()
    comfy.look_at(CALIBRATE, scale=0.8, top=80)


def test_a_run_shows_itself_in_its_own_workflow(comfy: ComfyPage) -> None:
    """ComfyUI gives results to the nodes with the same ids in the workflow that is open by then."""
    comfy.load()  # without what other tests have opened
    name = "() => app.extensionManager.workflow.activeWorkflow.filename"
    names = []
    for count in (5, 9):
        open_node(comfy, CALIBRATE, budget="quick", remembered="reuse")
        comfy.of_node(CALIBRATE, "node.widgets.find(widget => widget.name === 'steps').value = argument", count)
        names.append(comfy.page.evaluate(name))
    first, second = names
    open_tab(comfy, first)
    node = str(comfy.of_node(CALIBRATE, "node.id"))
    before_it = comfy.server.queue(prompt_of(CALIBRATE, budget="thorough", remembered="reuse"))
    comfy.server.wait_until_running()
    prompt_id = comfy.start()
    tell(comfy, node, 6, prompt=prompt_id)
    wait_for_line(comfy, "6 of 2000 evaluations")
    open_tab(comfy, second)
    assert str(comfy.of_node(CALIBRATE, "node.id")) == node
    comfy.server.interrupt()
    with pytest.raises(PromptInterrupted):
        comfy.server.wait(before_it)
    tell(comfy, node, 7, prompt=prompt_id)
    tell(comfy, node, 8, prompt=prompt_id)
    comfy.settle()
    assert comfy.part("hso-progress").count() == 0
    comfy.wait(prompt_id)
    assert comfy.inputs(CALIBRATE)["steps"] == 9
    assert comfy.part("hso-plot").count() == 0
    assert comfy.of_node(CALIBRATE, "node.properties.hso_plot ?? null") is None
    open_tab(comfy, first)
    assert comfy.inputs(CALIBRATE)["steps"] == 5
    expect(comfy.part("hso-plot").locator(".hso-dot")).to_have_count(6)
    open_tab(comfy, second)
    assert comfy.part("hso-plot").count() == 0
    open_tab(comfy, first)
    expect(comfy.part("hso-plot").locator(".hso-dot")).to_have_count(6)


@pytest.mark.parametrize(("seconds", "left"), [(1, None), (20, "45 s"), (80, "3 min"), (4000, "2.5 h")])
def test_times_are_said_as_in_the_log(comfy: ComfyPage, seconds: int, left: str | None) -> None:
    open_node(comfy, CALIBRATE, budget="normal")
    node = str(comfy.of_node(CALIBRATE, "node.id"))
    tell(comfy, node, 0)
    assert wait_for_line(comfy, "evaluations") == "0 of 2000 evaluations"
    with clock_at(comfy, 100):
        tell(comfy, node, 5)  # the first ones, or all that are remembered
    with clock_at(comfy, 100 + seconds):
        tell(comfy, node, 615)
        tell(comfy, node, 3, most=9)  # the bar of something within the node
    shown = "615 of 2000 evaluations" + (f", about {left} left" if left else "")
    assert wait_for_line(comfy, "615") == shown
    tell_the_end(comfy)
    assert comfy.part("hso-progress").count() == 0


def test_no_other_node_has_it(comfy: ComfyPage) -> None:
    comfy.build(demo_prompts.hso_ksampler_prompt(demo_prompts.optimize_schedule(5)))
    for class_type in (SAMPLER, "HSOOptimizeSchedule"):
        tell(comfy, str(comfy.of_node(class_type, "node.id")), 3)
    tell(comfy, "no node", 3)
    comfy.settle()
    assert comfy.page.locator(".hso-progress").count() == 0


def test_a_node_in_a_subgraph(comfy: ComfyPage) -> None:
    """The server names it with the node that it is in."""
    open_node(comfy, CALIBRATE, budget="normal")
    outer = comfy.of_node(CALIBRATE, "app.graph.convertToSubgraph(new Set([node])).node.id")
    inner = comfy.of_node(CALIBRATE, "node.id")
    comfy.settle()
    tell(comfy, f"{outer}:{inner}", 0)
    comfy.page.evaluate("id => { app.canvas.setGraph(app.graph.getNodeById(id).subgraph) }", outer)
    comfy.settle()
    comfy.look_at(CALIBRATE, scale=0.8, top=80)
    assert wait_for_line(comfy, "evaluations") == "0 of 2000 evaluations"
    tell_the_end(comfy)
    assert comfy.part("hso-progress").count() == 0
    comfy.page.evaluate("() => { app.canvas.setGraph(app.graph.rootGraph ?? app.graph) }")
