"""What the page's search for nodes shows of the pack."""

from __future__ import annotations

import contextlib

from playwright.sync_api import expect

from comfy_page import ComfyPage

CLICKS, PATIENCE = 5, 10_000  # milliseconds


def open_search(comfy: ComfyPage) -> None:
    """By a double click on the empty canvas, and another one where the page has not taken the first."""
    search = comfy.page.get_by_role("combobox").filter(visible=True).last
    for _ in range(CLICKS):
        comfy.page.mouse.dblclick(700, 700)
        with contextlib.suppress(AssertionError):
            return expect(search).to_be_focused(timeout=PATIENCE)
    return expect(search).to_be_focused()


def test_schedule_finds_the_scheduler_first_and_nothing_that_another_node_has_replaced(comfy: ComfyPage) -> None:
    """Workflows have those nodes; a newcomer finds the one that does all of it."""
    comfy.build({})
    open_search(comfy)
    comfy.page.keyboard.type("schedule")
    options = comfy.page.get_by_role("option").filter(visible=True, has_text="HSO")
    options.first.wait_for()
    comfy.page.wait_for_timeout(1500)  # the list follows each letter
    shown = options.all_inner_texts()
    assert shown[0].strip().startswith("Scheduler (HSO)")
    assert not [text for text in shown if "Resample Schedule" in text or "Blend Schedules" in text]
    comfy.page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    expect(comfy.page.locator(".p-dialog-mask")).to_have_count(0)  # it would take every click of the tests that follow
