"""KSampler (HSO): ComfyUI's KSampler with a schedule in place of steps, scheduler and denoise."""

from __future__ import annotations

import logging
from typing import Any

import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core.schedule.numbers import real_number, whole_number
from ...hso_core.schedule.sigmas import SigmasError, check_sigmas
from .. import host
from .notes import TOOLTIP, note_on_sampler

logger = logging.getLogger(__name__)

NAME = "KSampler (HSO)"
WITHOUT_STEPS = "euler"  # puts out what it is given where there is no step; uni_pc and others fail on that


class KSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        # The order of the widgets is part of every saved workflow: new ones only at the end.
        return host.schema(
            node_id="HSOKSampler",
            display_name=NAME,
            category=host.category_of("KSampler"),
            description="KSampler with the schedule as an input: connect HSO Optimize Schedule, Custom Sigmas (HSO) or "
            "any other sigmas.",
            search_aliases=["hso", "ksampler sigmas", "sampler"],
            inputs=[
                io.Model.Input("model", tooltip="The model used for denoising the input latent."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The random seed used for creating the noise.",
                ),
                io.Float.Input(
                    "cfg",
                    default=8.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="Classifier-free guidance: how closely the picture follows the prompt.",
                ),
                io.Combo.Input(
                    "sampler_name",
                    options=host.sampler_names(),
                    default="dpmpp_2m",
                    tooltip=f"The algorithm that follows the schedule. {TOOLTIP}",
                ),
                io.Conditioning.Input("positive", tooltip="What the picture should show."),
                io.Conditioning.Input("negative", tooltip="What it should not show."),
                io.Latent.Input("latent_image", tooltip="The latent image to denoise."),
                io.Sigmas.Input("sigmas", tooltip="The schedule: N + 1 sigmas for N steps. All of them are used."),
                host.advanced(
                    io.Boolean.Input(
                        "add_noise",
                        default=True,
                        optional=True,
                        tooltip="Off: the latent holds noise already, because it comes from the sampler of the first "
                        "part of a split schedule.",
                    )
                ),
            ],
            outputs=[io.Latent.Output(tooltip="The denoised latent.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        seed: int,
        cfg: float,
        sampler_name: str,
        positive: list[Any],
        negative: list[Any],
        latent_image: dict[str, Any],
        sigmas: Tensor,
        add_noise: bool = True,
    ) -> io.NodeOutput:
        if sigmas.ndim == 1 and (len(sigmas) == 0 or sigmas.tolist() == [0]):
            # As in core: what BasicScheduler gives for denoise 0, and SplitSigmas at the last step.
            return io.NodeOutput(latent_image)
        with host.named_errors(NAME):
            seed, cfg = whole_number("seed", seed, 0, 2**64 - 1), real_number("cfg", cfg)
            sampler = host.sampler(sampler_name)
            if sigmas.ndim == 1 and len(sigmas) == 1:
                if not add_noise:
                    return io.NodeOutput(latent_image)
                sampler = host.sampler(WITHOUT_STEPS)
                _check_level(sigmas, model)
                schedule = torch.cat([sigmas, sigmas.new_zeros(1)])
            else:
                schedule = sigmas
            odd = host.check_schedule(check_sigmas(schedule), model, changes_picture=not host.is_empty(latent_image))
        if odd:
            logger.warning("%s: %s", NAME, odd)
        note = note_on_sampler(sampler_name, len(sigmas) - 1)
        if note:
            logger.warning("%s: %s", NAME, note)
        return io.NodeOutput(
            host.sample_with_sigmas(
                model, seed, cfg, sampler, sigmas, positive, negative, latent_image, add_noise=add_noise
            )
        )


def _check_level(sigmas: Tensor, model: Any) -> None:
    """Raises SigmasError where the next sampler could not go on from the noise level (1,)."""
    noise = host.readable_noise_schedule(model)
    if noise is not None and noise.family == "flow" and float(sigmas[0]) == 1:
        raise SigmasError(
            "the schedule has no step, only the start at sigma 1. There a flow model's latent is noise alone, which "
            "ComfyUI cannot hand on; leave this sampler out, and let the next one add the noise"
        )
