"""Nodes around two small networks, of galaxies and of emoji: the models, a class, an empty latent, and pictures."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from comfy_api.v0_0_2 import ComfyExtension, io

from . import emoji_picture, galaxy_picture
from .emoji_model import load_emoji_model
from .emoji_network import CLASSES, class_context
from .galaxy_model import empty_latents, load_galaxy_model

CATEGORY = "HSO/demo"
WEIGHTS_VARIABLE = "HSO_DEMO_WEIGHTS"
ANYTHING = "anything"
PICTURES = {1: galaxy_picture.latents_to_pictures, 3: emoji_picture.latents_to_pictures}
"""By the number of channels."""


def weights_file() -> Path:
    """The weights' file that the environment names; RuntimeError with what to do when there is none."""
    named = os.environ.get(WEIGHTS_VARIABLE, "")
    if not named:
        raise RuntimeError(
            f"HSO Demo Model: the variable {WEIGHTS_VARIABLE} is not set. Start the server with 'python3 dev.py run', "
            "which downloads the network and sets it."
        )
    if not Path(named).is_file():
        raise RuntimeError(f"HSO Demo Model: {WEIGHTS_VARIABLE} names {named}, and there is no such file.")
    return Path(named)


class DemoModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HSODemoModel",
            display_name="HSO Demo Model",
            category=CATEGORY,
            description="A small pretrained diffusion network that draws galaxies of 32 x 32 pixels. Unconditional: "
            "the conditioning has no effect and serves as both positive and negative.",
            inputs=[],
            outputs=[io.Model.Output(), io.Conditioning.Output()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        conditioning = [[torch.zeros(1, 1, 8), {"pooled_output": torch.zeros(1, 8)}]]
        return io.NodeOutput(load_galaxy_model(weights_file()), conditioning)


class DemoEmojiModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HSODemoEmojiModel",
            display_name="HSO Demo Emoji Model",
            category=CATEGORY,
            description="A small diffusion network that draws emoji of 32 x 32 pixels on the noise schedule of Stable "
            "Diffusion. It follows a class, so that guidance (cfg) has an effect: see HSO Demo Class.",
            inputs=[
                io.Combo.Input(
                    "prediction",
                    options=["eps", "v"],
                    default="eps",
                    tooltip="eps: as Stable Diffusion 1.5. v: its schedule reaches pure noise (zero terminal SNR).",
                )
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, prediction: str) -> io.NodeOutput:
        return io.NodeOutput(load_emoji_model(prediction))


class DemoClass(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HSODemoClass",
            display_name="HSO Demo Class",
            category=CATEGORY,
            description="What HSO Demo Emoji Model draws, in the place of a prompt. "
            f"'{ANYTHING}' is the empty prompt, for the negative.",
            inputs=[io.Combo.Input("name", options=[ANYTHING, *CLASSES], default=ANYTHING)],
            outputs=[io.Conditioning.Output()],
        )

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        context = class_context(name)
        return io.NodeOutput([[context, {"pooled_output": torch.zeros_like(context[0])}]])


class DemoLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HSODemoLatent",
            display_name="HSO Demo Latent",
            category=CATEGORY,
            description="Empty latents of 32 x 32 for HSO Demo Model and HSO Demo Emoji Model.",
            inputs=[io.Int.Input("batch_size", default=4, min=1, max=4096, tooltip="Number of pictures.")],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(cls, batch_size: int) -> io.NodeOutput:
        return io.NodeOutput(empty_latents(batch_size))


class DemoImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HSODemoImage",
            display_name="HSO Demo Image",
            category=CATEGORY,
            description="Pictures of what HSO Demo Model or HSO Demo Emoji Model drew, enlarged eight times.",
            inputs=[io.Latent.Input("samples")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, samples: dict[str, torch.Tensor]) -> io.NodeOutput:
        latents = samples["samples"]
        if latents.shape[1] not in PICTURES:
            raise ValueError(
                f"HSO Demo Image: the latents have {latents.shape[1]} channels, and those of the demonstration "
                "networks have 1 or 3."
            )
        return io.NodeOutput(PICTURES[latents.shape[1]](latents))


class DemoExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [DemoModel, DemoEmojiModel, DemoClass, DemoLatent, DemoImage]


async def comfy_entrypoint() -> ComfyExtension:
    return DemoExtension()
