"""KSampler (HSO): ComfyUI's KSampler with a schedule in place of steps, scheduler and denoise."""

from __future__ import annotations

import logging
from typing import Any

import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core import MAX_STEPS
from ...hso_core.schedule.numbers import real_number, whole_number
from ...hso_core.schedule.sigmas import SigmasError, check_sigmas
from ...hso_core.schedule.tools import check_flipped
from .. import host
from .notes import TOOLTIP, name_of, note_on_sampler

logger = logging.getLogger(__name__)

NAME = "KSampler (HSO)"
WITHOUT_STEPS = "euler"  # puts out what it is given where there is no step; uni_pc and others fail on that


class KSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="HSOKSampler",
            name=NAME,
            category=host.category_of("KSampler"),
            description="KSampler with the schedule as an input: connect Scheduler (HSO), Custom Sigmas (HSO) or any "
            "other sigmas.",
            aliases=["ksampler sigmas", "ksampler advanced", "sampler", "unsampler"],
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
                host.cfg_in("Classifier-free guidance: how closely the picture follows the prompt."),
                host.sampler_name_in(
                    f"The algorithm that follows the schedule. {TOOLTIP} Of no effect if sampler is connected."
                ),
                io.Conditioning.Input("positive", tooltip="What the picture should show."),
                io.Conditioning.Input("negative", tooltip="What it should not show."),
                io.Latent.Input("latent_image", tooltip="The latent image to denoise."),
                io.Sigmas.Input("sigmas", tooltip="The schedule: N + 1 sigmas for N steps."),
                host.advanced(
                    io.Boolean.Input(
                        "add_noise",
                        default=True,
                        optional=True,
                        tooltip="Off: the latent holds noise already, because it comes from the sampler of the first "
                        "part of a split schedule.",
                    )
                ),
                host.advanced(
                    io.Int.Input(
                        "start_at_step",
                        default=0,
                        min=0,
                        max=MAX_STEPS,
                        optional=True,
                        tooltip="As in KSampler (Advanced): the step of the schedule at which it begins.",
                    )
                ),
                host.advanced(
                    io.Int.Input(
                        "end_at_step",
                        default=MAX_STEPS,
                        min=0,
                        max=MAX_STEPS,
                        optional=True,
                        tooltip="As in KSampler (Advanced): the step of the schedule at which it ends.",
                    )
                ),
                host.advanced(
                    io.Boolean.Input(
                        "return_with_leftover_noise",
                        default=False,
                        optional=True,
                        tooltip="On: where end_at_step ends it early, the noise that is left stays in the latent, for "
                        "a second sampler. Off: the last step goes down to 0.",
                    )
                ),
                io.Sampler.Input(
                    "sampler",
                    optional=True,
                    tooltip="In place of sampler_name: a sampler with options, or one that was made for the schedule.",
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
        start_at_step: int = 0,
        end_at_step: int = MAX_STEPS,
        return_with_leftover_noise: bool = False,
        sampler: Any = None,
    ) -> io.NodeOutput:
        with host.named_errors(NAME):
            start = whole_number("start_at_step", start_at_step, 0, MAX_STEPS)
            end = whole_number("end_at_step", end_at_step, 0, MAX_STEPS)
        sigmas = part_of(sigmas, start, end, return_with_leftover_noise)
        if sigmas.ndim == 1 and (len(sigmas) == 0 or sigmas.tolist() == [0]):
            # As in core: what BasicScheduler gives for denoise 0, and SplitSigmas at the last step.
            return io.NodeOutput(latent_image)
        with host.named_errors(NAME):
            seed, cfg = whole_number("seed", seed, 0, 2**64 - 1), real_number("cfg", cfg)
            sampler = host.sampler(sampler_name) if sampler is None else sampler
            if sigmas.ndim == 1 and len(sigmas) == 1:
                if not add_noise:
                    return io.NodeOutput(latent_image)
                sampler = host.sampler(WITHOUT_STEPS)
                _check_level(sigmas, model)
                level = check_sigmas(torch.cat([sigmas, sigmas.new_zeros(1)]))
                odd = host.check_schedule(level, model, changes_picture=not host.is_empty(latent_image))
            else:
                odd = _check(sigmas, model, add_noise, latent_image)
        if odd:
            logger.warning("%s: %s", NAME, odd)
        note = note_on_sampler(name_of(sampler), len(sigmas) - 1)
        if note:
            logger.warning("%s: %s", NAME, note)
        return io.NodeOutput(
            host.sample_with_sigmas(
                model, seed, cfg, sampler, sigmas, positive, negative, latent_image, add_noise=add_noise
            )
        )


def part_of(sigmas: Tensor, start: int, end: int, leftover_noise: bool) -> Tensor:
    """The steps `start` to `end` of a schedule (n,), as KSamplerAdvanced takes them; empty where there are none.

    Without leftover_noise a part that ends early ends with 0 in place of its last sigma.
    """
    if sigmas.ndim != 1 or (start == 0 and end >= len(sigmas) - 1):
        return sigmas
    part = sigmas[: end + 1].clone()
    if end < len(sigmas) - 1 and not leftover_noise:
        part[-1] = 0
    return part[start:] if start < len(part) - 1 else part[:0]


def _check(sigmas: Tensor, model: Any, add_noise: bool, latent: dict[str, Any]) -> str | None:
    """Refuse what is no schedule for `model`; a sentence if its start is odd. One that rises is for unsampling."""
    if sigmas.ndim != 1 or len(sigmas) < 2 or not 0 <= float(sigmas[0]) < float(sigmas[-1]):
        return host.check_schedule(check_sigmas(sigmas), model, changes_picture=not host.is_empty(latent))
    if add_noise:
        raise ValueError(
            "the sigmas rise, which turns a picture into its noise (unsampling); switch add_noise off for that, or "
            "connect a schedule that falls"
        )
    check_flipped(sigmas, host.readable_noise_schedule(model))
    host.check_schedule(sigmas.flip(0), model)
    return None


def _check_level(sigmas: Tensor, model: Any) -> None:
    """Raises SigmasError where the next sampler could not go on from the noise level (1,)."""
    noise = host.readable_noise_schedule(model)
    if noise is not None and noise.family == "flow" and float(sigmas[0]) == 1:
        raise SigmasError(
            "the schedule has no step, only the start at sigma 1. There a flow model's latent is noise alone, which "
            "ComfyUI cannot hand on; leave this sampler out, and let the next one add the noise"
        )
