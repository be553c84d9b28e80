"""The pictures of the example workflows in ComfyUI's template browser, and of the help page of Plot Sigmas.

    .venv/bin/python -P benchmarks/pictures/thumbnails.py

Each workflow is opened in the real page, and photographed where its schedule is made. The plots are those of its own
schedule nodes, which run on the noise schedule of the workflow's model; no checkpoint is needed for that. Some
workflows show what they make instead: what the demonstration networks draw, the plot of schedules, the pictures of a
comparison, and what calibrations gain.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import workbench  # noqa: E402
from comfy_page import ComfyPage, browser  # noqa: E402
from comfy_server import ComfyServer  # noqa: E402
from demo_prompts import Prompt, node, on_demo_network  # noqa: E402
from saved_workflows import to_prompt  # noqa: E402

EXAMPLES = REPOSITORY / "example_workflows"
DEMO = REPOSITORY / "demo"
DRAWN = {"galaxies": "workflow_api.json", "emoji": "emoji_workflow_api.json"}
"""The workflows of the demonstration networks, and the files in which a program finds them."""
HELP_PICTURE = REPOSITORY / "web" / "docs" / "plot_schedules.png"
SIZE = (640, 400)
PAGE = (1280, 800)
ONLY_CANVAS = """
    body, body * { visibility: hidden !important }
    #graph-canvas, .dom-widget, .dom-widget * { visibility: visible !important }
"""
TITLE = 50  # of a node, above its position, with the name of its pack
STEPS = 5
SAMPLERS = ("HSOKSampler", "SamplerCustom", "SamplerCustomAdvanced")
PLOT, COMPARE, CALIBRATE, FIT = (
    "HSO 06 Plot schedules side by side", "HSO 07 Compare schedulers on your model", "HSO 08 Calibrate to your model",
    "HSO 12 A sampler for your own model",
)  # fmt: skip
FOCUS = {
    "HSO 01 First picture in 5 steps": ("CheckpointLoaderSimple", "CLIPTextEncode", "HSOOptimizeSchedule", "SaveImage"),
    "HSO 04 Image to image": ("LoadImage", "VAEEncode", "HSOOptimizeSchedule"),
    "HSO 05 Draw your own sigmas": ("HSOCustomSigmas",),
    "HSO 09 Two models in a row (Wan)": ("HSOOptimizeSchedule", "HSOSplitSchedule"),
}
SCHEDULE_NODES = {"HSOOptimizeSchedule", "HSOCustomSigmas", "HSOSplitSchedule"}
OUTPUTS = {"SaveImage", "PreviewImage", "PreviewAny", "HSOSaveSchedule"}
# Core's nodes put the noise schedule of the workflow's model on to whatever model they get.
SD_NOISE = {"class_type": "ModelSamplingDiscrete", "sampling": "eps", "zsnr": False}
FLOW_NOISE = {"class_type": "ModelSamplingFlux", "max_shift": 1.15, "base_shift": 0.5, "width": 1024, "height": 1024}

Box = tuple[float, float, float, float]


def photograph(page: ComfyPage, workflow: Path) -> Image.Image:
    """The nodes of the workflow that make and use the schedule, with their plots."""
    saved = json.loads(workflow.read_text("utf-8"))
    page.open_workflow(saved)
    page.page.add_style_tag(content=ONLY_CANVAS)
    show_plots(page, saved)
    left, top, right, bottom = box_of(page, FOCUS.get(workflow.stem, ("HSOOptimizeSchedule", *SAMPLERS)))
    scale = 0.92 * min(PAGE[0] / (right - left), PAGE[1] / (bottom - top))
    offset = [PAGE[0] / 2 / scale - (left + right) / 2, PAGE[1] / 2 / scale - (top + bottom) / 2]
    page.page.evaluate(
        "view => { Object.assign(app.canvas.ds, view); app.canvas.setDirty(true, true) }",
        {"scale": scale, "offset": offset},
    )
    page.page.wait_for_timeout(800)  # the canvas is drawn
    return Image.open(io.BytesIO(page.page.screenshot()))


def show_plots(page: ComfyPage, workflow: dict[str, Any]) -> None:
    """Give the schedule nodes of a workflow that is open what a run would."""
    for number, output in schedule_outputs(page.server, workflow).items():
        page.page.evaluate("([id, output]) => app.graph.getNodeById(id).onExecuted?.(output)", [int(number), output])
    page.settle()


def schedule_outputs(server: ComfyServer, workflow: dict[str, Any]) -> dict[str, Any]:
    """What the schedule nodes of a workflow send to the page, by node id: they need only the noise of its model."""
    prompt = {
        number: entry
        for number, entry in to_prompt(workflow, server.object_info()).items()
        if entry["class_type"] in SCHEDULE_NODES
    }
    flow = any(entry["type"] in ("FluxGuidance", "UNETLoader") for entry in workflow["nodes"])
    for entry in prompt.values():
        for name, value in entry["inputs"].items():
            if isinstance(value, list) and value[0] not in prompt:
                entry["inputs"][name] = ["noise", 0]
    shown = {f"show {number}": node("PreviewAny", source=[number, 0]) for number in prompt}
    model = {"model": node("HSODemoModel"), "noise": node(**(FLOW_NOISE if flow else SD_NOISE), model=["model", 0])}
    outputs = server.run({**model, **prompt, **shown})["outputs"]
    return {number: outputs[number] for number in prompt if "hso_plot" in outputs.get(number, {})}


def box_of(page: ComfyPage, types: tuple[str, ...]) -> Box:
    """What the nodes of these types cover, in the workflow's own units."""
    boxes = page.page.evaluate(
        "types => app.graph.nodes.filter(node => types.includes(node.type)).map(node => [...node.pos, ...node.size])",
        list(types),
    )
    return (
        min(x for x, _, _, _ in boxes),
        min(y for _, y, _, _ in boxes) - TITLE,
        max(x + width for x, _, width, _ in boxes),
        max(y + height for _, y, _, height in boxes),
    )


def drawn(server: ComfyServer, workflow: Path) -> Image.Image:
    """Six pictures of a demonstration network, side by side."""
    prompt = json.loads(workflow.read_text("utf-8"))
    pictures = [Image.open(io.BytesIO(server.fetch(file))) for file in server.files(server.run(prompt))][:6]
    sheet = Image.new("RGB", (3 * 256, 2 * 256))
    for k, picture in enumerate(pictures):
        sheet.paste(picture, (k % 3 * 256, k // 3 * 256))
    return sheet.crop((0, 16, 768, 496))


def comparison(server: ComfyServer) -> Image.Image:
    """What Plot Sigmas draws of schedules for Stable Diffusion 1.5."""
    from hso_core import named_schedule, optimize_schedule
    from hso_core.schedule.sigmas import print_sigmas

    ours = print_sigmas(optimize_schedule(named_schedule("sd15"), STEPS).to_tensor())
    presets = ("AYS SD 1.5", "GITS SD 1.5", "DM-NonUniform SD")
    prompt = {
        "ours": node("HSOCustomSigmas", text=ours, steps=0, resampling="log-linear"),
        "karras": node("KarrasScheduler", steps=STEPS, sigma_max=14.614642, sigma_min=0.0291675, rho=7.0),
        **{name: node("HSOPresetSchedule", preset=name, steps=STEPS, denoise=1.0) for name in presets},
    }
    sockets = {f"schedule_{k}": [name, 0] for k, name in enumerate(prompt, start=1)}
    options = {"names": "hso\nkarras", "axis": "log sigma", "theme": "dark", "width": 1024, "height": 640}
    prompt["plot"] = node("HSOPlotSchedules", **sockets, **options)
    prompt["save"] = node("SaveImage", images=["plot", 0], filename_prefix="plot")
    (file,) = server.files(server.run(prompt))
    return Image.open(io.BytesIO(server.fetch(file)))


def measured(server: ComfyServer) -> Iterator[Image.Image]:
    """On the demonstration network: what Compare Schedulers shows of pictures side by side, its ranking with a
    calibrated schedule, and that with a fitted sampler beside other samplers."""
    workflows = [json.loads((EXAMPLES / f"{name}.json").read_text("utf-8")) for name in (COMPARE, CALIBRATE, FIT)]
    compare, calibrate, fit = (on_demo_network(to_prompt(saved, server.object_info())) for saved in workflows)
    (number,) = (number for number, entry in compare.items() if entry["class_type"] == "HSOCompareSchedules")
    same = {name: compare[number]["inputs"][name] for name in ("model", "positive", "negative", "latent_image")}
    kept = {k: entry for k, entry in compare.items() if entry["class_type"] not in OUTPUTS}

    def ranking(made: Prompt, kind: str, socket: str, **changes: Any) -> None:
        (entry,) = (entry for entry in made.values() if entry["class_type"] == kind)
        kept[kind] = node(kind, **{**entry["inputs"], **same})
        with_it = {**compare[number]["inputs"], socket: [kind, 0], "steps": entry["inputs"]["steps"], **changes}
        kept[f"with {kind}"] = node("HSOCompareSchedules", **{**with_it, "pictures": 16, "seed": 1000})

    ranking(calibrate, "HSOCalibrateSchedule", "schedule_1")
    ranking(fit, "HSOCalibrateSampler", "sampler_1", schedulers="hso, exponential, uni_pc exponential, euler hso")
    for source, output in ((number, 2), ("with HSOCalibrateSchedule", 1), ("with HSOCalibrateSampler", 1)):
        prompt = {**kept, "save": node("SaveImage", images=[source, output], filename_prefix="measured")}
        (file,) = server.files(server.run(prompt))
        picture = Image.open(io.BytesIO(server.fetch(file))).convert("RGB")
        yield ImageOps.pad(picture, SIZE, Image.Resampling.LANCZOS, picture.getpixel((0, 0)))


def write(picture: Image.Image, file: Path) -> None:
    picture.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS).save(file, quality=85, optimize=True)
    print(f"Wrote {file.relative_to(REPOSITORY)} ({file.stat().st_size / 1024:.0f} kB).")


def main() -> None:
    sys.path.insert(0, str(REPOSITORY))
    weights = {workbench.WEIGHTS_VARIABLE: str(workbench.demo_weights())}
    arguments = ["--cache-none"]  # what comes from the cache sends no plot
    with ComfyServer(workbench.node_packs(), environment=weights, extra_arguments=arguments) as server:
        plot = comparison(server)
        plot.resize((768, 480), Image.Resampling.LANCZOS).save(HELP_PICTURE, optimize=True)
        write(plot, EXAMPLES / f"{PLOT}.jpg")
        for name, picture in zip((COMPARE, CALIBRATE, FIT), measured(server), strict=True):
            write(picture, EXAMPLES / f"{name}.jpg")
        for name, workflow in DRAWN.items():
            write(drawn(server, DEMO / workflow), DEMO / "example_workflows" / f"{name}.jpg")
        with browser() as chromium:
            page = ComfyPage(chromium, server, "classic", size=PAGE, settings={"Comfy.Graph.CanvasInfo": False})
            for workflow in sorted(EXAMPLES.glob("*.json")):
                if workflow.stem not in (PLOT, COMPARE, CALIBRATE, FIT):
                    write(photograph(page, workflow), workflow.with_suffix(".jpg"))
            page.close()


if __name__ == "__main__":
    main()
