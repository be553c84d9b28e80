"""The editor on Custom Sigmas, by mouse, touch, keyboard and buttons. The text is the one place of the value."""

from __future__ import annotations

import itertools
import json

import pytest
import safetensors.torch
import torch
from playwright.sync_api import Locator, expect

import demo_prompts
import sigma_texts
import workbench
from comfy_page import FIND, ComfyPage
from hso_core.schedule.sigmas import RESAMPLINGS, SigmasError, parse_sigmas, print_sigmas, resample_sigmas

steps = itertools.count(7)  # of the connected schedule, so that it does not come from the server's cache
NODE = "HSOCustomSigmas"
START = "12, 5, 2, 1, 0.3, 0"


def open_editor(comfy: ComfyPage, text: str = START, **more: object) -> None:
    """A workflow that holds `text` and shows what comes out."""
    nodes = {"model": demo_prompts.node("HSODemoModel")} if "model" in more else {}
    nodes["sigmas"] = demo_prompts.custom_sigmas(text, **more)
    comfy.build({**nodes, "show": demo_prompts.show_text("sigmas", 1)})
    comfy.look_at(NODE)
    expect(comfy.part("hso-editor")).to_have_count(1)
    comfy.settle()


def text(comfy: ComfyPage) -> str:
    """The text that would be sent to the server; it is the one that the node shows."""
    sent = comfy.inputs(NODE)["text"]
    assert sent == comfy.of_node(NODE, "node.widgets.find(widget => widget.name === 'text').value")
    return sent


def values(comfy: ComfyPage) -> list[float]:
    return parse_sigmas(text(comfy)).tolist()


def handle(comfy: ComfyPage, step: int) -> Locator:
    return comfy.part("hso-editor").locator(f"[data-step='{step}']")


def shown(comfy: ComfyPage) -> list[str]:
    """The values of the picture's points."""
    handles = comfy.part("hso-editor").locator(".hso-handle").all()
    return [handle.get_attribute("aria-valuenow") for handle in handles]


def agree(comfy: ComfyPage) -> None:
    """Text and picture say the same, and it is a schedule in exact plain decimals."""
    assert ", ".join(shown(comfy)) == text(comfy) == print_sigmas(parse_sigmas(text(comfy)))
    heights = [handle.bounding_box()["y"] for handle in comfy.all_of(".hso-knob", "hso-editor")]
    assert heights == sorted(heights)


def centre(locator: Locator) -> tuple[float, float]:
    box = locator.locator(".hso-knob").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(comfy: ComfyPage, step: int, down: float) -> None:
    """Drag a point by so many pixels, with the mouse."""
    x, y = centre(handle(comfy, step))
    comfy.page.mouse.move(x, y)
    comfy.page.mouse.down()
    comfy.page.mouse.move(x, y + down, steps=8)
    comfy.page.mouse.up()
    comfy.settle()


def place_of_node(comfy: ComfyPage) -> list[float]:
    return comfy.of_node(NODE, "[...node.pos]")


def test_a_dragged_point_is_in_the_text_the_prompt_and_the_run(comfy: ComfyPage) -> None:
    open_editor(comfy)
    place = place_of_node(comfy)
    drag(comfy, 2, 12)
    moved = values(comfy)
    assert 1 < moved[2] < 2 and [*moved[:2], *moved[3:]] == pytest.approx([12, 5, 1, 0.3, 0])
    agree(comfy)
    assert comfy.server.texts(comfy.run()) == [text(comfy)]
    assert place_of_node(comfy) == place


def test_the_order_is_kept_and_a_last_zero_stays(comfy: ComfyPage) -> None:
    open_editor(comfy)
    drag(comfy, 2, 300)
    assert values(comfy)[2] == pytest.approx(1.01)
    drag(comfy, 3, -300)
    assert values(comfy)[3] == pytest.approx(1)
    drag(comfy, 5, -100)
    agree(comfy)
    assert len(values(comfy)) == 6 and values(comfy)[5] == 0
    assert comfy.server.texts(comfy.run()) == [text(comfy)]


def double_click(comfy: ComfyPage, x: float, y: float) -> list[float]:
    """What becomes of START."""
    open_editor(comfy)
    comfy.page.mouse.dblclick(x, y)
    agree(comfy)
    return values(comfy)


def test_no_gesture_makes_two_sigmas_that_are_nearly_equal(comfy: ComfyPage) -> None:
    """Solvers divide by the logarithm of their ratio, and the picture is lost. What is typed stays as it is."""
    open_editor(comfy)
    points = [centre(handle(comfy, step)) for step in range(6)]
    (x, y), (next_x, next_y) = points[1:3]
    middle = (x + next_x) / 2
    assert double_click(comfy, *points[0])[:3] == pytest.approx([12, 7.746, 5]), "on a point"
    assert double_click(comfy, *points[1])[:4] == pytest.approx([12, 5, 3.162, 2])
    for wanted in (y - 20, next_y + 40):
        assert double_click(comfy, middle, wanted)[1:4] == pytest.approx([5, 3.162, 2]), "beside the two points"
    assert 2.5 < double_click(comfy, middle, next_y - 10)[2] < 3
    open_editor(comfy)
    for _ in range(30):
        drag(comfy, 2, 8)
    assert values(comfy)[2] == pytest.approx(1.01)
    handle(comfy, 2).focus()
    comfy.page.keyboard.press("End")
    assert values(comfy)[2] == pytest.approx(1.01)
    open_editor(comfy, "5, 4.999, 2.003, 2")
    handle(comfy, 0).focus()
    comfy.part("hso-add").click()
    assert values(comfy)[1] == pytest.approx(4.9995, abs=1e-5), "half-way in what is typed too near already"
    handle(comfy, 3).focus()
    comfy.page.keyboard.press("ArrowDown")
    assert values(comfy)[3] == pytest.approx(2.003), "no nearer, but away"
    comfy.page.keyboard.press("ArrowUp")
    assert 2.02 < values(comfy)[3] < 2.2
    agree(comfy)


def test_the_last_value_above_zero_stays_in_the_picture(comfy: ComfyPage) -> None:
    open_editor(comfy)
    comfy.page.locator(".hso-choice:visible button[value=linear]").click()
    drag(comfy, 4, 300)
    assert values(comfy)[4] == pytest.approx(0.15)
    agree(comfy)


def test_a_typed_value_is_for_the_step_that_was_selected(comfy: ComfyPage) -> None:
    """Also without Enter: a click on another point ends the typing."""
    open_editor(comfy)
    handle(comfy, 2).focus()
    comfy.part("hso-value").fill("3")
    comfy.page.mouse.click(*centre(handle(comfy, 1)))
    assert text(comfy) == "12, 5, 3, 1, 0.3, 0"
    assert comfy.part("hso-value").input_value() == "5"
    comfy.part("hso-value").fill("99")
    comfy.page.mouse.click(*centre(handle(comfy, 2)))
    assert "step 1 must lie between" in comfy.page.locator(".hso-about:visible").inner_text()
    comfy.part("hso-steps").fill("7")
    comfy.page.mouse.click(*centre(handle(comfy, 1)))
    assert len(values(comfy)) == 8
    agree(comfy)


def test_what_is_being_typed_stays_when_the_editor_is_drawn_anew(comfy: ComfyPage) -> None:
    """As when a run ends, or a complaint moves the picture, in the middle of typing."""
    open_editor(comfy)
    about = comfy.page.locator(".hso-about:visible")
    for field, typed, sigma_max in (("hso-value", "3", 6), ("hso-steps", "7", 5)):
        handle(comfy, 2).focus()
        comfy.part(field).fill(typed)
        show_plot(comfy, plot_of([12, 5, 2, 1, 0.3, 0], sigma_max=sigma_max))
        expect(about).to_contain_text(f"{sigma_max}")  # so it was drawn anew
        assert comfy.part(field).input_value() == typed
    assert text(comfy) == "12, 5, 3, 1, 0.3, 0"
    comfy.page.mouse.click(*centre(handle(comfy, 1)))
    assert len(values(comfy)) == 8
    agree(comfy)


def test_the_start_of_a_flow_schedule_can_be_moved_and_brought_back(comfy: ComfyPage) -> None:
    """Its lambda is infinite, beyond the end of the axis."""
    open_editor(comfy, "1, 0.8, 0.5, 0.2, 0")
    show_plot(comfy, plot_of([1, 0.8, 0.5, 0.2, 0], family="flow", sigma_min=0.001, sigma_max=1))
    comfy.page.locator(".hso-choice:visible button[value=lambda]").click()
    drag(comfy, 0, 2)
    assert values(comfy)[0] == 1
    drag(comfy, 0, 40)
    assert 0.9 < values(comfy)[0] < 1
    drag(comfy, 0, -60)
    assert values(comfy)[0] == 1
    comfy.page.keyboard.press("ArrowDown")
    assert 0.99 < values(comfy)[0] < 1
    comfy.page.keyboard.press("Home")
    assert values(comfy)[0] == 1
    agree(comfy)


def plot_of(sigmas: list[float], name: str = "text", **more: object) -> dict[str, object]:
    """What the server sends of a schedule."""
    ends = {"family": None, "sigma_min": None, "sigma_max": None}
    return {"version": 1, **ends, "schedules": [{"name": name, "sigmas": sigmas}], "facts": [], "note": "", **more}


def show_plot(comfy: ComfyPage, plot: dict[str, object]) -> None:
    """As the result of a run."""
    comfy.of_node(NODE, "(node.onExecuted({ hso_plot: [argument] }), null)", plot)
    comfy.settle()


def test_touch(comfy: ComfyPage) -> None:
    open_editor(comfy)
    x, y = centre(handle(comfy, 1))
    touch = comfy.page.context.new_cdp_session(comfy.page)
    for kind, at in (("touchStart", y), ("touchMove", y + 8), ("touchMove", y + 16), ("touchEnd", None)):
        points = [] if at is None else [{"x": x, "y": at}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    comfy.settle()
    assert 2 < values(comfy)[1] < 5
    agree(comfy)


def test_keyboard(comfy: ComfyPage) -> None:
    open_editor(comfy)
    keys = comfy.page.keyboard
    handle(comfy, 0).focus()
    keys.press("ArrowRight")
    keys.press("ArrowUp")
    once = values(comfy)[1]
    assert 5 < once < 5.5
    keys.press("Shift+ArrowUp")
    assert 0 < values(comfy)[1] - once < (once - 5) / 2
    keys.press("PageDown")
    assert values(comfy)[1] < 5
    keys.press("Insert")
    assert len(values(comfy)) == 7
    keys.press("Delete")
    assert len(values(comfy)) == 6
    keys.press("Delete")
    agree(comfy)
    assert len(values(comfy)) == 5 and comfy.of_node(NODE, "node.graph.nodes.length") == 2
    assert focused(comfy) == "Step 2" and handle(comfy, 2).get_attribute("role") == "slider"
    assert handle(comfy, 4).get_attribute("aria-disabled") == "true"


def test_buttons(comfy: ComfyPage) -> None:
    open_editor(comfy)
    handle(comfy, 1).focus()
    comfy.part("hso-add").click()
    assert values(comfy)[2] == pytest.approx(10**0.5, rel=1e-3)
    comfy.part("hso-remove").click()
    assert text(comfy) == START
    value = comfy.part("hso-value")
    handle(comfy, 1).focus()
    value.fill("4.7012345")
    value.press("Enter")
    assert shown(comfy)[1] == "4.7012343"  # the float32
    value.fill("13")
    value.press("Enter")
    assert "must lie between 2 and 12" in comfy.page.locator(".hso-about:visible").inner_text()
    agree(comfy)
    number = comfy.part("hso-steps")
    number.fill("8")
    number.press("Enter")
    assert len(values(comfy)) == 9
    click(comfy, "hso-undo")
    click(comfy, "hso-undo")
    assert text(comfy) == START
    (x, y), (next_x, _) = centre(handle(comfy, 3)), centre(handle(comfy, 4))
    comfy.page.mouse.dblclick((x + next_x) / 2, y + 6)
    assert len(values(comfy)) == 7 and 0.3 < values(comfy)[4] < 1
    comfy.part("hso-reset").click()
    assert text(comfy) == START
    agree(comfy)


def complaint(comfy: ComfyPage) -> str:
    return comfy.page.locator(".hso-about:visible").inner_text()


@pytest.mark.parametrize(
    ("field", "written", "reason"),
    [
        ("hso-value", "4,7", "write decimals with a point: 4.7, not 4,7"),
        ("hso-value", "abc", "'abc' is not a number; write a sigma like 4.7"),
        ("hso-value", "0x4", "'0x4' is not a number; write a sigma like 4.7"),
        ("hso-value", "13", "step 1 must lie between 2 and 12"),
        ("hso-steps", "0", "the editor resamples to a whole number of steps from 1 to 200"),
        ("hso-steps", "500", "the editor resamples to a whole number of steps from 1 to 200"),
    ],
)
def test_what_a_field_does_not_take_has_its_reason(comfy: ComfyPage, field: str, written: str, reason: str) -> None:
    open_editor(comfy)
    handle(comfy, 1).focus()
    before = comfy.part(field).input_value()
    comfy.part(field).fill(written)
    comfy.part(field).press("Enter")
    assert complaint(comfy) == reason
    handle(comfy, 1).focus()
    assert (text(comfy), comfy.part(field).input_value()) == (START, before)


def test_one_value_above_zero_is_not_resampled(comfy: ComfyPage) -> None:
    open_editor(comfy, "5, 0")
    comfy.part("hso-steps").fill("4")
    comfy.part("hso-steps").press("Enter")
    assert complaint(comfy) == "one sigma above 0 cannot be resampled to 4 steps; add steps one by one"
    assert (text(comfy), comfy.part("hso-steps").input_value()) == ("5, 0", "1")


@pytest.mark.parametrize("written", ["100, 5, 2, 0.5", "100, 5, 2, 0"])
def test_locked_ends_stay_where_they_are(comfy: ComfyPage, written: str) -> None:
    """Also beside a model with another range; and so there is nothing to give back when they are unlocked."""
    open_editor(comfy, written, model=["model", 0])
    comfy.run()
    comfy.part("hso-lock").click()
    assert text(comfy) == written
    drag(comfy, 0, 40)
    drag(comfy, 3, -20)
    assert text(comfy) == written
    assert [handle(comfy, step).get_attribute("aria-disabled") for step in range(4)] == [
        "true",
        "false",
        "false",
        "true",
    ]
    drag(comfy, 1, 10)
    assert text(comfy) != written
    agree(comfy)
    comfy.open_workflow(comfy.workflow())
    comfy.look_at(NODE)
    assert comfy.part("hso-lock").get_attribute("aria-pressed") == "true"
    comfy.part("hso-lock").click()
    drag(comfy, 0, 40)
    assert values(comfy)[0] < 100


@pytest.mark.parametrize("written", ["3, 4, 2", "3, two, 0", "5", "3, nan, 0", "1e39, 1, 0", "3, 2, -1", "14,6 6,4 0"])
def test_wrong_text_shows_its_reason_and_no_curve(comfy: ComfyPage, written: str) -> None:
    open_editor(comfy)
    type_text(comfy, written)
    with pytest.raises(SigmasError) as wrong:
        parse_sigmas(written)
    assert comfy.page.locator(".hso-wrong:visible p").inner_text() == str(wrong.value)
    assert shown(comfy) == []
    type_text(comfy, "4, 2, 0")
    assert shown(comfy) == ["4", "2", "0"] and not comfy.page.locator(".hso-wrong:visible").count()


def test_decimal_commas_are_refused_where_they_are_certain(comfy: ComfyPage) -> None:
    open_editor(comfy)
    for written in ("14,6 3.2 0", "14.6 3,2 0", "14,6; 3.2; 0", "14,6 3,2 ;0", "14,6\n3e0\n.5\n", "9, 3,2, 0"):
        type_text(comfy, written)
        assert "write decimals with a point" in banner(comfy), written
    for written, read in (
        ("14,6,3,0", "14, 6, 3, 0"),
        ("14.6,3.2,0", "14.6, 3.2, 0"),
        ("9, 1e-3,0", "9, 0.001, 0"),
        ("14,6; 7,2; 3,1; 0", "14.6, 7.2, 3.1, 0"),
    ):
        type_text(comfy, written)
        assert ", ".join(shown(comfy)) == read


def type_text(comfy: ComfyPage, written: str) -> None:
    """Type into the node's text box."""
    comfy.page.locator("textarea:visible").first.fill(written)
    comfy.settle()


@pytest.mark.parametrize("written", ["3e38, 1, 0", "1, 1e-45", "3.4028234e38, 1e-45, 0"])
def test_the_largest_and_the_least_numbers(comfy: ComfyPage, written: str) -> None:
    """The axis once had no end, and the page hung: only calls that give up after a while are made here."""
    open_editor(comfy)
    comfy.page.locator("textarea:visible").first.fill(written)
    count = len(parse_sigmas(written))
    expect(comfy.part("hso-editor").locator(".hso-handle")).to_have_count(count)
    for axis in ("sigma", "linear"):
        comfy.page.locator(f".hso-choice:visible button[value={axis}]").click()
        assert comfy.part("hso-editor").locator(".hso-mark").count() > 2
        for step in range(count - 1):
            drag(comfy, step, -30)
            drag(comfy, step, 30)
            agree(comfy)


def test_pasting_and_an_end_above_zero(comfy: ComfyPage) -> None:
    open_editor(comfy)
    handle(comfy, 1).focus()
    paste = """text => { const clipboardData = new DataTransfer(); clipboardData.setData("text/plain", text);
        document.activeElement.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true })) }"""
    comfy.page.evaluate(paste, "tensor([9.0000, 3.5, 1e-1])")
    assert text(comfy) == "9, 3.5, 0.1"
    agree(comfy)
    assert "not at 0" in comfy.page.locator(".hso-about:visible").inner_text()
    drag(comfy, 2, -10)
    assert values(comfy)[2] > 0.1
    comfy.page.evaluate(paste, "no sigmas")
    assert "not taken" in comfy.page.locator(".hso-about:visible").inner_text()


def test_a_dropped_file_is_taken_over(comfy: ComfyPage) -> None:
    open_editor(comfy)
    sigmas = torch.tensor([14.6, 1 / 3, 0.0])
    drop_file(comfy, "mine.safetensors", safetensors.torch.save({"sigmas": sigmas}))
    assert text(comfy) == print_sigmas(sigmas)
    agree(comfy)
    drop_file(comfy, "mine.txt", b"3; 2; 1")
    assert text(comfy) == "3, 2, 1"
    for content in (
        b"",
        b"\xff" * 100,
        safetensors.torch.save({"other": sigmas}),
        safetensors.torch.save({"sigmas": sigmas})[:-1],
    ):
        drop_file(comfy, "bad.safetensors", content)
        assert complaint(comfy) == "bad.safetensors is no schedule that HSO saved, or it is damaged"
    for name, content in (
        ("made.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("made", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("workflow.json", b'\n{"nodes": [], "version": 0.4}'),
    ):
        drop_file(comfy, name, content)
        assert complaint(comfy).startswith(f"{name} is no schedule; drop a schedule that HSO saved (.safetensors) or")
    assert text(comfy) == "3, 2, 1"


def drop_file(comfy: ComfyPage, name: str, content: bytes) -> None:
    drop = """(element, [name, bytes]) => {
        const dataTransfer = new DataTransfer();
        const type = name.endsWith(".png") ? "image/png" : "";
        dataTransfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
        for (const kind of ["dragover", "drop"])
            element.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
    }"""
    comfy.part("hso-editor").evaluate(drop, [name, list(content)])
    comfy.settle()


def test_connected_sigmas_are_shown_and_taken_over(comfy: ComfyPage) -> None:
    comfy.build(
        {
            "model": demo_prompts.node("HSODemoModel"),
            "karras": demo_prompts.basic_scheduler("karras", 6),
            "sigmas": demo_prompts.custom_sigmas(sigmas=["karras", 0], model=["model", 0]),
            "show": demo_prompts.show_text("sigmas", 1),
        }
    )
    comfy.look_at(NODE)
    assert "Run the workflow" in comfy.page.locator(".hso-banner:visible").inner_text()
    comfy.of_node("BasicScheduler", "node.widgets[1].value = argument", next(steps))
    (found,) = comfy.server.texts(comfy.run())
    assert text(comfy) == "" and shown(comfy) == []
    comfy.part("hso-take").click()
    assert text(comfy) == found
    agree(comfy)
    drag(comfy, 1, 10)
    assert comfy.server.texts(comfy.run()) == [text(comfy)] != [found]


def test_a_node_that_has_run_is_taken_over_without_another_run(comfy: ComfyPage) -> None:
    comfy.build(
        {
            "model": demo_prompts.node("HSODemoModel"),
            "found": demo_prompts.optimize_schedule(5, search_seed=next(steps)),
            "sigmas": demo_prompts.custom_sigmas("3, 2, 0", sigmas=["found", 0]),
            "report": demo_prompts.show_text("found", 1),
        }
    )
    (report,) = comfy.server.texts(comfy.run())
    comfy.open_workflow(comfy.workflow())
    comfy.look_at(NODE)
    type_text(comfy, "")
    comfy.part("hso-take").click()
    assert f"sigmas: {text(comfy)}\n" in report
    agree(comfy)


def open_connected(comfy: ComfyPage, rule: str = "karras") -> None:
    """Connected sigmas that have run, and another node with sigmas."""
    comfy.build(
        {
            "model": demo_prompts.node("HSODemoModel"),
            "source": demo_prompts.basic_scheduler(rule, next(steps)),
            "other": demo_prompts.node("KarrasScheduler"),
            "sigmas": demo_prompts.custom_sigmas(sigmas=["source", 0], model=["model", 0]),
            "show": demo_prompts.show_text("sigmas", 1),
        }
    )
    comfy.look_at(NODE)
    comfy.run()
    assert banner(comfy) == "These are the connected sigmas."


def banner(comfy: ComfyPage) -> str:
    return comfy.page.locator(".hso-banner:visible p").inner_text()


RUN_FIRST = "These are the connected sigmas. Run the workflow to see "
SLOT = "node.inputs.findIndex(input => input.name === argument)"


def test_sigmas_that_are_connected_no_more_are_not_shown(comfy: ComfyPage) -> None:
    open_connected(comfy)
    karras = "node.graph.nodes.find(other => other.type === 'KarrasScheduler')"
    comfy.of_node(NODE, f"({karras}.connect(0, node, {SLOT}), null)", "sigmas")
    assert banner(comfy).startswith(RUN_FIRST) and not comfy.part("hso-take").count()
    comfy.open_workflow(comfy.workflow())
    comfy.look_at(NODE)
    assert banner(comfy).startswith(RUN_FIRST)
    (found,) = comfy.server.texts(comfy.run())
    comfy.part("hso-take").click()
    assert text(comfy) == found


def test_a_result_of_other_values_says_that_it_is_old(comfy: ComfyPage) -> None:
    change = """(app.canvas.emitBeforeChange(), node.widgets.find(widget => widget.name === argument[0]).value =
        argument[1], app.canvas.emitAfterChange(), null)"""
    open_connected(comfy)
    comfy.of_node("BasicScheduler", change, ["steps", next(steps)])
    expect(comfy.page.locator(".hso-banner:visible p")).to_have_text("These are the connected sigmas of the last run.")
    comfy.build(
        {
            "words": demo_prompts.node("PrimitiveString", value=START),
            "sigmas": demo_prompts.node(NODE, text=["words", 0]),
            "show": demo_prompts.show_text("sigmas", 1),
        }
    )
    comfy.look_at(NODE)
    comfy.run()
    assert banner(comfy) == "The text comes from another node."
    comfy.of_node("PrimitiveString", change, ["value", "2, 1, 0"])
    old = "The text comes from another node; these are its values in the last run."
    expect(comfy.page.locator(".hso-banner:visible p")).to_have_text(old)


def test_sigmas_of_a_node_that_was_bypassed_are_not_shown(comfy: ComfyPage) -> None:
    open_connected(comfy)
    change = "(app.canvas.emitBeforeChange(), node.mode = argument, app.canvas.emitAfterChange(), null)"
    comfy.of_node("BasicScheduler", change, 4)
    expect(comfy.page.locator(".hso-banner:visible p")).to_contain_text("Run the workflow")
    assert not comfy.part("hso-take").count()
    comfy.undo()
    comfy.look_at(NODE)
    assert banner(comfy) == "These are the connected sigmas."


def test_the_range_of_a_model_that_is_connected_no_more_is_not_used(comfy: ComfyPage) -> None:
    open_editor(comfy, "100, 5, 2, 0.5", model=["model", 0])
    comfy.run()
    assert handle(comfy, 0).get_attribute("aria-valuemax").startswith("148.4")
    comfy.of_node(NODE, f"(node.disconnectInput({SLOT}), null)", "model")
    assert handle(comfy, 0).get_attribute("aria-valuemax") == "150"


def test_values_of_a_text_that_is_connected_no_more_are_not_shown(comfy: ComfyPage) -> None:
    comfy.build(
        {
            "words": demo_prompts.node("PrimitiveStringMultiline", value=START),
            "other": demo_prompts.node("PrimitiveString", value="2, 1, 0"),
            "sigmas": demo_prompts.node(NODE, text=["words", 0]),
            "show": demo_prompts.show_text("sigmas", 1),
        }
    )
    comfy.look_at(NODE)
    comfy.run()
    assert banner(comfy) == "The text comes from another node."
    assert comfy.part("hso-editor").locator(".hso-dot").count() == 6
    other = "node.graph.nodes.find(other => other.type === 'PrimitiveString')"
    comfy.of_node(NODE, f"({other}.connect(0, node, {SLOT}), null)", "text")
    assert banner(comfy).startswith("The text comes from another node. Run the workflow to see ")
    assert comfy.part("hso-editor").locator(".hso-dot").count() == 0


def test_the_properties_panel_leaves_it_as_it_is(comfy: ComfyPage) -> None:
    """It lists a node's widgets, and made this one as narrow as itself."""
    if comfy.page.evaluate("() => __COMFYUI_FRONTEND_VERSION__") == "1.32.9":
        pytest.skip("a page without the panel")
    open_editor(comfy)
    width = comfy.part("hso-editor").bounding_box()["width"]
    comfy.of_node(NODE, "(app.canvas.select?.(node) ?? app.canvas.selectNode(node), null)")
    is_open = "async isOpen => { await app.extensionManager.setting.set('Comfy.RightSidePanel.IsOpen', isOpen) }"
    comfy.page.evaluate(is_open, True)
    panel = comfy.page.get_by_test_id("properties-panel")
    expect(panel).to_contain_text("resampling")
    expect(panel).not_to_contain_text("hso")
    comfy.page.evaluate(is_open, False)
    expect(panel).to_have_count(0)
    comfy.look_at(NODE)
    assert comfy.part("hso-editor").bounding_box()["width"] == width
    assert comfy.of_node(NODE, "node.widgets.at(-1).width ?? null") is None


def test_what_the_node_resamples_to_is_drawn_too(comfy: ComfyPage) -> None:
    open_editor(comfy, steps=9, resampling="monotone")
    assert comfy.part("hso-ghost").locator("circle").count() == 10
    assert complaint(comfy) == "runs as 9 steps (dashed)"
    for count, said in ((5, None), (300, "runs as 300 steps")):
        comfy.of_node(NODE, "node.widgets.find(widget => widget.name === 'steps').value = argument", count)
        comfy.of_node(NODE, "node.widgets.find(widget => widget.name === 'steps').callback(argument)", count)
        assert comfy.part("hso-ghost").count() == 0
        assert comfy.page.locator(".hso-about:visible").all_inner_texts() == ([said] if said else [])
    assert len(parse_sigmas(comfy.server.texts(comfy.run())[0])) == 301


def test_a_saved_workflow_has_the_text_and_nothing_else(comfy: ComfyPage) -> None:
    open_editor(comfy)
    drag(comfy, 1, 10)
    edited, saved = text(comfy), comfy.workflow()
    (node,) = [node for node in saved["nodes"] if node["type"] == NODE]
    assert node["widgets_values"] == [edited, 0, "log-linear"]
    open_editor(comfy, "2, 1, 0")
    comfy.open_workflow(saved)
    comfy.look_at(NODE)
    assert text(comfy) == edited
    agree(comfy)


def test_a_workflow_from_before_the_editor_opens_as_it_was(comfy: ComfyPage) -> None:
    frozen = workbench.REPOSITORY / "tests" / "frozen_workflows" / "0.1.0" / "hso_custom_sigmas.json"
    old = json.loads(frozen.read_text("utf-8"))
    (node,) = [node for node in old["nodes"] if node["type"] == NODE]
    comfy.open_workflow(old)
    comfy.look_at(NODE)
    assert comfy.of_node(NODE, "node.widgets.slice(0, 3).map(widget => widget.value)") == node["widgets_values"]
    assert ", ".join(shown(comfy)) == print_sigmas(parse_sigmas(node["widgets_values"][0]))


def test_undo_and_then_another_change(comfy: ComfyPage) -> None:
    """Undo makes a new node; in Nodes 2.0 the old node's picture would stay on the page, connected to nothing."""
    open_editor(comfy)
    drag(comfy, 1, 10)
    first = text(comfy)
    comfy.undo()
    assert text(comfy) == START
    agree(comfy)
    drag(comfy, 3, 10)
    assert text(comfy) not in (START, first) and values(comfy)[1] == 5
    agree(comfy)
    comfy.undo()
    assert text(comfy) == START
    agree(comfy)


def test_undo_after_a_run_takes_the_change_back_not_the_plot(comfy: ComfyPage) -> None:
    open_editor(comfy)
    drag(comfy, 1, 10)
    comfy.run()
    comfy.page.mouse.click(1300, 900)  # the page looks for changes then
    comfy.undo()
    assert text(comfy) == START
    agree(comfy)


def hold(comfy: ComfyPage, step: int, down: float) -> None:
    """Drag a point by so many pixels and keep the button pressed."""
    x, y = centre(handle(comfy, step))
    comfy.page.mouse.move(x, y)
    comfy.page.mouse.down()
    comfy.page.mouse.move(x, y + down, steps=4)
    comfy.settle()


def let_go(comfy: ComfyPage) -> None:
    """Move on, and release the button."""
    comfy.page.mouse.move(700, 600, steps=4)
    comfy.page.mouse.up()
    comfy.settle()


def assert_edits_can_be_undone(comfy: ComfyPage) -> None:
    before = text(comfy)
    drag(comfy, 1, 10)
    after = text(comfy)
    drag(comfy, 3, -10)
    assert len({before, after, text(comfy)}) == 3
    agree(comfy)
    comfy.undo()
    assert text(comfy) == after
    comfy.undo()
    assert text(comfy) == before
    agree(comfy)


def test_ctrl_z_while_a_point_is_held(comfy: ComfyPage) -> None:
    """Undo makes a new node: the old node's picture never hears of the button's release."""
    open_editor(comfy)
    drag(comfy, 1, 10)
    hold(comfy, 3, 15)
    assert shown(comfy)[3] != "1"
    comfy.of_node(NODE, "(window.oldNode = node, null)")
    comfy.page.keyboard.press("Control+z")
    comfy.page.wait_for_function(f"() => ({FIND})('{NODE}') !== window.oldNode")
    comfy.settle()
    let_go(comfy)
    assert text(comfy) == START
    agree(comfy)
    assert_edits_can_be_undone(comfy)


def test_escape_takes_back_what_is_dragged(comfy: ComfyPage) -> None:
    open_editor(comfy)
    hold(comfy, 3, 15)
    assert shown(comfy)[3] != "1"
    comfy.page.keyboard.press("Escape")
    assert shown(comfy)[3] == "1"
    let_go(comfy)
    assert text(comfy) == START
    agree(comfy)
    assert_edits_can_be_undone(comfy)


def test_a_click_beside_the_points_gives_the_picture_no_focus(comfy: ComfyPage) -> None:
    """It has nothing to do with keys, and Nodes 2.0 would draw a box around it; its points are tab stops."""
    open_editor(comfy)
    box = comfy.part("hso-editor").bounding_box()
    comfy.page.mouse.click(box["x"] + box["width"] - 30, box["y"] + 20)
    owner = "() => document.activeElement.closest('.hso-root')?.className ?? 'none of ours'"
    assert comfy.page.evaluate(owner) == "none of ours"
    assert comfy.part("hso-editor").evaluate("picture => (picture.focus(), document.activeElement !== picture)")
    handle(comfy, 2).focus()
    assert comfy.part("hso-value").input_value() == "2"


def test_a_point_is_grabbed_beside_it_at_every_zoom(comfy: ComfyPage) -> None:
    """Not further out: at 0.35 Nodes 2.0 of 1.32 gives presses to no element."""
    open_editor(comfy)
    for scale in (0.6, 1, 2):
        comfy.look_at(NODE, scale=scale, top=60)
        x, y = centre(handle(comfy, 1))
        before = values(comfy)
        comfy.page.mouse.move(x + 10, y)
        comfy.page.mouse.down()
        comfy.page.mouse.move(x + 10, y + 8 * scale, steps=4)
        comfy.page.mouse.up()
        assert 2 < values(comfy)[1] < before[1], scale
        agree(comfy)


@pytest.mark.parametrize("width", [120, 210, 300])
def test_a_narrow_node_has_all_of_it(comfy: ComfyPage, width: int) -> None:
    """Elements wrap; and there is room for the picture."""
    open_editor(comfy, "12, 5, 2.1234567, 1, 0.3", steps=9)
    handle(comfy, 2).focus()
    comfy.of_node(NODE, "(node.setSize([argument, node.size[1]]), null)", width)
    comfy.look_at(NODE, left=100, top=80)
    root = comfy.page.locator(".hso-root:visible").bounding_box()
    for part in (".hso-button:visible", ".hso-choice", ".hso-foot input", ".hso-foot label", ".hso-about"):
        for element in comfy.page.locator(f".hso-root:visible {part}").all():
            box = element.bounding_box()
            assert root["x"] <= box["x"] and box["x"] + box["width"] <= root["x"] + root["width"], part
    assert comfy.page.locator(".hso-root:visible").evaluate("root => root.scrollWidth <= root.clientWidth")
    about = comfy.page.locator(".hso-about:visible")
    about.scroll_into_view_if_needed()
    box, root = about.bounding_box(), comfy.page.locator(".hso-root:visible").bounding_box()
    assert box["y"] + box["height"] <= root["y"] + root["height"]
    assert comfy.part("hso-editor").bounding_box()["height"] >= 60


def test_the_two_numbers_of_steps_have_two_names(comfy: ComfyPage) -> None:
    open_editor(comfy)
    names = [*comfy.of_node(NODE, "node.widgets.map(widget => widget.label ?? widget.name)")]
    label = comfy.page.locator(".hso-foot:visible label").last.inner_text()
    assert label == "resample to" and label not in names


@pytest.mark.parametrize("width", [225, 400, 900])
def test_numbers_of_steps_do_not_run_together(comfy: ComfyPage, width: int) -> None:
    open_editor(comfy, print_sigmas(torch.linspace(12, 0, 13)))
    comfy.of_node(NODE, "(node.setSize([argument, node.size[1]]), null)", width)
    comfy.look_at(NODE, left=100)
    labels = [label.bounding_box() for label in comfy.all_of(".hso-step:not(.hso-step-title)", "hso-editor")]
    assert len(labels) >= 3
    for one, other in itertools.pairwise(labels):
        assert one["x"] + one["width"] + 3 < other["x"]


def press(comfy: ComfyPage, keys: str) -> None:
    """Keys of ComfyUI's history, which makes new nodes."""
    comfy.of_node(NODE, "(window.oldNode = node, null)")
    comfy.page.keyboard.press(keys)
    wait_for_new_node(comfy)


def click(comfy: ComfyPage, button: str) -> None:
    """A button that does the same."""
    comfy.of_node(NODE, "(window.oldNode = node, null)")
    comfy.part(button).click()
    wait_for_new_node(comfy)


def wait_for_new_node(comfy: ComfyPage) -> None:
    comfy.page.wait_for_function(f"() => ({FIND})('{NODE}') !== window.oldNode")
    expect(comfy.part("hso-editor")).to_have_count(1)
    comfy.settle()
    comfy.page.wait_for_function("() => document.activeElement.closest('.hso-root')")  # where it was before


def can(comfy: ComfyPage) -> list[bool]:
    """Whether there is something to undo, to redo and to reset."""
    return [comfy.part(f"hso-{name}").is_enabled() for name in ("undo", "redo", "reset")]


def focused(comfy: ComfyPage) -> str:
    return comfy.page.evaluate("() => document.activeElement.getAttribute('aria-label')")


def test_the_buttons_and_the_keys_have_one_history(comfy: ComfyPage) -> None:
    open_editor(comfy, "80, 20, 5")
    assert can(comfy) == [False, False, False]
    handle(comfy, 1).focus()
    texts = [text(comfy)]
    for _ in range(2):
        comfy.page.keyboard.press("ArrowUp")
        texts.append(text(comfy))
    assert len(set(texts)) == 3
    press(comfy, "Control+z")
    assert (text(comfy), can(comfy), focused(comfy)) == (texts[1], [True, True, True], "Step 1")
    click(comfy, "hso-undo")
    assert (text(comfy), can(comfy)) == (texts[0], [False, True, False])
    handle(comfy, 1).focus()
    press(comfy, "Control+y")
    click(comfy, "hso-redo")
    assert (text(comfy), can(comfy)) == (texts[2], [True, False, True])
    press(comfy, "Control+z")
    press(comfy, "Control+z")
    press(comfy, "Control+y")
    comfy.part("hso-reset").click()
    assert (text(comfy), can(comfy)) == ("80, 20, 5", [True, False, False])
    press(comfy, "Control+z")
    assert text(comfy) == texts[1]
    agree(comfy)


def test_the_keyboard_stays_where_it_was_after_an_undo(comfy: ComfyPage) -> None:
    open_editor(comfy)
    handle(comfy, 3).focus()
    for keys in ("ArrowUp", "ArrowUp", "Control+z", "ArrowDown", "Control+z"):
        (press if "+" in keys else lambda page, key: page.page.keyboard.press(key))(comfy, keys)
    assert focused(comfy) == "Step 3" and comfy.part("hso-value").input_value() == shown(comfy)[3]
    comfy.part("hso-undo").focus()
    press(comfy, "Enter")
    assert text(comfy) == START and comfy.part("hso-redo").is_enabled()
    comfy.page.keyboard.press("Delete")
    assert comfy.of_node(NODE, "node.graph.nodes.length") == 2


def test_undo_takes_back_what_was_done_last_wherever_that_was(comfy: ComfyPage) -> None:
    nodes = {
        "words": demo_prompts.node("PrimitiveString", value="2, 1, 0"),
        "sigmas": demo_prompts.custom_sigmas(START),
    }
    comfy.build({**nodes, "show": demo_prompts.show_text("sigmas", 1)})
    comfy.look_at(NODE)
    drag(comfy, 1, 10)
    dragged = text(comfy)
    words = "node.graph.nodes.find(other => other.type === 'PrimitiveString')"
    slot = SLOT.replace("argument", repr("text"))
    connect = f"(app.canvas.emitBeforeChange(), {words}.connect(0, node, {slot}), app.canvas.emitAfterChange(), null)"
    comfy.of_node(NODE, connect)
    assert comfy.part("hso-reset").is_disabled()
    click(comfy, "hso-undo")
    assert text(comfy) == dragged
    agree(comfy)


def test_another_workflow_has_a_history_of_its_own(comfy: ComfyPage) -> None:
    open_editor(comfy)
    drag(comfy, 1, 10)
    saved = comfy.workflow()
    assert can(comfy) == [True, False, True]
    comfy.open_workflow(saved)
    expect(comfy.part("hso-undo")).to_be_disabled()
    assert can(comfy) == [False, False, False]


def test_the_node_is_deleted_while_a_point_is_held(comfy: ComfyPage) -> None:
    open_editor(comfy)
    hold(comfy, 3, 15)
    comfy.of_node(NODE, "(node.graph.remove(node), null)")
    comfy.settle()
    let_go(comfy)
    comfy.undo()
    assert text(comfy) == START
    agree(comfy)
    assert_edits_can_be_undone(comfy)


def test_the_node_is_collapsed_while_a_point_is_held(comfy: ComfyPage) -> None:
    """In Nodes 2.0 the picture is taken off the page then, and does not hear of the button's release."""
    open_editor(comfy)
    hold(comfy, 3, 15)
    comfy.of_node(NODE, "node.collapse()")
    expect(comfy.part("hso-editor")).to_have_count(0)
    let_go(comfy)
    comfy.of_node(NODE, "node.collapse()")
    expect(comfy.part("hso-editor")).to_have_count(1)
    comfy.settle()
    left = text(comfy)
    assert left != START
    x, y = centre(handle(comfy, 3))
    comfy.page.mouse.move(x, y)
    comfy.page.mouse.move(x, y + 10, steps=4)
    assert text(comfy) == ", ".join(shown(comfy)) == left, "no button is pressed"
    assert_edits_can_be_undone(comfy)


def test_undo_of_a_drag_comes_back_to_what_was_typed_before(comfy: ComfyPage) -> None:
    open_editor(comfy)
    type_text(comfy, "9, 4, 2, 0.5, 0")
    drag(comfy, 1, 10)
    assert text(comfy) != "9, 4, 2, 0.5, 0"
    comfy.undo()
    assert text(comfy) == "9, 4, 2, 0.5, 0"
    agree(comfy)


def test_reset_and_undo_know_what_was_typed_as_a_whole(comfy: ComfyPage) -> None:
    open_editor(comfy, "")
    box = comfy.page.locator("textarea:visible").first
    box.press_sequentially(START)
    drag(comfy, 1, 10)
    dragged = text(comfy)
    assert dragged != START
    comfy.part("hso-reset").click()
    assert text(comfy) == START
    comfy.page.wait_for_timeout(500)  # what follows within 50 ms is one step with it to ComfyUI 1.58
    box.fill("9, 4, 2")
    box.press("End")
    box.press_sequentially(", 1, 0.5, 0")
    for before in (START, dragged, START):
        click(comfy, "hso-undo")
        assert text(comfy) == before
    agree(comfy)


def test_two_open_workflows_with_the_same_ids_have_editors_of_their_own(comfy: ComfyPage) -> None:
    name = "() => app.extensionManager.workflow.activeWorkflow.filename"
    names = {}
    for written in ("9, 5, 0", "3, 2, 1, 0"):
        open_editor(comfy, written)
        names[comfy.page.evaluate(name)] = written
    for tab, written in names.items():
        comfy.page.get_by_text(tab, exact=True).first.click()
        comfy.page.wait_for_function(f"name => ({name})() === name", arg=tab)
        comfy.look_at(NODE)
        expect(comfy.part("hso-editor").locator(".hso-handle")).to_have_count(len(parse_sigmas(written)))
        assert ", ".join(shown(comfy)) == written == text(comfy)


def test_two_editors_and_a_copy(comfy: ComfyPage) -> None:
    open_editor(comfy)
    comfy.look_at(NODE, left=100)
    comfy.run()
    paste = """(app.canvas.copyToClipboard([node]), app.canvas.graph_mouse = [node.pos[0] + 500, node.pos[1]],
        app.canvas.pasteFromClipboard(), null)"""
    comfy.of_node(NODE, paste)
    comfy.settle()
    expect(comfy.part("hso-editor")).to_have_count(2)
    first, copy = comfy.part("hso-editor").all()
    copy.locator("[data-step='1']").focus()
    comfy.page.keyboard.press("ArrowUp")
    values = [
        [handle.get_attribute("aria-valuenow") for handle in editor.locator(".hso-handle").all()]
        for editor in (first, copy)
    ]
    texts = comfy.of_node(
        NODE, "node.graph.nodes.filter(other => other.type === node.type).map(n => n.widgets[0].value)"
    )
    assert [", ".join(shown) for shown in values] == texts
    assert texts[0] == START != texts[1]


def test_collapse(comfy: ComfyPage) -> None:
    open_editor(comfy)
    comfy.of_node(NODE, "node.collapse()")
    expect(comfy.part("hso-editor")).to_have_count(0)
    comfy.of_node(NODE, "node.collapse()")
    expect(comfy.part("hso-editor")).to_have_count(1)
    comfy.settle()
    drag(comfy, 1, 10)
    assert values(comfy)[1] < 5
    agree(comfy)


def test_in_a_subgraph(comfy: ComfyPage) -> None:
    open_editor(comfy)
    comfy.of_node(NODE, "(node.graph.convertToSubgraph(new Set([node])), null)")
    comfy.settle()
    comfy.page.evaluate(
        """() => { const outer = app.graph.nodes.find(node => node.subgraph);
        app.canvas.openSubgraph(outer.subgraph, outer) }"""
    )
    comfy.settle()
    comfy.look_at(NODE)
    expect(comfy.part("hso-editor")).to_have_count(1)
    comfy.settle()
    drag(comfy, 1, 10)
    assert values(comfy)[1] < 5
    agree(comfy)
    assert comfy.server.texts(comfy.run()) == [text(comfy)]


SCRIPT = """async ([texts, schedules]) => {
    const { parseSchedule, printSchedule } = await import("/extensions/hso-schedule/schedule/text.js");
    const { resample } = await import("/extensions/hso-schedule/schedule/resample.js");
    const read = text => { try { return printSchedule(parseSchedule(text)) } catch (error) { return error.message } };
    return [texts.map(read), schedules.map(([values, steps, method]) => resample(values, steps, method))];
}"""


def test_the_page_reads_prints_and_resamples_as_the_server_does(comfy: ComfyPage) -> None:
    generator = torch.Generator().manual_seed(0)
    lists = [torch.rand(n, generator=generator).mul(20).sub(10).exp().sort(descending=True)[0] for n in range(3, 12)]
    texts = [", ".join(repr(v) for v in values.tolist()) for values in lists]
    texts += [text for text, _ in sigma_texts.READ + sigma_texts.REFUSED]
    jobs = [
        (values, steps, method)
        for values in [*lists, torch.cat([lists[4], torch.zeros(1)])]
        for steps in (1, 4, 20)
        for method in RESAMPLINGS
    ]
    read, resampled = comfy.page.evaluate(SCRIPT, [texts, [(v.tolist(), s, m) for v, s, m in jobs]])
    assert read == [on_server(written) for written in texts]
    for job, values in zip(jobs, resampled, strict=True):
        torch.testing.assert_close(torch.tensor(values), resample_sigmas(*job), rtol=1e-6, atol=0)


def on_server(written: str) -> str:
    try:
        return print_sigmas(parse_sigmas(written))
    except SigmasError as error:
        return str(error)
