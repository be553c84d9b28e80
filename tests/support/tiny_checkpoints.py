"""Small checkpoints with random weights that ComfyUI's own loaders recognise as SD 1.5, SD 2 (v), SDXL (zsnr) and SD3.

The loaders look at the names and shapes of the weights. What they insist on is kept: 320 channels at the first level,
the widths of the text conditioning, the depths of the transformers of SDXL. The rest is as small as it gets: no level
has more channels than the first, SD 1.5 has one level, SD3 one block of 64 channels. The networks' shapes come from
the host's own classes, built without memory. Weights are float16; float32 for SD3.

Import host_import.import_host() first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from comfy.ldm.modules.diffusionmodules.mmdit import OpenAISignatureMMDITWrapper
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.ops import disable_weight_init

PREFIX = "model.diffusion_model."
UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320, "use_spatial_transformer": True,
    "legacy": False, "dtype": torch.float16,
}  # fmt: skip
FOUR_LEVELS = {"channel_mult": (1, 1, 1, 1), "num_res_blocks": (2, 2, 2, 2)}
NETWORKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "SD15": (
        UNetModel,
        {
            **UNET, "channel_mult": (1,), "num_res_blocks": (1,), "transformer_depth": [1],
            "transformer_depth_middle": 1, "transformer_depth_output": [1, 1], "context_dim": 768, "num_heads": 8,
        },
    ),
    "SD20": (
        UNetModel,
        {
            **UNET, **FOUR_LEVELS, "transformer_depth": [1] * 6 + [0] * 2, "transformer_depth_middle": 1,
            "transformer_depth_output": [1] * 9 + [0] * 3, "context_dim": 1024, "num_head_channels": 64,
            "use_linear_in_transformer": True,
        },
    ),
    "SDXL": (
        UNetModel,
        {
            **UNET, "channel_mult": (1, 1, 1), "num_res_blocks": (2, 2, 2), "transformer_depth": [0, 0, 2, 2, 10, 10],
            "transformer_depth_middle": 10, "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
            "context_dim": 2048, "num_head_channels": 64, "use_linear_in_transformer": True,
            "num_classes": "sequential", "adm_in_channels": 2816,
        },
    ),
    "SD3": (
        OpenAISignatureMMDITWrapper,
        {
            "input_size": None, "patch_size": 2, "in_channels": 16, "depth": 1, "adm_in_channels": 2048,
            "context_embedder_config": {
                "target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 64}
            },
            "num_patches": 64, "pos_embed_max_size": 8, "pos_embed_scaling_factor": None, "dtype": torch.float32,
        },
    ),
}  # fmt: skip
EXTRA = {  # what makes a loader take SD 2 and SDXL for models that predict v
    "SD20": {PREFIX + "output_blocks.11.1.transformer_blocks.0.norm1.bias": torch.linspace(-1, 1, 320).half()},
    "SDXL": {"v_pred": torch.zeros(1), "ztsnr": torch.zeros(1)},
}


def write_checkpoint(name: str, folder: Path) -> Path:
    """A .safetensors file in `folder` with the diffusion network of NETWORKS[name]; no text encoder, no VAE."""
    network, options = NETWORKS[name]
    with torch.device("meta"):
        shapes = network(**options, device="meta", operations=disable_weight_init).state_dict()
    generator = torch.Generator().manual_seed(0)
    weights = {PREFIX + key: _random(value, generator) for key, value in shapes.items()}
    path = folder / f"tiny_{name}.safetensors"
    safetensors.torch.save_file({**weights, **EXTRA.get(name, {})}, path)
    return path


def _random(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The first values are random and the rest 0: a whole SDXL of random numbers would take long to make."""
    tensor = torch.zeros(like.shape, dtype=like.dtype)
    start = tensor.flatten()[:4096]
    start.copy_(0.02 * torch.randn(len(start), generator=generator))
    return tensor
