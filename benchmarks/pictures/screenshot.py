"""The pictures of ComfyUI's page in docs/: the galaxies workflow after a run, and the editor.

    .venv/bin/python -P benchmarks/pictures/screenshot.py

It needs what the browser tests need, which `python3 dev.py setup` installs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import demo_prompts  # noqa: E402
import workbench  # noqa: E402
from comfy_page import ComfyPage, browser  # noqa: E402
from comfy_server import ComfyServer  # noqa: E402

WORKFLOW = REPOSITORY / "demo" / "example_workflows" / "galaxies.json"
DOCS = REPOSITORY / "docs"
LEFT, TOP = 90, 210  # of the canvas between the page's menus
HIDDEN = {"Comfy.Minimap.Visible": False, "Comfy.Graph.CanvasInfo": False, "Comfy.Graph.CanvasMenu": False}


def galaxies(page: ComfyPage) -> None:
    page.open_workflow(json.loads(WORKFLOW.read_text("utf-8")))
    page.run()
    page.page.wait_for_function("() => app.graph.nodes.some(node => node.type === 'SaveImage' && node.imgs?.length)")
    page.look_at("Note", 0.7, LEFT, TOP + 40)
    page.page.wait_for_timeout(1000)  # the pictures are decoded, the canvas is drawn
    page.picture(DOCS / "workflow.png", {"x": LEFT - 20, "y": TOP, "width": 1390, "height": 690})


def editor(page: ComfyPage) -> None:
    """A found schedule, taken over and changed by hand."""
    page.build(
        {
            "model": demo_prompts.node("HSODemoModel"),
            "found": demo_prompts.optimize_schedule(6),
            "sigmas": demo_prompts.custom_sigmas(sigmas=["found", 0], model=["model", 0]),
            "show": demo_prompts.show_text("sigmas", 1),
        },
        {"model": (0, -200), "found": (0, 0), "sigmas": (450, 0), "show": (1200, 900)},
    )
    page.run()
    page.part("hso-take").click()
    page.look_at("HSOOptimizeSchedule", 1.0, LEFT, TOP + 50)
    handle = page.part("hso-editor").locator("[data-step='3']")
    handle.focus()
    for _ in range(5):
        page.page.keyboard.press("ArrowDown")
    page.page.evaluate("() => app.canvas.deselectAll()")
    page.page.wait_for_timeout(500)
    page.picture(DOCS / "editor.png", {"x": LEFT - 20, "y": TOP, "width": 890, "height": 560})


def main() -> None:
    weights = {workbench.WEIGHTS_VARIABLE: str(workbench.demo_weights())}
    with browser() as chromium, ComfyServer(workbench.node_packs(), environment=weights) as server:
        page = ComfyPage(chromium, server, "classic", size=(1500, 1050), settings=HIDDEN)
        galaxies(page)
        editor(page)
        page.close()
    for picture in (DOCS / "workflow.png", DOCS / "editor.png"):
        print(f"Wrote {picture} ({picture.stat().st_size / 1024:.0f} kB).")


if __name__ == "__main__":
    main()
