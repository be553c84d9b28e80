"""Edit Sigmas (HSO) shows the inputs that the chosen edit looks at."""

from __future__ import annotations

from typing import Any

import pytest

import demo_prompts
from comfy_page import ComfyPage

EDIT = "HSOEditSigmas"
LOOKED_AT = {
    "resample": ["steps", "resampling"],
    "scale": ["factor"],
    "shift": ["factor"],
    "pin": ["sigma"],
    "start at denoise": ["denoise", "keep_steps"],
    "blend": ["resampling", "weight"],
    "join": [],
    "flip": [],
}
GAPS = """(() => {
    const drawn = node.widgets.filter(widget => !widget.hidden && widget.last_y !== undefined);
    return drawn.slice(1).map((widget, i) => widget.last_y - drawn[i].last_y);
})()"""
DRAWN = "node.widgets.filter(widget => widget.last_y !== undefined && !widget.hidden).map(widget => widget.name)"
CHOOSE = """(() => {
    const widget = node.widgets.find(widget => widget.name === 'edit');
    widget.value = argument;
    widget.callback?.(argument, app.canvas, node);
})()"""


def open_edit(comfy: ComfyPage, edit: str = "resample", **links: Any) -> None:
    comfy.build(
        {
            "sigmas": demo_prompts.custom_sigmas("12, 5, 2, 1, 0.3, 0"),
            "edit": demo_prompts.node(EDIT, sigmas=["sigmas", 0], edit=edit, **links),
            "show": demo_prompts.show_text("edit", 1),
        },
        {"sigmas": (0, 0), "edit": (500, 0), "show": (1000, 0)},
    )
    comfy.look_at(EDIT)


def shown(comfy: ComfyPage) -> list[str]:
    """The names of the inputs that can be set on the node."""
    comfy.settle()
    if comfy.renderer == "classic":
        names = comfy.of_node(EDIT, DRAWN)
    else:
        node = comfy.page.locator(f"[data-node-id='{comfy.of_node(EDIT, 'node.id')}']")
        rows = node.locator(".lg-node-widget:visible").all()
        assert rows, "no widgets are found on the page"
        texts = [row.inner_text().strip().split("\n")[0] for row in rows]
        names = [text for text in texts if text]
    return [name for name in names if name in {name for names in LOOKED_AT.values() for name in names}]


@pytest.mark.parametrize("edit", LOOKED_AT)
def test_it_shows_what_the_edit_looks_at(comfy: ComfyPage, edit: str) -> None:
    open_edit(comfy, "flip" if edit != "flip" else "pin")
    comfy.of_node(EDIT, CHOOSE, edit)
    assert shown(comfy) == LOOKED_AT[edit]
    if comfy.renderer == "classic":
        assert max(comfy.of_node(EDIT, GAPS), default=0) < 40, "what is hidden takes no room"
    before, size = comfy.inputs(EDIT), comfy.of_node(EDIT, "[...node.size]")
    comfy.open_workflow(comfy.workflow())
    assert shown(comfy) == LOOKED_AT[edit]
    assert comfy.inputs(EDIT) == before
    assert comfy.renderer == "nodes2" or comfy.of_node(EDIT, "[...node.size]") == pytest.approx(size, abs=1)


def test_what_is_hidden_keeps_its_value_and_the_picture_its_height(comfy: ComfyPage) -> None:
    open_edit(comfy, "blend", weight=0.25)
    before, height = comfy.inputs(EDIT), comfy.of_node(EDIT, "node.size[1]")
    comfy.of_node(EDIT, CHOOSE, "flip")
    assert comfy.inputs(EDIT) == {**before, "edit": "flip"}
    assert comfy.renderer == "nodes2" or comfy.of_node(EDIT, "node.size[1]") < height
    comfy.of_node(EDIT, CHOOSE, "blend")
    assert comfy.inputs(EDIT) == before
    assert comfy.of_node(EDIT, "node.size[1]") == pytest.approx(height, abs=1)
