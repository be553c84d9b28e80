"""Running ComfyUI's samplers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
from torch import Tensor

from .latents import DOWNSCALE_RATIOS, in_working_channels, packed, single_precision


def sampler_names() -> list[str]:
    """The samplers of this ComfyUI: the very list, so that what other packs add later is there."""
    return comfy.samplers.SAMPLER_NAMES


def samplers_that_lose_a_step() -> frozenset[str]:
    """The samplers for which ComfyUI's KSampler leaves out the last sigma above 0."""
    return frozenset(getattr(comfy.samplers.KSampler, "DISCARD_PENULTIMATE_SIGMA_SAMPLERS", ()))


def sampler(name: str) -> Any:
    """The SAMPLER of that name, as KSampler uses it."""
    try:
        return comfy.samplers.sampler_object(name)
    except AttributeError:
        raise ValueError(
            f"this ComfyUI has no sampler {str(name)[:60]!r}; install the pack that brings it, or choose another"
        ) from None


def sampler_of(function: Callable[..., Tensor], **options: Any) -> Any:
    """The SAMPLER that runs `function`, which is called as core's are, with these options."""
    return comfy.samplers.KSAMPLER(function, extra_options=options)


def is_own_sampler(sampler: Any) -> bool:
    """Whether what a SAMPLER runs is one of ComfyUI's own functions, and not one of another pack by the same name."""
    module = getattr(getattr(sampler, "sampler_function", None), "__module__", None) or ""
    return module.split(".")[0] == "comfy"


def guider(model: Any, positive: list[Any], negative: list[Any], cfg: float) -> Any:
    """A GUIDER as core's CFGGuider node makes it."""
    made = comfy.samplers.CFGGuider(model)
    made.set_conds(positive, negative)
    made.set_cfg(cfg)
    return made


class SteppedSampler(comfy.samplers.Sampler):
    """A SAMPLER that takes several batches through their steps together, of which the guider is told the first only.

    noises: of each batch (n, ...), as long as the first or shorter. walk: called with a function of (x, sigma) for each
    batch that asks the model, their states at the first sigma, and the sigmas; returns the states at the last.
    output: what each batch has become; the guider gets the first.
    """

    def __init__(self, noises: Sequence[Tensor], walk: Callable[..., list[Tensor]]) -> None:
        self._noises, self._walk = noises, walk
        self.output: list[Tensor] = []

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: Tensor,
        latent_image: Tensor,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        """Start and end as core's KSAMPLER has them."""
        sampling, full = model_wrap.inner_model.model_sampling, self.max_denoise(model_wrap, sigmas)
        asked, states = [], []
        for batch in map(packed, self._noises):
            inside = comfy.samplers.KSamplerX0Inpaint(model_wrap, sigmas)
            inside.noise, inside.latent_image = batch.to(noise), latent_image[: len(batch)]
            asked.append(partial(inside, **{**extra_args, "denoise_mask": denoise_mask}))
            states.append(sampling.noise_scaling(sigmas[0], inside.noise, inside.latent_image, full))
        self.output = [sampling.inverse_noise_scaling(sigmas[-1], x) for x in self._walk(asked, states, sigmas)]
        return self.output[0]


def sample_with_sigmas(
    model: Any,
    seed: int,
    cfg: float,
    sampler: Any,
    sigmas: Tensor,
    positive: list[Any],
    negative: list[Any],
    latent: dict[str, Any],
    *,
    add_noise: bool = True,
) -> dict[str, Any]:
    """What ComfyUI's KSampler does, with the schedule given: a LATENT, with preview, progress, mask and batch index.

    Without add_noise, what SamplerCustom does then: the latent holds the noise.
    """
    latent_image = in_working_channels(model, latent)
    noise = comfy.sample.prepare_noise(latent_image, seed, latent.get("batch_index"))
    if not add_noise:
        noise = noise * 0  # also of a nested latent
    samples = comfy.sample.sample_custom(
        model,
        single_precision(noise),
        cfg,
        sampler,
        sigmas.clone(),  # uni_pc writes into what it is given
        positive,
        negative,
        single_precision(latent_image),
        noise_mask=latent.get("noise_mask"),
        callback=latent_preview.prepare_callback(model, len(sigmas) - 1),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )
    return {**{key: value for key, value in latent.items() if key not in DOWNSCALE_RATIOS}, "samples": samples}
