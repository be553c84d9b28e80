"""A picture of the galaxies workflow after it ran in the browser: docs/workflow.png.

    PYTHON -P benchmarks/screenshot.py [--chromium /usr/bin/chromium]

PYTHON needs playwright (which is no part of the project's .venv): the server runs with .venv all the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import workbench  # noqa: E402
from comfy_server import ComfyServer  # noqa: E402

WORKFLOW = REPOSITORY / "demo" / "example_workflows" / "galaxies.json"
PICTURE = REPOSITORY / "docs" / "workflow.png"
PAGE = {"width": 1500, "height": 1300}
CLIP = {"x": 80, "y": 190, "width": 1400, "height": 780}  # of the page: the canvas between its menus and buttons
SCALE, LEFT, TOP = 0.82, 20, 8  # of the workflow: its size, and what lies in the corner of the picture
VENV_PYTHON = REPOSITORY / ".venv" / "bin" / "python"
READY = "() => !!(window.app?.extensionManager && window.LiteGraph?.registered_node_types['HSOKSampler'])"


def photograph(page: Page, server: ComfyServer) -> None:
    page.goto(server.url)
    page.wait_for_function(READY)
    page.evaluate("async workflow => { await app.loadGraphData(workflow) }", json.loads(WORKFLOW.read_text("utf-8")))
    page.evaluate("() => app.queuePrompt(0)")
    page.wait_for_function("() => app.graph.nodes.some(node => node.type === 'SaveImage' && node.imgs?.length)")
    offset = [CLIP["x"] / SCALE - LEFT, CLIP["y"] / SCALE - TOP]
    page.evaluate(
        "view => { Object.assign(app.canvas.ds, view); app.canvas.setDirty(true, true) }",
        {"scale": SCALE, "offset": offset},
    )
    page.wait_for_timeout(2000)  # the pictures are decoded, the canvas is drawn
    page.screenshot(path=PICTURE, clip=CLIP)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    weights = {workbench.WEIGHTS_VARIABLE: str(workbench.demo_weights())}
    with ComfyServer(workbench.node_packs(), environment=weights, python=VENV_PYTHON) as server, sync_playwright() as p:
        server.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": False})
        browser = p.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        photograph(browser.new_page(viewport=PAGE), server)
        browser.close()
    print(f"Wrote {PICTURE} ({PICTURE.stat().st_size / 1024:.0f} kB).")


if __name__ == "__main__":
    main()
