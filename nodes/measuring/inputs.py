"""What the nodes that measure schedules share: their inputs, the sampling, and the schedules to choose from."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core import NoiseSchedule, Settings, optimize_schedule
from ...hso_core.schedule.baselines import table_sigmas, tables_for
from ...hso_core.schedule.numbers import real_number, whole_number
from ...hso_core.schedule.sigmas import SigmasError, check_range, check_sigmas
from ...hso_core.schedule.tools import as_schedule, end_at_denoise
from .. import host
from ..sampling.notes import name_of
from ..sampling.scheduler_entry import NAME as HSO
from .run import SEEDS, SamplingRun

logger = logging.getLogger(__name__)

RANGES: dict[str, tuple[Any, Any]] = {
    "steps": (2, 100), "pictures": (1, 128), "denoise": (0.01, 1.0), "seed": (0, SEEDS - 1)
}  # fmt: skip
LCM_TABLE = 50  # levels of the table that core's ModelSamplingDiscrete node makes for LCM


def limits(name: str) -> dict[str, Any]:
    """The arguments min and max of a widget."""
    least, most = RANGES[name]
    return {"min": least, "max": most}


def widget_numbers(**values: object) -> list[Any]:
    """The numbers, if their widgets would take them: over a link ComfyUI lets everything pass. Raises ValueError."""
    return [_widget_number(name, value, *RANGES[name]) for name, value in values.items()]


def _widget_number(name: str, value: object, least: float, most: float) -> float:
    if isinstance(least, int) and isinstance(most, int):
        return whole_number(name, value, least, most)
    return real_number(name, value, least, most)


def sampling_widgets(steps: int) -> list[io.Input]:
    """The widgets that the nodes begin with that measure a sampler of the user's."""
    return [
        *model_widgets(steps),
        host.sampler_name_in(
            "The sampler that you use in KSampler. It must not add noise of its own (no ancestral, no SDE), and not be "
            "a CFG++ one. Of no effect if sampler is connected."
        ),
    ]


def model_widgets(steps: int) -> list[io.Input]:
    """The widgets that every node of this kind begins with."""
    return [
        host.steps_in(steps, "Number of steps. Few is where it matters.", *RANGES["steps"]),
        host.cfg_in("Classifier-free guidance: what you use in KSampler. Of no effect with a guider."),
    ]


def seed_widget(tooltip: str) -> io.Input:
    # Without the False the browser would draw another seed after each run, and every run would measure anew.
    return io.Int.Input("seed", default=0, **limits("seed"), control_after_generate=False, tooltip=tooltip)


def denoise_widget() -> io.Input:
    """Goes behind all other inputs, and may be absent: saved workflows do not have it."""
    return host.denoise_in(
        "Below 1 for image to image: all schedules start at the noise level of this denoise, and change the picture in "
        "latent_image.",
        optional=True,
    )


def sampling_sockets() -> list[io.Input]:
    """Where the model, the prompt, the size and a sampler come in."""
    tooltip = "In place of sampler_name, for a sampler with options."
    return [*model_sockets(), io.Sampler.Input("sampler", optional=True, tooltip=tooltip)]


def model_sockets() -> list[io.Input]:
    """Where the model, the prompt and the size come in."""
    return [
        io.Latent.Input(
            "latent_image",
            tooltip="Decides the size of the pictures. An empty latent is usual; of a batch the first one is used.",
        ),
        io.Model.Input("model", optional=True, tooltip="The model with all its patches. Not needed with a guider."),
        io.Conditioning.Input(
            "positive", optional=True, tooltip="A typical prompt of yours. Not needed with a guider."
        ),
        io.Conditioning.Input("negative", optional=True, tooltip="Its negative prompt. Not needed with a guider."),
        io.Guider.Input(
            "guider",
            optional=True,
            tooltip="In place of model, positive, negative and cfg, as for SamplerCustomAdvanced.",
        ),
    ]


def open_run(
    latent: dict[str, Any],
    cfg: float,
    sampler_name: str,
    model: Any = None,
    positive: list[Any] | None = None,
    negative: list[Any] | None = None,
    guider: Any = None,
    sampler: Any = None,
) -> SamplingRun:
    """The sampling that those inputs describe."""
    if guider is None:
        if model is None or positive is None or negative is None:
            given = {"model": model, "positive": positive, "negative": negative}
            missing = " and ".join(name for name, value in given.items() if value is None)
            raise ValueError(f"{missing} must be connected, or a guider in place of all three")
        guider = host.guider(model, positive, negative, real_number("cfg", cfg))
    return SamplingRun(guider, host.sampler(sampler_name) if sampler is None else sampler, latent)


def check_guider(guider: Any, *step_counts: int) -> None:
    """Raises ValueError for a guider made for one number of steps, where runs of all `step_counts` are to come.

    KJNodes' ScheduledCFGGuidance takes a list of cfg values, one for each step.
    """
    cfg = getattr(guider, "cfg", None)
    if isinstance(cfg, list | tuple):
        counts = " and ".join(str(count) for count in step_counts)
        raise ValueError(
            f"the guider has a list of {len(cfg)} cfg values, one for each step, but the model is sampled with "
            f"{counts} steps here; use a guider with one cfg for all steps"
        )


def picture_start(model: Any, denoise: float, latent: dict[str, Any]) -> float | None:
    """The sigma at which a picture is changed with `denoise` below 1; None at 1, where one is made."""
    if denoise == 1:
        return None
    if host.is_empty(latent):
        raise ValueError(
            f"denoise is {denoise:g}, but latent_image is empty; connect the latent of a picture (VAE Encode), or set "
            "denoise to 1"
        )
    return host.noise_schedule(model).sigma_of_denoise(denoise)


def selectable_schedules(model: Any, steps: int, sampler: Any, denoise: float = 1.0) -> dict[str, Tensor]:
    """Sigmas (steps + 1,) by name of all schedules that the user could select for `model`.

    They are the host's schedulers, in the form that KSampler makes of them where that differs, the HSO schedule, and
    the published tables that fit the model. One that is no schedule for this model and number of steps is left out.

    With denoise below 1 they start at just its noise level, where KSampler lets each scheduler start at another: of
    steps / denoise steps those below it are taken, and resampled to so many as were asked for.
    """
    found: dict[str, Tensor] = {}
    noise = host.readable_noise_schedule(model) if denoise == 1 else host.noise_schedule(model)
    total = int(steps / denoise)

    def keep(name: str, make: Callable[[], Tensor]) -> None:
        if denoise == 1 or noise is None:
            _keep(found, name, make, steps)
        else:
            _keep(found, name, lambda: end_at_denoise(as_schedule(make()), noise, denoise, steps), steps)

    for name in host.scheduler_names():
        if name != HSO:
            keep(name, partial(host.scheduler_sigmas, model, name, total))
            if name_of(sampler) in host.samplers_that_lose_a_step():
                keep(ksampler_form(name), partial(host.ksampler_sigmas, model, name, total))
    if noise is None:
        return found
    settings = Settings() if denoise == 1 else Settings(denoise=denoise, start="sigma_max")
    _keep(found, HSO, partial(_optimized, noise, steps, settings), steps)
    for name in tables_for(noise):
        keep(name, partial(_table, name, total))
    return {name: sigmas for name, sigmas in found.items() if _in_range(sigmas, noise)}


def ksampler_form(name: str) -> str:
    """What the schedule is called that KSampler makes of a scheduler for a sampler that loses a step."""
    return f"{name} (KSampler)"


def _optimized(noise: NoiseSchedule, steps: int, settings: Settings) -> Tensor:
    return optimize_schedule(noise, steps, settings, on_progress=host.stop_if_cancelled).to_tensor()


def _table(name: str, steps: int) -> Tensor:
    return table_sigmas(name, steps)[0]


def _keep(found: dict[str, Tensor], name: str, make: Callable[[], Tensor], steps: int) -> None:
    try:
        sigmas = check_sigmas(make().detach().cpu().float().clone())
    except host.CANCELLED:
        raise
    except Exception as error:  # whatever a scheduler of another pack may raise; also kl_optimal with one step
        logger.debug("HSO: %s makes no schedule of %d steps here: %s", name, steps, error)
        return
    if len(sigmas) == steps + 1 and float(sigmas[-1]) == 0:
        found[name] = sigmas


def _in_range(sigmas: Tensor, noise: NoiseSchedule) -> bool:
    try:
        check_range(sigmas, noise)
    except SigmasError:
        return False
    return True


def distilled_warning(model: Any) -> str:
    """A sentence if the model shows that it was distilled for a few fixed steps; else ""."""
    sampling = model.get_model_object("model_sampling")
    is_lcm = any(kind.__name__ == "LCM" for kind in type(sampling).__mro__)
    if not is_lcm and len(getattr(sampling, "sigmas", ())) != LCM_TABLE:
        return ""
    return (
        "This model was distilled (LCM): it knows only the noise levels that it was trained on, and has no converged "
        "picture to be measured against. Take these numbers with caution, and prefer its own list of sigmas."
    )
