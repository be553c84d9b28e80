"""Split Sigmas: two schedules out of one."""

from __future__ import annotations

import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core import MAX_STEPS
from ...hso_core.schedule import tools
from ...hso_core.schedule.sigmas import plain_decimal, print_sigmas
from .. import host
from ..pictures.plot_data import plot_ui
from .edits import schedule_of

NAME = "Split Sigmas (HSO)"
PLACES = ("sigma", "step")  # where a schedule is split


class SplitSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="HSOSplitSchedule",
            name=NAME,
            category=host.category_of("SplitSigmas"),
            description="Two schedules out of one, for two samplers or two models in a row (Wan 2.2, a refiner).",
            aliases=["split schedule", "wan boundary", "high noise", "low noise", "refiner"],
            inputs=[
                io.Sigmas.Input("sigmas", tooltip="The schedule to split."),
                io.Combo.Input(
                    "where",
                    options=list(PLACES),
                    default=PLACES[0],
                    tooltip="sigma: at a noise level, whatever the number of steps. step: after so many steps.",
                ),
                host.sigma_in(
                    "The noise level of the boundary. Steps that start above it are high, one that starts exactly at "
                    "it is the first of the low part. Wan 2.2: 0.875 for text to video, 0.9 for image to video."
                ),
                io.Boolean.Input(
                    "insert",
                    default=True,
                    tooltip="Whether the boundary itself becomes a value of the schedule, which is one step more. "
                    "Off: the low part starts at the next value below it.",
                ),
                io.Int.Input("step", default=2, min=1, max=MAX_STEPS, tooltip="So many steps are high, the rest low."),
                io.Boolean.Input(
                    "keep_steps",
                    default=False,
                    optional=True,
                    tooltip="On: the nearest step moves on to the boundary, in place of insert, so that the number of "
                    "steps stays.",
                ),
            ],
            outputs=[
                io.Sigmas.Output("high", display_name="high", tooltip="The first part, for the first sampler."),
                io.Sigmas.Output(
                    "low", display_name="low", tooltip="The rest, for the second sampler; it adds no noise of its own."
                ),
                host.report_out(),
            ],
        )

    @classmethod
    def execute(
        cls, sigmas: Tensor, where: str, sigma: float, insert: bool, step: int, keep_steps: bool = False
    ) -> io.NodeOutput:
        with host.named_errors(NAME):
            host.check_choice("where", where, PLACES)
            given = schedule_of("sigmas", sigmas)
            if where == "step":
                high, low = tools.split_at_step(given, step)
            else:
                high, low = tools.split_at_sigma(given, sigma, insert, keep_steps=keep_steps)
        note = f"Split at sigma {plain_decimal(low[0])}: {len(high) - 1} steps are high, {len(low) - 1} low."
        if len(high) == 1:
            note += " The schedule starts there, or lower: the first sampler only adds the noise."
        report = f"{note}\n\nhigh: {print_sigmas(high)}\n\nlow: {print_sigmas(low)}"
        whole = torch.cat([high, low[1:]])
        ui = plot_ui([("high and low", whole)], facts=[("high", str(len(high) - 1)), ("low", str(len(low) - 1))])
        return io.NodeOutput(host.sigmas_output(high), host.sigmas_output(low), report, ui=ui)
