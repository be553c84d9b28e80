"""Edit Sigmas, and the nodes for a single edit that came before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from comfy_api.v0_0_2 import io

from .. import host
from .edits import EDITS, Edited, blend, output_of, pin, resample, start_at_denoise

NAME = "Edit Sigmas (HSO)"
ENDS_STAY = "How values between the given ones are found. The first and the last value stay."


class EditSigmas(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="HSOEditSigmas",
            name=NAME,
            category=host.category_of("SplitSigmas"),
            description="Changes a schedule in one of eight ways: another number of steps, scaled, shifted, one step "
            "at a given noise level, starting at a denoise, mixed or joined with a second one, or backwards.",
            aliases=[
                *["multiply sigmas", "scale sigmas", "shift sigmas", "join sigmas", "concat sigmas", "flip sigmas"],
                *["unsampling", "merge sigmas", "interpolate sigmas", "set sigma", "img2img"],
            ],
            inputs=[
                io.Sigmas.Input("sigmas", tooltip="The schedule to change."),
                io.Combo.Input(
                    "edit",
                    options=list(EDITS),
                    default=next(iter(EDITS)),
                    tooltip="resample: another number of steps. scale: every sigma times factor. shift: as "
                    "ModelSamplingSD3 does it, for flow models. pin: the nearest step moves on to sigma. start at "
                    "denoise: for image to image. blend: between this schedule and second. join: this schedule down "
                    "to the start of second, then second. flip: backwards, for unsampling.",
                ),
                _of(["resample"], host.steps_in(8, "Of resample: the number of steps to bring the schedule to.")),
                _of(["resample", "blend"], host.resampling_in(f"Of resample and blend. {ENDS_STAY}")),
                _of(
                    ["scale", "shift"],
                    io.Float.Input(
                        "factor",
                        default=1.0,
                        min=0.01,
                        max=100.0,
                        step=0.01,
                        tooltip="Of scale and shift: 1 changes nothing. More is more noise, less is less.",
                    ),
                ),
                _of(
                    ["pin"],
                    host.sigma_in(
                        "Of pin: the noise level that a step shall have, for example the boundary between two models."
                    ),
                ),
                _of(
                    ["start at denoise"],
                    host.denoise_in("Of start at denoise: how much of the noise is put on the picture.", 0.6),
                ),
                _of(
                    ["start at denoise"],
                    io.Boolean.Input(
                        "keep_steps",
                        default=True,
                        tooltip="Of start at denoise. On: as many steps as before, spread over the part that is left. "
                        "Off: only the steps that lie below the start, and so fewer.",
                    ),
                ),
                _of(
                    ["blend"],
                    io.Float.Input(
                        "weight",
                        default=0.5,
                        min=0.0,
                        max=1.0,
                        step=0.01,
                        tooltip="Of blend: 0 is only this schedule, 1 only the second. Between them each step is mixed "
                        "in ln sigma.",
                    ),
                ),
                io.Sigmas.Input("second", optional=True, tooltip="Of blend and join: the other schedule."),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that will sample. Needed by shift and start at denoise; with the others it "
                    "checks that the schedule does not start above the model's largest sigma.",
                ),
            ],
            outputs=[host.sigmas_out(), host.report_out()],
        )

    @classmethod
    def execute(cls, edit: str, **inputs: Any) -> io.NodeOutput:
        with host.named_errors(NAME):
            host.check_choice("edit", edit, EDITS)
        return output_of(NAME, EDITS[edit], inputs)


def _of(edits: list[str], node_input: io.Input) -> io.Input:
    """Mark an input as one that only these edits look at, so that the page may hide it beside the others."""
    node_input.extra_dict = {**node_input.extra_dict, "hso_shown_for": {"edit": edits}}
    return node_input


# -- nodes for one edit: workflows have them, the menu does not --------------------------------------------------------


class _OneEdit(io.ComfyNode):
    NAME: ClassVar[str]
    EDIT: ClassVar[Callable[..., Edited]]

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return output_of(cls.NAME, cls.EDIT, inputs)

    @classmethod
    def schema_of(cls, node_id: str, description: str, inputs: list[io.Input]) -> io.Schema:
        return host.schema(
            node_id=node_id,
            name=cls.NAME,
            category=host.category_of("SplitSigmas"),
            description=f"{description} Edit Sigmas (HSO) does the same.",
            aliases=[],
            is_deprecated=True,
            inputs=inputs,
            outputs=[host.sigmas_out(), host.report_out()],
        )


class BlendSchedules(_OneEdit):
    NAME = "Blend Schedules (HSO)"

    @staticmethod
    def EDIT(first: Any, second: Any, **inputs: Any) -> Edited:  # noqa: N802
        return blend(sigmas=first, second=second, names=("first", "second"), **inputs)

    @classmethod
    def define_schema(cls) -> io.Schema:
        weight = "0: only the first. 1: only the second. Between them each step is mixed in ln sigma."
        return cls.schema_of(
            "HSOBlendSchedules",
            "A schedule between two others.",
            [
                io.Sigmas.Input("first", tooltip="The schedule at weight 0."),
                io.Sigmas.Input("second", tooltip="The schedule at weight 1."),
                io.Float.Input("weight", default=0.5, min=0.0, max=1.0, step=0.01, tooltip=weight),
                host.resampling_in("How the shorter schedule is brought to the number of steps of the longer one."),
            ],
        )


class PinSigma(_OneEdit):
    NAME, EDIT = "Pin Sigma (HSO)", staticmethod(pin)

    @classmethod
    def define_schema(cls) -> io.Schema:
        return cls.schema_of(
            "HSOPinSigma",
            "Moves the nearest step of a schedule exactly on to a noise level. The number of steps stays.",
            [
                io.Sigmas.Input("sigmas", tooltip="The schedule. Its first and its last value never move."),
                host.sigma_in(
                    "The noise level that a step shall have, for example the boundary between two models. Wan 2.2: "
                    "0.875 for text to video, 0.9 for image to video."
                ),
            ],
        )


class StartAtDenoise(_OneEdit):
    NAME, EDIT = "Start at Denoise (HSO)", staticmethod(start_at_denoise)

    @classmethod
    def define_schema(cls) -> io.Schema:
        return cls.schema_of(
            "HSOStartAtDenoise",
            "The end of a schedule, for image to image: it starts at the noise level of a denoise value.",
            [
                io.Sigmas.Input("sigmas", tooltip="A schedule for full denoise."),
                io.Model.Input("model", tooltip="The model that will sample. It says how much noise that is."),
                host.denoise_in("How much of the noise is put on the picture. 1 leaves the schedule as it is.", 0.6),
                io.Boolean.Input(
                    "keep_steps",
                    default=True,
                    tooltip="On: as many steps as before, spread over the part that is left. Off: only the steps "
                    "that lie below the start, and so fewer.",
                ),
            ],
        )


class ResampleSchedule(_OneEdit):
    NAME, EDIT = "Resample Schedule (HSO)", staticmethod(resample)

    @classmethod
    def define_schema(cls) -> io.Schema:
        return cls.schema_of(
            "HSOResampleSchedule",
            "The same schedule with another number of steps. Its ends stay.",
            [
                io.Sigmas.Input("sigmas", tooltip="The schedule. With as many steps as wanted it stays as it is."),
                host.steps_in(8, "The number of steps to bring it to."),
                host.resampling_in(ENDS_STAY),
            ],
        )
