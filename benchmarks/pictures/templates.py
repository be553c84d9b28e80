"""The example workflows, written from what follows: nodes, wires, places and words.

    .venv/bin/python -P benchmarks/pictures/templates.py

ComfyUI shows a template of a pack by the name of its file, in the order of the names, and has no other title or
description for it. So the names are titles. The names that the files had before are kept, compressed: the server
still gives them to whoever asks for the old name, and its list does not show them.
"""

from __future__ import annotations

import gzip
import json
import sys
import uuid
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import workbench  # noqa: E402
from comfy_server import ComfyServer  # noqa: E402
from saved_workflows import is_widget, widgets, wires_under_nodes  # noqa: E402

FOLDER = REPOSITORY / "example_workflows"
DEMO_FOLDER = REPOSITORY / "demo" / "example_workflows"
OLD_NAMES = {
    "hso_ksampler": "HSO 01 First picture in 5 steps",
    "hso_flow": "HSO 03 Flux in 8 steps",
    "hso_img2img": "HSO 04 Image to image",
    "hso_custom_sigmas": "HSO 05 Draw your own sigmas",
    "hso_compare": "HSO 07 Compare schedulers on your model",
    "hso_calibrate": "HSO 08 Calibrate to your model",
    "hso_split": "HSO 09 Two models in a row (Wan)",
    "hso_sampler_custom": "HSO 10 With SamplerCustom",
    "hso_sampler_custom_advanced": "HSO 11 With SamplerCustomAdvanced",
}

# As in ComfyUI's own templates: the page offers to download what is missing.
HUB = "https://huggingface.co/"
MODELS = {
    "v1-5-pruned-emaonly-fp16.safetensors": ("checkpoints", "Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/"),
    "sd_xl_base_1.0.safetensors": ("checkpoints", "stabilityai/stable-diffusion-xl-base-1.0/resolve/main/"),
    "flux1-dev-fp8.safetensors": ("checkpoints", "Comfy-Org/flux1-dev/resolve/main/"),
    **{
        f"wan2.2_t2v_{noise}_noise_14B_fp8_scaled.safetensors": (
            "diffusion_models",
            "Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files/diffusion_models/",
        )
        for noise in ("high", "low")
    },
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors": (
        "text_encoders",
        "Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files/text_encoders/",
    ),
    "wan_2.1_vae.safetensors": (
        "vae",
        "Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files/vae/",
    ),
}
SD15, SDXL, FLUX = (name for name in MODELS if MODELS[name][0] == "checkpoints")
SHOW = "Prompt: what to show"
AVOID = "Negative prompt: what to avoid"
PROMPT = "a lighthouse on a cliff at sunset, calm sea, warm light, detailed oil painting"
NEGATIVE = "text, watermark, blurry, deformed"

Node = dict[str, Any]
Nodes = dict[str, Node]


def node(kind: str, place: tuple[int, int], size: tuple[int, int], title: str = "", **inputs: Any) -> Node:
    """One node; an input is a widget's value, or a wire (name of the other node, index of its output)."""
    return {"kind": kind, "pos": list(place), "size": list(size), "title": title, "inputs": inputs}


def note(text: str, place: tuple[int, int], size: tuple[int, int]) -> Node:
    return node("MarkdownNote", place, size, "Read me", text=text)


def text_to_image(words: str, checkpoint: str, steps: int, size: int = 512, **changes: Node) -> Nodes:
    """The graph that most of the templates are: a checkpoint, prompts, a schedule, KSampler (HSO), a picture."""
    return {
        "note": note(words, (40, 60), (300, 300)),
        "loader": node("CheckpointLoaderSimple", (40, 450), (300, 98), ckpt_name=checkpoint),
        "show": node("CLIPTextEncode", (400, 60), (380, 88), SHOW, clip=("loader", 1), text=PROMPT),
        "avoid": node("CLIPTextEncode", (400, 180), (380, 88), AVOID, clip=("loader", 1), text=NEGATIVE),
        "latent": node("EmptyLatentImage", (400, 302), (380, 106), width=size, height=size, batch_size=1),
        "schedule": node("HSOOptimizeSchedule", (400, 570), (380, 400), model=("loader", 0), steps=steps),
        "sample": node(
            "HSOKSampler", (840, 460), (300, 264), model=("loader", 0), positive=("show", 0), negative=("avoid", 0),
            latent_image=("latent", 0), sigmas=("schedule", 0), seed=42, cfg=7.0, sampler_name="dpmpp_2m",
        ),
        "report": node("PreviewAny", (840, 780), (300, 350), "The schedule that was found", source=("schedule", 1)),
        "decode": node("VAEDecode", (1200, 325), (180, 46), samples=("sample", 0), vae=("loader", 2)),
        "save": node("SaveImage", (1440, 325), (380, 430), images=("decode", 0), filename_prefix="hso"),
        **changes,
    }  # fmt: skip


def first_picture() -> Nodes:
    return text_to_image(
        "## A picture in 5 steps\n\n1. Choose a checkpoint of the **Stable Diffusion 1.5** kind, write what you want "
        "to see, and press **Run**.\n2. *Scheduler (HSO)* works out the noise levels for the steps you ask for, from "
        "the model itself.\n3. Change *steps* to 4 ... 8 and compare.\n\nFor SDXL, Flux and image to image there are "
        "templates of their own.",
        SD15,
        5,
    )


def sdxl() -> Nodes:
    return text_to_image(
        "## SDXL in 6 steps\n\nFor **SDXL** and the models made from it (Illustrious, Pony ...), at 1024 x 1024.\n\n"
        "*dpmpp_2m* is a good sampler for few steps. A distilled model (Turbo, Lightning, Hyper, DMD2) has its own "
        "list: *Preset Sigmas (HSO)*, or the sampler, steps and cfg of its model card.",
        SDXL,
        6,
        1024,
    )


def flux() -> Nodes:
    nodes = text_to_image(
        "## Flux in 8 steps\n\nA **flow model**: Flux.1 dev. *Scheduler (HSO)* sees that, with the model's shift, and "
        "starts at exactly 1.\n\n*cfg* stays at 1, and *euler* is a good sampler for few steps.\n\nFor SD3, Qwen and "
        "Chroma: leave *FluxGuidance* out, take the cfg that your model needs and its own latent node. After "
        "*ModelSamplingSD3* or *ModelSamplingFlux* connect the MODEL that comes out of it.",
        FLUX,
        8,
        1024,
    )
    nodes["avoid"]["inputs"]["text"] = ""
    nodes["latent"]["kind"] = "EmptySD3LatentImage"
    nodes["guidance"] = node("FluxGuidance", (840, 60), (300, 58), conditioning=("show", 0), guidance=3.5)
    nodes["sample"]["inputs"] |= {"positive": ("guidance", 0), "cfg": 1.0, "sampler_name": "euler"}
    move(nodes, 360, "sample", "report", "decode", "save")
    return nodes


def image_to_image() -> Nodes:
    nodes = text_to_image(
        "## Image to image\n\nLoad a picture of about 512 x 512. *denoise* 0.6 in *Scheduler (HSO)* keeps its "
        "composition; lower values change less.\n\nAll 5 steps are used for the part that is left.",
        SD15,
        5,
        picture=node("LoadImage", (40, 600), (300, 340), image="example.png"),
        latent=node("VAEEncode", (400, 330), (380, 46), pixels=("picture", 0), vae=("loader", 2)),
    )
    nodes["schedule"]["inputs"]["denoise"] = 0.6
    return nodes


def own_sigmas() -> Nodes:
    nodes = text_to_image(
        "## Your own sigmas\n\nThe schedule is text in *Custom Sigmas (HSO)*, so everybody who opens this file samples "
        "with exactly these values. Drag the points, type, or paste a list.\n\nThese are the 5 optimised steps for "
        "**Stable Diffusion 1.5**. For another model paste the line *sigmas: ...* of the report of *Scheduler (HSO)*, "
        "or a list that was made for your kind of model.",
        SD15,
        5,
        schedule=node(
            "HSOCustomSigmas",
            (400, 570),
            (380, 450),
            model=("loader", 0),
            text="11.54277, 4.7053785, 1.962492, 0.8081431, 0.16731374, 0",
        ),  # fmt: skip
    )
    del nodes["report"]
    return nodes


def plot() -> Nodes:
    def core(scheduler: str, y: int) -> Node:
        return node("BasicScheduler", (400, y), (300, 106), model=("loader", 0), scheduler=scheduler, steps=5)

    names = ("ours", "karras", "beta", "preset")
    return {
        "note": note(
            "## Schedules side by side\n\nFour schedules for the same model and 5 steps, in one picture. Nothing is "
            "sampled: it takes a moment.\n\nConnect up to eight, or more *Plot Sigmas (HSO)* in a row. What the "
            "pictures look like is measured by *Compare Schedulers (HSO)*, in the next template.",
            (40, 60),
            (300, 300),
        ),
        "loader": node("CheckpointLoaderSimple", (40, 430), (300, 98), ckpt_name=SD15),
        "karras": core("karras", 60),
        "beta": core("beta", 216),
        "preset": node("HSOPresetSchedule", (400, 980), (300, 400), model=("loader", 0), preset="AYS SD 1.5", steps=5),
        "ours": node("HSOOptimizeSchedule", (400, 372), (300, 400), model=("loader", 0), steps=5),
        "plot": node(
            "HSOPlotSchedules", (760, 372), (440, 640),
            **{f"schedule_{k}": (name, 0) for k, name in enumerate(names, start=1)},
        ),
        "picture": node("PreviewImage", (1260, 60), (520, 380), images=("plot", 0)),
        "table": node("PreviewAny", (1260, 500), (520, 300), "All values", source=("plot", 1)),
    }  # fmt: skip


def compare() -> Nodes:
    return {
        "note": note(
            "## Which scheduler is best here?\n\n1. Choose a checkpoint, write a typical prompt of yours, and press "
            "**Run**.\n2. *Compare Schedulers (HSO)* samples the same seeds with each scheduler and measures how far "
            "every picture is from the converged one. This takes as long as 18 pictures of 20 steps.\n3. The first "
            "line of the table is the scheduler to use. From 16 *pictures* on the ranking is steady.",
            (40, 60),
            (300, 330),
        ),
        "loader": node("CheckpointLoaderSimple", (40, 460), (300, 98), ckpt_name=SD15),
        "show": node("CLIPTextEncode", (400, 60), (340, 120), SHOW, clip=("loader", 1), text=PROMPT),
        "avoid": node("CLIPTextEncode", (400, 230), (340, 100), AVOID, clip=("loader", 1), text=NEGATIVE),
        "latent": node("EmptyLatentImage", (400, 600), (340, 106), width=512, height=512, batch_size=1),
        "compare": node(
            "HSOCompareSchedules", (800, 420), (420, 770), latent_image=("latent", 0), model=("loader", 0),
            positive=("show", 0), negative=("avoid", 0), vae=("loader", 2), steps=6, cfg=7.0, sampler_name="dpmpp_2m",
            schedulers="hso, karras, exponential, simple, beta", pictures=4,
        ),
        "table": node("PreviewAny", (1280, 60), (460, 260), "Distances, best first", source=("compare", 0)),
        "ranking": node("PreviewImage", (1280, 380), (460, 300), "Ranking", images=("compare", 1)),
        "grid": node("PreviewImage", (1280, 740), (460, 420), "The same seeds side by side", images=("compare", 2)),
    }  # fmt: skip


def calibrate() -> Nodes:
    return {
        "note": note(
            "## Steps for your own model\n\n1. Choose a checkpoint, write a typical prompt of yours, and press **Run**."
            "\n2. *Calibrate Sigmas (HSO)* tries schedules on this model, sampler, guidance and size, and keeps the "
            "best: *quick* takes as long as 15 pictures of 20 steps, *normal* as 100, and finds better ones. Later "
            "runs get it at once.\n3. *Save Sigmas (HSO)* keeps it as a file. In another workflow *Load Sigmas (HSO)* "
            "takes the place of *Scheduler (HSO)*; or copy *Calibrate Sigmas (HSO)* there.",
            (40, 60),
            (300, 340),
        ),
        "loader": node("CheckpointLoaderSimple", (40, 460), (300, 98), ckpt_name=SD15),
        "show": node("CLIPTextEncode", (400, 60), (320, 120), SHOW, clip=("loader", 1), text=PROMPT),
        "avoid": node("CLIPTextEncode", (400, 230), (320, 100), AVOID, clip=("loader", 1), text=NEGATIVE),
        "latent": node("EmptyLatentImage", (400, 600), (320, 106), width=512, height=512, batch_size=1),
        "calibrate": node(
            "HSOCalibrateSchedule", (780, 420), (400, 576), latent_image=("latent", 0), model=("loader", 0),
            positive=("show", 0), negative=("avoid", 0), steps=5, cfg=7.0, sampler_name="dpmpp_2m", budget="quick",
        ),
        "report": node("PreviewAny", (1240, 60), (400, 360), "What was found", source=("calibrate", 1)),
        "keep": node(
            "HSOSaveSchedule", (1240, 500), (400, 494), sigmas=("calibrate", 0), name="calibrated", sampler="dpmpp_2m",
        ),
    }  # fmt: skip


def own_sampler() -> Nodes:
    prompts = {"positive": ("show", 0), "negative": ("avoid", 0), "latent_image": ("latent", 0)}
    return text_to_image(
        "## A sampler for your own model\n\n1. Choose a checkpoint, write a typical prompt of yours, and press **Run**."
        "\n2. *Calibrate Sampler (HSO)* fits a sampler and its schedule to this model, guidance and size: *quick* "
        "takes as long as 15 pictures of 20 steps, *normal* as 100. Later runs get it at once.\n3. To share the "
        "workflow put *Fitted Sampler (HSO)* behind it, run once, and press **keep in the workflow** there.",
        SD15,
        5,
        schedule=node(
            "HSOCalibrateSampler", (860, 640), (380, 560), model=("loader", 0), **prompts, steps=5, cfg=7.0,
            budget="quick",
        ),
        sample=node(
            "HSOKSampler", (1300, 470), (300, 284), model=("loader", 0), **prompts, sampler=("schedule", 0),
            sigmas=("schedule", 1), seed=42, cfg=7.0,
        ),
        report=node("PreviewAny", (1300, 810), (380, 340), "What was found", source=("schedule", 2)),
        decode=node("VAEDecode", (1660, 300), (180, 46), samples=("sample", 0), vae=("loader", 2)),
        save=node("SaveImage", (1900, 300), (380, 430), images=("decode", 0), filename_prefix="hso"),
    )  # fmt: skip


def two_models() -> Nodes:
    def loader(noise: str, place: tuple[int, int], width: int) -> Node:
        name = f"wan2.2_t2v_{noise}_noise_14B_fp8_scaled.safetensors"
        return node("UNETLoader", place, (width, 82), f"{noise.capitalize()}-noise model", unet_name=name)

    sampling = {"positive": ("show", 0), "negative": ("avoid", 0), "seed": 42, "cfg": 3.5, "sampler_name": "euler"}
    lighthouse = "a lighthouse on a cliff at sunset, waves roll in, slow camera movement"
    return {
        "note": note(
            "## Two models in a row\n\n**Wan 2.2**: the steps that start above sigma 0.875 go to the high-noise model, "
            "the others, from 0.875 on, to the low-noise one. For image to video use 0.9.\n\n*Split Sigmas (HSO)* "
            "moves the nearest step exactly on to the boundary, so the number of steps stays. The second sampler has "
            "*add_noise* off.",
            (40, 60),
            (300, 400),
        ),
        "high model": loader("high", (40, 630), 300),
        "clip": node(
            "CLIPLoader", (40, 780), (300, 106), clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors", type="wan"
        ),
        "schedule": node("HSOOptimizeSchedule", (400, 60), (340, 400), model=("high model", 0), steps=8),
        "show": node("CLIPTextEncode", (400, 745), (340, 90), SHOW, clip=("clip", 0), text=lighthouse),
        "avoid": node("CLIPTextEncode", (400, 880), (340, 88), AVOID, clip=("clip", 0), text=NEGATIVE),
        "latent": node("EmptyHunyuanLatentVideo", (400, 1000), (340, 130), width=640, height=640, length=49),
        "split": node("HSOSplitSchedule", (800, 60), (230, 468), sigmas=("schedule", 0), sigma=0.875, keep_steps=True),
        "low model": loader("low", (1090, 20), 270),
        "high": node(
            "HSOKSampler", (1090, 710), (270, 264), "High noise", model=("high model", 0), latent_image=("latent", 0),
            sigmas=("split", 0), **sampling,
        ),
        "low": node(
            "HSOKSampler", (1420, 420), (270, 264), "Low noise", model=("low model", 0), latent_image=("high", 0),
            sigmas=("split", 1), add_noise=False, **sampling,
        ),
        "vae": node("VAELoader", (1420, 780), (270, 58), vae_name="wan_2.1_vae.safetensors"),
        "decode": node("VAEDecode", (1750, 420), (150, 46), samples=("low", 0), vae=("vae", 0)),
        "save": node(
            "SaveAnimatedWEBP", (1960, 420), (320, 420), images=("decode", 0), filename_prefix="hso_wan", fps=16.0,
            lossless=False, quality=80,
        ),
    }  # fmt: skip


def with_sampler_custom() -> Nodes:
    nodes = text_to_image(
        "## SamplerCustom\n\nComfyUI's own *SamplerCustom* takes the schedule too. The picture is the same as with "
        "*KSampler (HSO)* and the same seed.",
        SD15,
        5,
        sampler=node("KSamplerSelect", (840, 640), (300, 58), sampler_name="dpmpp_2m"),
        sample=node(
            "SamplerCustom", (1200, 440), (300, 260), model=("loader", 0), positive=("show", 0), negative=("avoid", 0),
            sampler=("sampler", 0), sigmas=("schedule", 0), latent_image=("latent", 0), noise_seed=42, cfg=7.0,
        ),
    )  # fmt: skip
    move(nodes, 360, "decode", "save")
    return nodes


def with_sampler_custom_advanced() -> Nodes:
    nodes = text_to_image(
        "## SamplerCustomAdvanced\n\nAs many Flux, SD3 and Wan workflows have it.\n\nIn your own workflow: put "
        "*Scheduler (HSO)* in the place of *BasicScheduler*, and give it the same MODEL that goes into the guider.",
        SD15,
        5,
        guider=node(
            "CFGGuider", (840, 455), (300, 98), model=("loader", 0), positive=("show", 0), negative=("avoid", 0),
            cfg=7.0,
        ),
        noise=node("RandomNoise", (840, 60), (300, 82), noise_seed=42),
        sampler=node("KSamplerSelect", (840, 190), (300, 58), sampler_name="dpmpp_2m"),
        sample=node(
            "SamplerCustomAdvanced", (1200, 440), (240, 110), noise=("noise", 0), guider=("guider", 0),
            sampler=("sampler", 0), sigmas=("schedule", 0), latent_image=("latent", 0),
        ),
    )  # fmt: skip
    nodes["latent"] |= {"pos": [840, 640], "size": [300, 106]}
    nodes["sample"]["pos"] = [1200, 500]
    nodes["report"]["pos"] = [840, 830]
    move(nodes, 300, "decode", "save")
    nodes["decode"]["pos"][1] = nodes["save"]["pos"][1] = 240
    return nodes


def galaxies() -> Nodes:
    """Of a demonstration network: what dev.py run makes."""
    return {
        "note": note(
            "## Galaxies\n\nPress **Run**: a small network draws galaxies in 5 steps.\n\n*Scheduler (HSO)* reads the "
            "network's own noise schedule and finds the steps. Change *steps* or the *seed* and run again.",
            (40, 60),
            (300, 200),
        ),
        "model": node("HSODemoModel", (40, 330), (300, 50)),
        "latent": node("HSODemoLatent", (40, 430), (300, 58), batch_size=8),
        "schedule": node("HSOOptimizeSchedule", (400, 500), (400, 400), model=("model", 0), steps=5),
        "sample": node(
            "HSOKSampler", (860, 330), (300, 264), model=("model", 0), positive=("model", 1), negative=("model", 1),
            latent_image=("latent", 0), sigmas=("schedule", 0), seed=1, cfg=1.0, sampler_name="dpmpp_2m",
        ),
        "report": node("PreviewAny", (860, 670), (300, 390), "The schedule that was found", source=("schedule", 1)),
        "image": node("HSODemoImage", (1220, 330), (240, 30), samples=("sample", 0)),
        "save": node("SaveImage", (1520, 330), (560, 430), images=("image", 0), filename_prefix="galaxy"),
    }  # fmt: skip


def emoji() -> Nodes:
    """Of the other demonstration network, which has classes and guidance."""
    nodes = galaxies()
    nodes["note"] = note(
        "## Emoji\n\nPress **Run**: a small network draws hearts in 8 steps. A class guides it, as a prompt guides "
        "Stable Diffusion, and its noise schedule is Stable Diffusion's.\n\nChange the *class*, *cfg*, *steps* or the "
        "*seed* and run again.",
        (40, 60),
        (300, 200),
    )
    nodes["model"] = node("HSODemoEmojiModel", (40, 330), (300, 58), prediction="eps")
    nodes["latent"]["pos"] = [40, 670]
    nodes["show"] = node("HSODemoClass", (40, 440), (300, 58), SHOW, name="hearts")
    nodes["avoid"] = node("HSODemoClass", (40, 550), (300, 58), AVOID, name="anything")
    nodes["schedule"]["pos"] = [400, 780]
    nodes["schedule"]["inputs"]["steps"] = 8
    nodes["sample"]["inputs"] |= {"positive": ("show", 0), "negative": ("avoid", 0), "cfg": 5.0}
    nodes["save"]["inputs"]["filename_prefix"] = "emoji"
    return nodes


def move(nodes: Nodes, right: int, *names: str) -> None:
    for name in names:
        nodes[name]["pos"][0] += right


TEMPLATES = {
    "HSO 01 First picture in 5 steps": first_picture,
    "HSO 02 SDXL in 6 steps": sdxl,
    "HSO 03 Flux in 8 steps": flux,
    "HSO 04 Image to image": image_to_image,
    "HSO 05 Draw your own sigmas": own_sigmas,
    "HSO 06 Plot schedules side by side": plot,
    "HSO 07 Compare schedulers on your model": compare,
    "HSO 08 Calibrate to your model": calibrate,
    "HSO 09 Two models in a row (Wan)": two_models,
    "HSO 10 With SamplerCustom": with_sampler_custom,
    "HSO 11 With SamplerCustomAdvanced": with_sampler_custom_advanced,
    "HSO 12 A sampler for your own model": own_sampler,
}


def as_saved(name: str, nodes: Nodes, object_info: dict[str, Any]) -> dict[str, Any]:
    """The workflow as the browser saves it."""
    ids = {key: number for number, key in enumerate(nodes, start=1)}
    links: list[list[Any]] = []
    saved = {key: _saved_node(ids[key], entry, object_info) for key, entry in nodes.items()}
    for key, entry in nodes.items():
        for slot, given in enumerate(saved[key]["inputs"]):
            wire = entry["inputs"].get(given["name"])
            if isinstance(wire, tuple):
                source, output = wire
                links.append([len(links) + 1, ids[source], output, ids[key], slot, given["type"]])
                given["link"] = len(links)
                sender = saved[source]["outputs"][output]
                sender["links"] = [*(sender["links"] or []), len(links)]
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
        "revision": 0,
        "last_node_id": len(ids),
        "last_link_id": len(links),
        "nodes": list(saved.values()),
        "links": links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def _saved_node(number: int, entry: Node, object_info: dict[str, Any]) -> Node:
    kind, given = entry["kind"], dict(entry["inputs"])
    head = {"id": number, "type": kind, "pos": entry["pos"], "size": entry["size"]}
    head |= {"flags": {}, "order": number - 1, "mode": 0}
    title = {"title": entry["title"]} if entry["title"] else {}
    if kind == "MarkdownNote":
        yellow = {"color": "#432", "bgcolor": "#653"}
        return {
            **head,
            "inputs": [],
            "outputs": [],
            **title,
            "properties": {},
            "widgets_values": [given["text"]],
            **yellow,
        }
    definition = object_info[kind]
    sockets = [
        {"name": name, "type": spec[0], **({"shape": 7} if group == "optional" else {}), "link": None}
        for group in ("required", "optional")
        for name, spec in definition["input"].get(group, {}).items()
        if not is_widget(spec[0])
    ]
    values = [_value(name, options, spec, given) for name, spec, options in widgets(definition)]
    unknown = given.keys() - {s["name"] for s in sockets} - {name for name, _, _ in widgets(definition)}
    assert not unknown, f"{kind} has no {unknown}"
    outputs = [
        {"name": name, "type": sent, "links": None}
        for name, sent in zip(definition["output_name"], definition["output"], strict=True)
    ]
    models = [
        {"name": value, "url": f"{HUB}{MODELS[value][1]}{value}", "directory": MODELS[value][0]}
        for value in values
        if isinstance(value, str) and value in MODELS
    ]
    properties = {"Node name for S&R": kind, **({"models": models} if models else {})}
    return {**head, "inputs": sockets, "outputs": outputs, **title, "properties": properties, "widgets_values": values}


def _value(name: str, options: dict[str, Any], kind: Any, given: dict[str, Any]) -> Any:
    """The value of a widget; behind a seed that of the browser's own, which keeps the seed."""
    if not name:
        return "image" if kind == "STRING" else "fixed"
    choices = kind if isinstance(kind, list) else options.get("options", [None])
    return given[name] if name in given else options.get("default", choices[0])


def as_text(workflow: dict[str, Any]) -> str:
    return json.dumps(workflow, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    with ComfyServer(workbench.node_packs()) as server:
        object_info = server.object_info()
    for name, build in TEMPLATES.items():
        workflow = as_saved(name, build(), object_info)
        text = as_text(workflow)
        (FOLDER / f"{name}.json").write_text(text, "utf-8")
        for old in (old for old, new in OLD_NAMES.items() if new == name):
            (FOLDER / f"{old}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
        print(f"{name}: {len(workflow['nodes'])} nodes", *wires_under_nodes(workflow), sep="\n  ")
    for build in (galaxies, emoji):
        name = build.__name__
        (DEMO_FOLDER / f"{name}.json").write_text(as_text(as_saved(name, build(), object_info)), "utf-8")


if __name__ == "__main__":
    main()
