"""Custom Sigmas: a schedule as text, kept in the workflow."""

from __future__ import annotations

import logging
from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core import MAX_STEPS
from ...hso_core.schedule.numbers import whole_number
from ...hso_core.schedule.sigmas import (
    SigmasError,
    check_sigmas,
    is_blank,
    parse_sigmas,
    print_sigmas,
    resample_sigmas,
)
from .. import host
from ..pictures.plot_data import plot_ui

logger = logging.getLogger(__name__)

NAME = "Custom Sigmas (HSO)"


class CustomSigmas(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="HSOCustomSigmas",
            name=NAME,
            category=host.category_of("SplitSigmas"),
            description="A schedule that you draw, type or paste. It is saved in the workflow, so everybody who opens "
            "the workflow samples with exactly these values.",
            aliases=["manual sigmas", "sigmas from text", "schedule", "curve", "control points"],
            inputs=[
                io.String.Input(
                    "text",
                    default="",
                    multiline=True,
                    placeholder="11.54, 4.71, 1.96, 0.81, 0.17, 0",
                    tooltip="The sigmas, from the first to the last (usually 0), separated by commas, spaces or new "
                    "lines. N + 1 values make N steps. Empty: the connected sigmas pass through.",
                ),
                host.steps_in(
                    0,
                    "0: the values exactly as they are. Otherwise the schedule is resampled to so many steps: a few "
                    "values are then the points that a curve of more steps goes through.",
                    low=0,
                ),
                host.resampling_in("How values between the given ones are found. The first and the last value stay."),
                io.Sigmas.Input(
                    "sigmas",
                    optional=True,
                    lazy=True,
                    tooltip="Used while the text is empty. With text it is not even computed.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="If connected, the schedule is checked: a start above the model's largest sigma is "
                    "announced, and refused for a flow model.",
                ),
            ],
            outputs=[
                host.sigmas_out(),
                io.String.Output("sigmas_text", display_name="text", tooltip="The same values, ready to be pasted."),
            ],
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        if text and not is_blank(text):
            try:
                parse_sigmas(text)
            except SigmasError as error:
                return str(error)  # ComfyUI puts the node's and the input's name in front
        return True

    @classmethod
    def check_lazy_status(cls, text: str, **linked: Any) -> list[str]:
        # ComfyUI gives None for a link that has not been computed, and nothing where there is no link.
        wanted = is_blank(text) and linked.get("sigmas", 0) is None
        return ["sigmas"] if wanted else []

    @classmethod
    def execute(
        cls,
        text: str,
        steps: int,
        resampling: str,
        sigmas: Tensor | None = None,
        model: Any = None,
    ) -> io.NodeOutput:
        with host.named_errors(NAME):
            if not is_blank(text):
                result = parse_sigmas(text)
            elif sigmas is not None:
                result = check_sigmas(sigmas.detach().cpu().float())
            else:
                raise SigmasError("there are no sigmas; type some into text, or connect some")
            if whole_number("steps", steps, 0, MAX_STEPS):
                result = resample_sigmas(result, steps, resampling)
            odd = host.check_schedule(result, model) if model is not None else None
        warnings = [odd] if odd else []
        if float(result[-1]) > 0:
            warnings.append(f"ends at {float(result[-1]):g}, not at 0: noise will be left.")
        for warning in warnings:
            logger.warning("%s: %s", NAME, warning)
        ui = plot_ui(
            [("connected" if is_blank(text) else "text", result)],
            noise=host.readable_noise_schedule(model) if model is not None else None,
            note=" ".join(warnings),
        )
        return io.NodeOutput(host.sigmas_output(result), print_sigmas(result), ui=ui)
