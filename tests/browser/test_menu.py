"""What the page's search for nodes shows of the pack."""

from __future__ import annotations

from comfy_page import ComfyPage


def test_schedule_finds_the_scheduler_first_and_nothing_that_another_node_has_replaced(comfy: ComfyPage) -> None:
    """Workflows have those nodes; a newcomer finds the one that does all of it."""
    comfy.load()
    comfy.page.mouse.dblclick(700, 700)  # on the empty canvas
    comfy.page.keyboard.type("schedule")
    options = comfy.page.get_by_role("option").filter(visible=True, has_text="HSO")
    options.first.wait_for()
    comfy.page.wait_for_timeout(1500)  # the list follows each letter
    shown = options.all_inner_texts()
    assert shown[0].strip().startswith("Scheduler (HSO)")
    assert not [text for text in shown if "Resample Schedule" in text or "Blend Schedules" in text]
