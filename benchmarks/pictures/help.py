"""The pictures on the nodes' help pages: each node in ComfyUI's page, after a run on the demonstration network.

    .venv/bin/python -P benchmarks/pictures/help.py [NODE ID ...]

It needs what the browser tests need, which `python3 dev.py setup` installs. The picture of Plot Sigmas is what it
draws, and comes from thumbnails.py.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import demo_prompts  # noqa: E402
import workbench  # noqa: E402
from comfy_page import ComfyPage, browser  # noqa: E402
from comfy_server import ComfyServer  # noqa: E402
from demo_prompts import Prompt, node  # noqa: E402

DOCS = REPOSITORY / "web" / "docs"
PAGE = (1100, 1150)
LEFT, TOP = 120, 280  # of the node on the page, clear of the menus
ROOM = 12  # around the node
TITLE = 34  # of a node, above its position
HIDDEN = {
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Graph.CanvasMenu": False,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
}
FIX_SEEDS = """() => app.graph.nodes.flatMap(node => node.widgets ?? [])
    .filter(widget => widget.name === "control_after_generate").forEach(widget => { widget.value = "fixed" })"""
WAN = "1, 0.96, 0.91, 0.83, 0.71, 0.5, 0"  # as flow models with a large shift have it


def examples() -> Prompt:
    """The node of each help page by its id, and the nodes that it needs."""
    optimised = demo_prompts.optimize_schedule(6)
    from_optimised = {"sigmas": ["HSOOptimizeSchedule", 0]}
    return {
        **demo_prompts.galaxy_nodes(1),
        "karras": demo_prompts.basic_scheduler("karras", 6),
        "HSOOptimizeSchedule": optimised,
        "HSOCustomSigmas": demo_prompts.custom_sigmas("121.53, 32, 8.4, 2.25, 0.6, 0", model=["model", 0]),
        "flow": demo_prompts.custom_sigmas(WAN),
        "HSOKSampler": node("HSOKSampler", **demo_prompts.MEASURED, **from_optimised, seed=1),
        "HSOCalibrateSchedule": node(
            "HSOCalibrateSchedule", **demo_prompts.MEASURED, steps=6, budget="quick", seed=1, remembered="reuse"
        ),
        "HSOCalibrateSampler": node(
            "HSOCalibrateSampler",
            **{name: value for name, value in demo_prompts.MEASURED.items() if name != "sampler_name"},
            steps=6,
            budget="quick",
            seed=1,
            remembered="reuse",
        ),
        "HSOFittedSampler": node("HSOFittedSampler", text="", sampler=["HSOCalibrateSampler", 0]),
        "HSOCompareSchedules": node(
            "HSOCompareSchedules",
            **demo_prompts.MEASURED,
            steps=6,
            schedulers="hso, karras, simple",
            pictures=2,
            seed=1,
            theme="dark",
        ),
        "HSOBlendSchedules": node(
            "HSOBlendSchedules",
            first=["HSOOptimizeSchedule", 0],
            second=["karras", 0],
            weight=0.5,
            resampling="log-linear",
        ),
        "HSOSplitSchedule": node(
            "HSOSplitSchedule", sigmas=["flow", 0], where="sigma", sigma=0.875, insert=True, step=2
        ),
        "HSOEditSigmas": node(
            "HSOEditSigmas",
            **from_optimised,
            model=["model", 0],
            edit="start at denoise",
            steps=8,
            resampling="log-linear",
            factor=1.0,
            sigma=0.875,
            denoise=0.6,
            keep_steps=True,
            weight=0.5,
        ),
        "HSOPinSigma": node("HSOPinSigma", sigmas=["flow", 0], sigma=0.875),
        "HSOStartAtDenoise": node(
            "HSOStartAtDenoise", **from_optimised, model=["model", 0], denoise=0.6, keep_steps=True
        ),
        "HSOResampleSchedule": node("HSOResampleSchedule", **from_optimised, steps=9, resampling="monotone"),
        "HSOPresetSchedule": node("HSOPresetSchedule", preset="AYS SD 1.5", steps=0, denoise=1.0),
        "HSOSaveSchedule": node(
            "HSOSaveSchedule",
            **from_optimised,
            model=["model", 0],
            report=["HSOOptimizeSchedule", 1],
            name="galaxies/six",
            folder="output",
            sampler="dpmpp_2m",
            note="sharp in 6 steps",
        ),
    }


def show_everything(prompt: Prompt, types: list[str]) -> Prompt:
    """With nodes that ask for the result of each: what nobody asks for is not run."""
    outputs = {
        "HSOKSampler": node("SaveLatent", samples=["HSOKSampler", 0], filename_prefix="help"),
        "HSOCalibrateSampler": demo_prompts.show_text("HSOCalibrateSampler", 2),
        "HSOFittedSampler": demo_prompts.show_text("HSOFittedSampler", 2),
    }
    shown = {f"show {name}": outputs.get(name, demo_prompts.show_text(name)) for name in types}
    return {**prompt, **{name: entry for name, entry in shown.items() if "HSOSaveSchedule" not in name}}


def photograph(page: ComfyPage, node_type: str) -> Image.Image:
    page.of_node(node_type, "(node.pos = [0, argument], app.canvas.deselectAll(), null)", 5000)  # away from the others
    page.look_at(node_type, 1.0, LEFT, TOP)
    page.page.wait_for_timeout(500)  # the canvas is drawn
    width, height = page.of_node(node_type, "[...node.size]")
    clip = {"x": LEFT - ROOM, "y": TOP - TITLE - ROOM, "width": width + 2 * ROOM, "height": height + TITLE + 2 * ROOM}
    picture = Image.open(io.BytesIO(page.page.screenshot(clip=clip))).convert("RGB")
    page.of_node(node_type, "(node.pos = [0, -argument], null)", 5000)
    return picture


def write(picture: Image.Image, file: Path) -> None:
    """Few colours are enough for a node, and make a small file."""
    picture.quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"Wrote {file.relative_to(REPOSITORY)} ({file.stat().st_size / 1024:.0f} kB).")


def main() -> None:
    prompt = examples()
    types = [name for name in prompt if name.startswith("HSO")]
    weights = {workbench.WEIGHTS_VARIABLE: str(workbench.demo_weights())}
    with browser() as chromium, ComfyServer(workbench.node_packs(), environment=weights) as server:
        page = ComfyPage(chromium, server, "classic", size=PAGE, settings=HIDDEN)
        page.build(show_everything(prompt, types))
        page.page.evaluate(FIX_SEEDS)
        page.run()
        for node_type in [name for name in sys.argv[1:] or types if name != "HSOLoadSchedule"]:
            write(photograph(page, node_type), DOCS / f"{node_type}.png")
        if not sys.argv[1:] or "HSOLoadSchedule" in sys.argv:
            # Its list has the file only now, and the page reads the lists when it is loaded.
            page.load()
            load = node("HSOLoadSchedule", file="galaxies/six_00001_.safetensors [output]", model=["model", 0])
            page.build({"model": prompt["model"], "load": load, "show": demo_prompts.show_text("load", 1)})
            page.run()
            write(photograph(page, "HSOLoadSchedule"), DOCS / "HSOLoadSchedule.png")
        page.close()


if __name__ == "__main__":
    main()
