"""Scheduler (HSO): the search as a node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.v0_0_2 import io

from ...hso_core import NoiseSchedule, Schedule, Settings, SettingsError, optimize_schedule
from ...hso_core.method.optimizer import BACKENDS, DEVICES
from ...hso_core.method.problem import MAPPINGS, PAPER_TIMES, STARTS
from .. import host
from ..pictures.plot_data import comparison_schedules, plot_ui

NAME = "Scheduler (HSO)"
DEFAULT = Settings()
BY_MODEL = 0.0
TIMES = ("t_min", "t_max")
PAIRS = {"spacing": ("d_min_4", "d_min_20"), **{name: (f"{name}_low", f"{name}_high") for name in ("rho", *TIMES)}}


class OptimizeSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="HSOOptimizeSchedule",
            name=NAME,
            category=host.category_of("BasicScheduler"),
            description="Computes a few-step noise schedule for the connected model, from the model's own noise levels "
            "alone.",
            aliases=["optimize schedule", "few steps", "optimal sigmas", "timesteps"],
            inputs=[
                io.Model.Input("model", tooltip="The model that will sample, with all its patches (shift, zsnr, LCM)."),
                host.steps_in(5, "Number of steps. Made for 4 to 8."),
                host.denoise_in(
                    "Below 1 for image to image: all steps are kept, and optimised for the part that is left."
                ),
                io.Combo.Input(
                    "start",
                    options=list(STARTS),
                    default=DEFAULT.start,
                    tooltip="The first sigma. searched: as in the paper, slightly below full noise. sigma_max: exactly "
                    "the noise level that denoise asks for. auto: sigma_max for flow models (Flux, SD3, Wan, Qwen), "
                    "searched for all others.",
                ),
                _count(
                    "search_seed",
                    DEFAULT.seed,
                    0,
                    2**31 - 1,
                    "Seed of the search, not of the picture. The same seed always gives the same schedule.",
                ),
                _choice(
                    "mapping",
                    MAPPINGS,
                    DEFAULT.mapping,
                    "ddim: the schedule ends at 0, as ComfyUI's samplers expect. unipc: the paper's other variant, "
                    "which stops at t_min and leaves a little noise.",
                ),
                _number("exponent", DEFAULT.exponent, 1, 8, 0.1, "p in the error model sigma^p / alpha."),
                _number("rho_low", DEFAULT.rho[0], 0.1, 100, 0.1, "Lower bound of rho, the curve of the start."),
                _number("rho_high", DEFAULT.rho[1], 0.1, 100, 0.1, "Upper bound of rho."),
                _number(
                    "t_min_low",
                    BY_MODEL,
                    0,
                    0.9,
                    1e-4,
                    "Lower bound of t_min, the last time above 0. 0: as suits the kind of model (the paper's 0.01 for "
                    "Stable Diffusion, 0.1 for flow models).",
                ),
                _number(
                    "t_min_high",
                    BY_MODEL,
                    0,
                    0.9,
                    1e-4,
                    "Upper bound of t_min. 0: as suits the kind of model (0.03; 0.2 for flow models).",
                ),
                _number(
                    "t_max_low",
                    BY_MODEL,
                    0,
                    1,
                    1e-4,
                    "Lower bound of t_max, the first time. 0: as suits the kind of model (0.96; 0.9 for flow models).",
                ),
                _number(
                    "t_max_high",
                    BY_MODEL,
                    0,
                    1,
                    1e-4,
                    "Upper bound of t_max. 0: as suits the kind of model (1; 0.96 for flow models).",
                ),
                _number("gamma", DEFAULT.gamma, 0, 1e12, 1e8, "Weight of the penalty for close steps; 0: none."),
                _number("d_min_4", DEFAULT.spacing[0], 0, 1, 1e-3, "Least distance of two steps in t, at 4 steps."),
                _number("d_min_20", DEFAULT.spacing[1], 0, 1, 1e-3, "The same at 20 steps; between them it is linear."),
                _count("population", DEFAULT.population, 2, 200, "Members of the search per parameter (there are 3)."),
                _count("generations", DEFAULT.generations, 0, 10_000, "Generations of the search, at most."),
                _number("tolerance", DEFAULT.tolerance, 0, 1, 1e-3, "The search ends when its members differ by less."),
                _count("iterations", DEFAULT.iterations, 1, 10_000, "Iterations of each refinement, at most."),
                _choice(
                    "backend",
                    BACKENDS,
                    "torch",
                    "torch: milliseconds. scipy: the paper's own procedure, seconds to minutes, same result.",
                ),
                _choice(
                    "device",
                    DEVICES,
                    "auto",
                    "Where the search runs; the result is the same. It needs float64, which Apple's MPS and DirectML "
                    "lack: there, and with auto, it runs on the CPU.",
                ),
            ],
            outputs=[
                host.sigmas_out(),
                host.report_out("What was found, and the sigmas as text for Custom Sigmas (HSO)."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        steps: int,
        denoise: float,
        start: str,
        backend: str = "torch",
        device: str = "auto",
        **advanced: Any,
    ) -> io.NodeOutput:
        with host.named_errors(NAME):
            noise = host.noise_schedule(model)
            schedule = optimize_schedule(
                noise,
                steps,
                _settings(noise, advanced, denoise=denoise, start=start),
                backend,
                device,
                host.progress_bar(),
            )
        sigmas = schedule.to_tensor()
        ui = plot_ui(
            [("hso", sigmas), *comparison_schedules(model, schedule.steps, schedule.settings.denoise)],
            noise=noise,
            note=" ".join(filter(None, (_bounds_note(schedule, noise), _spacing_note(schedule)))),
        )
        return io.NodeOutput(host.sigmas_output(sigmas), schedule.summary(), ui=ui)


def _bounds_note(schedule: Schedule, noise: NoiseSchedule) -> str:
    """Workflows of 0.1.0 hold the paper's bounds as numbers, whatever the model."""
    settings = schedule.settings
    if settings.t_min != PAPER_TIMES[0] or settings.t_min == replace(settings, t_min=None).suited_to(noise).t_min:
        return ""
    return (
        "The bounds of t are those for Stable Diffusion, with which dpmpp_2m and uni_pc spoil this model's pictures. "
        "Set t_min_low, t_min_high, t_max_low and t_max_high to 0."
    )


def _spacing_note(schedule: Schedule) -> str:
    if schedule.spacing_met:
        return ""
    return (
        f"Some steps lie closer than {schedule.d_min:.3f} in t, the paper's least distance; "
        "no schedule that was found keeps it."
    )


def _settings(noise: NoiseSchedule, advanced: dict[str, Any], **everyday: Any) -> Settings:
    """The settings of the widgets; two advanced ones make a pair, in which BY_MODEL stands for what suits `noise`."""
    values = {**everyday, **advanced}
    if "search_seed" in values:
        values["seed"] = values.pop("search_seed")
    typed = {name: [values.pop(end, None) for end in ends] for name, ends in PAIRS.items()}
    suited = Settings(**values).suited_to(noise)
    filled_in = []
    for name, ends in typed.items():
        known = [None if end == BY_MODEL and name in TIMES else end for end in ends]
        if known != [None, None]:
            default = getattr(suited, name)
            values[name] = tuple(default[i] if end is None else end for i, end in enumerate(known))
            filled_in += [f"{PAIRS[name][i]} {default[i]:g}" for i, end in enumerate(known) if end is None]
    try:
        return Settings(**values)
    except SettingsError as error:
        if not filled_in:
            raise
        raise SettingsError(f"{error}. Not set, but as suits this model: {', '.join(filled_in)}") from error


# An advanced input is optional: a prompt written by hand need not have it, nor one from before it was added.


def _number(name: str, default: float, low: float, high: float, step: float, tooltip: str) -> io.Float.Input:
    return host.advanced(
        io.Float.Input(name, default=default, min=low, max=high, step=step, tooltip=tooltip, optional=True)
    )


def _count(name: str, default: int, low: int, high: int, tooltip: str) -> io.Int.Input:
    return host.advanced(io.Int.Input(name, default=default, min=low, max=high, tooltip=tooltip, optional=True))


def _choice(name: str, options: tuple[str, ...], default: str, tooltip: str) -> io.Combo.Input:
    return host.advanced(io.Combo.Input(name, options=list(options), default=default, tooltip=tooltip, optional=True))
