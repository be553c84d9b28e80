"""Three nodes around the galaxy network: the model, an empty latent, and pictures of the result."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from comfy_api.v0_0_2 import ComfyExtension, io

from .galaxy_model import empty_latents, load_galaxy_model
from .galaxy_picture import latents_to_pictures

CATEGORY = "HSO/demo"
WEIGHTS_VARIABLE = "HSO_DEMO_WEIGHTS"


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


class DemoLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HSODemoLatent",
            display_name="HSO Demo Latent",
            category=CATEGORY,
            description="Empty latents for HSO Demo Model: one channel of 32 x 32.",
            inputs=[io.Int.Input("batch_size", default=4, min=1, max=4096, tooltip="Number of galaxies.")],
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
            description="Pictures of the galaxies of HSO Demo Model: enlarged eight times, brightness stretched.",
            inputs=[io.Latent.Input("samples")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, samples: dict[str, torch.Tensor]) -> io.NodeOutput:
        return io.NodeOutput(latents_to_pictures(samples["samples"]))


class DemoExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [DemoModel, DemoLatent, DemoImage]


async def comfy_entrypoint() -> ComfyExtension:
    return DemoExtension()
