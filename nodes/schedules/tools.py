"""Tools for schedules: blend, split, pin, start later, resample. Each is a shell over one function of hso_core."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core import MAX_STEPS
from ...hso_core.schedule import tools
from ...hso_core.schedule.sigmas import RESAMPLINGS, plain_decimal, print_sigmas, resample_sigmas
from .. import host
from ..pictures.plot_data import plot_ui

LARGEST = 5000.0  # of a sigma: v-prediction models with zero terminal SNR go to 4518.76
PLACES = ("sigma", "step")  # where a schedule is split
FOR_SAMPLERS = "For SamplerCustom, SamplerCustomAdvanced or KSampler (HSO)."

BLEND = "Blend Schedules (HSO)"
SPLIT = "Split Schedule (HSO)"
PIN = "Pin Sigma (HSO)"
START = "Start at Denoise (HSO)"
RESAMPLE = "Resample Schedule (HSO)"


class BlendSchedules(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        # The order of the widgets is part of every saved workflow: new ones only at the end.
        return host.schema(
            node_id="HSOBlendSchedules",
            display_name=BLEND,
            category=host.category_of("SplitSigmas"),
            description="A schedule between two others.",
            search_aliases=["hso", "mix sigmas", "merge sigmas", "average sigmas", "interpolate"],
            inputs=[
                io.Sigmas.Input("first", tooltip="The schedule at weight 0."),
                io.Sigmas.Input("second", tooltip="The schedule at weight 1."),
                io.Float.Input(
                    "weight",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="0: only the first. 1: only the second. Between them each step is mixed in ln sigma.",
                ),
                _resampling("How the shorter schedule is brought to the number of steps of the longer one."),
            ],
            outputs=_outputs(),
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, first: Tensor, second: Tensor, weight: float, resampling: str) -> io.NodeOutput:
        with host.named_errors(BLEND):
            one, other = (_given(name, sigmas) for name, sigmas in (("first", first), ("second", second)))
            mixed, note = tools.blend(one, other, weight, resampling)
        return _result(mixed, note, ("first", one), ("second", other))


class SplitSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        # The order of the widgets is part of every saved workflow: new ones only at the end.
        return host.schema(
            node_id="HSOSplitSchedule",
            display_name=SPLIT,
            category=host.category_of("SplitSigmas"),
            description="Two schedules out of one, for two samplers or two models in a row (Wan 2.2, a refiner).",
            search_aliases=["hso", "split sigmas", "wan boundary", "high noise", "low noise", "refiner"],
            inputs=[
                io.Sigmas.Input("sigmas", tooltip="The schedule to split."),
                io.Combo.Input(
                    "where",
                    options=list(PLACES),
                    default=PLACES[0],
                    tooltip="sigma: at a noise level, whatever the number of steps. step: after so many steps.",
                ),
                io.Float.Input(
                    "sigma",
                    default=0.875,
                    min=0.0,
                    max=LARGEST,
                    step=0.001,
                    round=False,
                    tooltip="The noise level of the boundary. Steps that start above it are high, one that starts "
                    "exactly at it is the first of the low part. Wan 2.2: 0.875 for text to video, 0.9 for image to "
                    "video.",
                ),
                io.Boolean.Input(
                    "insert",
                    default=True,
                    tooltip="Whether the boundary itself becomes a value of the schedule, which is one step more. "
                    "Off: the low part starts at the next value below it.",
                ),
                io.Int.Input("step", default=2, min=1, max=MAX_STEPS, tooltip="So many steps are high, the rest low."),
            ],
            outputs=[
                io.Sigmas.Output("high", display_name="high", tooltip="The first part, for the first sampler."),
                io.Sigmas.Output(
                    "low", display_name="low", tooltip="The rest, for the second sampler; it adds no noise of its own."
                ),
                _report(),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, sigmas: Tensor, where: str, sigma: float, insert: bool, step: int) -> io.NodeOutput:
        with host.named_errors(SPLIT):
            host.check_choice("where", where, PLACES)
            given = _given("sigmas", sigmas)
            if where == "step":
                high, low = tools.split_at_step(given, step)
            else:
                high, low = tools.split_at_sigma(given, sigma, insert)
        note = f"Split at sigma {plain_decimal(low[0])}: {len(high) - 1} steps are high, {len(low) - 1} low."
        if len(high) == 1:
            note += " The schedule starts there, or lower: the first sampler only adds the noise."
        report = f"{note}\n\nhigh: {print_sigmas(high)}\n\nlow: {print_sigmas(low)}"
        whole = torch.cat([high, low[1:]])
        ui = plot_ui([("high and low", whole)], facts=[("result", note)])
        return io.NodeOutput(host.sigmas_output(high), host.sigmas_output(low), report, ui=ui)


class PinSigma(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        # The order of the widgets is part of every saved workflow: new ones only at the end.
        return host.schema(
            node_id="HSOPinSigma",
            display_name=PIN,
            category=host.category_of("SplitSigmas"),
            description="Moves the nearest step of a schedule exactly on to a noise level. The number of steps stays.",
            search_aliases=["hso", "wan boundary", "set sigma", "snap"],
            inputs=[
                io.Sigmas.Input("sigmas", tooltip="The schedule. Its first and its last value never move."),
                io.Float.Input(
                    "sigma",
                    default=0.875,
                    min=0.0,
                    max=LARGEST,
                    step=0.001,
                    round=False,
                    tooltip="The noise level that a step shall have, for example the boundary between two models. "
                    "Wan 2.2: 0.875 for text to video, 0.9 for image to video.",
                ),
            ],
            outputs=_outputs(),
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, sigmas: Tensor, sigma: float) -> io.NodeOutput:
        with host.named_errors(PIN):
            given = _given("sigmas", sigmas)
            pinned, place = tools.pin_sigma(given, sigma)
        note = f"Value {place + 1} was {plain_decimal(given[place])}, and is now {plain_decimal(pinned[place])}."
        return _result(pinned, note, ("before", given))


class StartAtDenoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        # The order of the widgets is part of every saved workflow: new ones only at the end.
        return host.schema(
            node_id="HSOStartAtDenoise",
            display_name=START,
            category=host.category_of("SplitSigmas"),
            description="The end of a schedule, for image to image: it starts at the noise level of a denoise value.",
            search_aliases=["hso", "img2img", "denoise sigmas", "truncate"],
            inputs=[
                io.Sigmas.Input("sigmas", tooltip="A schedule for full denoise."),
                io.Model.Input("model", tooltip="The model that will sample. It says how much noise that is."),
                io.Float.Input(
                    "denoise",
                    default=0.6,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="How much of the noise is put on the picture. 1 leaves the schedule as it is.",
                ),
                io.Boolean.Input(
                    "keep_steps",
                    default=True,
                    tooltip="On: as many steps as before, spread over the part that is left. Off: only the steps "
                    "that lie below the start, and so fewer.",
                ),
            ],
            outputs=_outputs(),
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, sigmas: Tensor, model: Any, denoise: float, keep_steps: bool) -> io.NodeOutput:
        with host.named_errors(START):
            given, noise = _given("sigmas", sigmas), host.noise_schedule(model)
            result = tools.start_at_denoise(given, noise, denoise, keep_steps)
        start, before = plain_decimal(result[0]), plain_decimal(given[0])
        note = f"Starts at sigma {start} (before: {before}), {len(result) - 1} steps."
        return _result(result, note, ("before", given), noise=noise)


class ResampleSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        # The order of the widgets is part of every saved workflow: new ones only at the end.
        return host.schema(
            node_id="HSOResampleSchedule",
            display_name=RESAMPLE,
            category=host.category_of("SplitSigmas"),
            description="The same schedule with another number of steps. Its ends stay.",
            search_aliases=["hso", "change steps", "stretch sigmas", "interpolate sigmas"],
            inputs=[
                io.Sigmas.Input("sigmas", tooltip="The schedule. With as many steps as wanted it stays as it is."),
                io.Int.Input("steps", default=8, min=1, max=MAX_STEPS, tooltip="The number of steps to bring it to."),
                _resampling("How values between the given ones are found. The first and the last value stay."),
            ],
            outputs=_outputs(),
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, sigmas: Tensor, steps: int, resampling: str) -> io.NodeOutput:
        with host.named_errors(RESAMPLE):
            given = _given("sigmas", sigmas)
            result = resample_sigmas(given, steps, resampling)
        return _result(result, f"{len(given) - 1} steps became {len(result) - 1}.", ("before", given))


# -- what they share ---------------------------------------------------------------------------------------------------


def _given(name: str, sigmas: Tensor) -> Tensor:
    try:
        return tools.as_schedule(sigmas)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _result(sigmas: Tensor, note: str, *before: tuple[str, Tensor], noise: Any = None) -> io.NodeOutput:
    ui = plot_ui([("result", sigmas), *before], noise=noise, facts=[("result", note)])
    return io.NodeOutput(host.sigmas_output(sigmas), f"{note}\n\nsigmas: {print_sigmas(sigmas)}", ui=ui)


def _outputs() -> list[io.Output]:
    return [io.Sigmas.Output(display_name="SIGMAS", tooltip=FOR_SAMPLERS), _report()]


def _report() -> io.Output:
    return io.String.Output(display_name="report", tooltip="What was done, and the values as text.")


def _resampling(tooltip: str) -> io.Combo.Input:
    return io.Combo.Input(
        "resampling",
        options=list(RESAMPLINGS),
        default=RESAMPLINGS[0],
        tooltip=f"{tooltip} log-linear: straight lines in ln sigma. monotone: a smooth curve that never rises.",
    )
