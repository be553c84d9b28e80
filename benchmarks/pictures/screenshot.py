"""The pictures of ComfyUI's page in docs/: the galaxies workflow after a run, the editor, and the graphs of README.

    .venv/bin/python -P benchmarks/pictures/screenshot.py [galaxies | editor | graphs ...]

It needs what the browser tests need, which `python3 dev.py setup` installs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests" / "support")]

from benchmarks.pictures.thumbnails import EXAMPLES, show_plots  # noqa: E402

import demo_prompts  # noqa: E402
import workbench  # noqa: E402
from comfy_page import ComfyPage, browser  # noqa: E402
from comfy_server import ComfyServer  # noqa: E402

WORKFLOW = REPOSITORY / "demo" / "example_workflows" / "galaxies.json"
DOCS = REPOSITORY / "docs"
LEFT, TOP = 90, 210  # of the canvas between the page's menus
HIDDEN = {
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Graph.CanvasMenu": False,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
}

# Of two examples: the nodes to build, and what is folded to its title below them.
OPEN = {
    "CheckpointLoaderSimple": (0, 0), "HSOOptimizeSchedule": (340, 130), "HSOKSampler": (800, 0), "VAEDecode": (1180, 0)
}  # fmt: skip
GRAPHS = {
    "ksampler": (
        "HSO 01 First picture in 5 steps",
        {"Prompt": (340, 600), "Negative prompt": (480, 600), "Empty Latent Image": (680, 600)},
    ),
    "flow": (
        "HSO 03 Flux in 8 steps",
        {
            "Prompt": (340, 600),
            "FluxGuidance": (480, 600),
            "Negative prompt": (340, 650),
            "EmptySD3LatentImage": (700, 600),
        },
    ),
}
ARRANGE = """([open, folded]) => {
    for (const node of [...app.graph.nodes]) {
        node.title = node.title.split(":")[0];
        if (node.type in open) node.pos = open[node.type];
        else if (node.title in folded) { node.pos = folded[node.title]; node.collapse(true) }
        else app.graph.remove(node);
    }
}"""


def galaxies(page: ComfyPage) -> None:
    page.open_workflow(json.loads(WORKFLOW.read_text("utf-8")))
    page.run()
    page.page.wait_for_function("() => app.graph.nodes.some(node => node.type === 'SaveImage' && node.imgs?.length)")
    page.look_at("MarkdownNote", 0.66, LEFT, TOP + 40)
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


def graphs(page: ComfyPage) -> None:
    """What to build for Stable Diffusion and for a flow model."""
    for name, (example, folded) in GRAPHS.items():
        workflow = json.loads((EXAMPLES / f"{example}.json").read_text("utf-8"))
        page.open_workflow(workflow)
        show_plots(page, workflow)
        page.page.evaluate(ARRANGE, [OPEN, folded])
        page.look_at("CheckpointLoaderSimple", 0.92, LEFT, TOP + 60)
        page.page.evaluate("() => app.canvas.deselectAll()")
        page.page.wait_for_timeout(1000)  # the canvas is drawn
        page.picture(DOCS / f"graph_{name}.png", {"x": LEFT - 20, "y": TOP, "width": 1340, "height": 675})


PICTURES = {"galaxies": galaxies, "editor": editor, "graphs": graphs}


def main() -> None:
    weights = {workbench.WEIGHTS_VARIABLE: str(workbench.demo_weights())}
    with browser() as chromium, ComfyServer(workbench.node_packs(), environment=weights) as server:
        page = ComfyPage(chromium, server, "classic", size=(1500, 1050), settings=HIDDEN)
        for name in sys.argv[1:] or list(PICTURES):
            PICTURES[name](page)
        page.close()


if __name__ == "__main__":
    main()
