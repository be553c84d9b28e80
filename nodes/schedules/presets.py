"""Preset Sigmas: published schedules, each with its source."""

from __future__ import annotations

import logging
from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core import MAX_STEPS
from ...hso_core.schedule.baselines import TABLES, describe_mismatch, table_sigmas
from ...hso_core.schedule.numbers import real_number, whole_number
from ...hso_core.schedule.sigmas import print_sigmas
from .. import host
from ..pictures.plot_data import plot_ui

logger = logging.getLogger(__name__)

NAME = "Preset Sigmas (HSO)"


class PresetSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="HSOPresetSchedule",
            name=NAME,
            category=host.category_of("BasicScheduler"),
            description="Schedules that others have published: Align Your Steps, GITS, OptimalSteps, and the lists of "
            "distilled models. The report names the source, and the model that each one is for.",
            aliases=[
                "preset schedule",
                "ays",
                "align your steps",
                "gits",
                "oss",
                "optimal steps",
                "turbo",
                "lightning",
            ],
            inputs=[
                io.Combo.Input(
                    "preset",
                    options=list(TABLES),
                    default=next(iter(TABLES)),
                    tooltip="The published schedule. It suits the model in its name, and others with the same noise "
                    "less well.",
                ),
                host.steps_in(
                    0,
                    "0: as many as were published (the most, if there are several lists). At other numbers the values "
                    "are interpolated, and the report says so.",
                    low=0,
                ),
                host.denoise_in(
                    "Below 1 for image to image, as in BasicScheduler: the last steps of a longer schedule, so that "
                    "their number stays."
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="If connected, a preset for another kind of model is announced, and refused where it "
                    "starts above the largest sigma of a flow model.",
                ),
            ],
            outputs=[
                host.sigmas_out(),
                host.report_out("Whose values these are, whether as published, and for which model."),
            ],
        )

    @classmethod
    def execute(cls, preset: str, steps: int, denoise: float, model: Any = None) -> io.NodeOutput:
        with host.named_errors(NAME):
            denoise = real_number("denoise", denoise, 0.01, 1)
            sigmas, notes = _end_of_table(preset, steps, denoise)
            noise = host.readable_noise_schedule(model) if model is not None else None
            table = TABLES[preset]
            odd = None
            if model is not None:
                continues = denoise < 1 or table.continues
                odd = host.check_schedule(sigmas, model, changes_picture=continues)
            odd = (describe_mismatch(preset, noise) if noise is not None else None) or odd
        if odd:
            logger.warning("%s: %s", NAME, odd)
        report = "\n\n".join(
            [
                *([f"Warning: {odd}"] if odd else []),
                f"{preset}, {len(sigmas) - 1} steps. {' '.join(notes)}",
                f"sigmas: {print_sigmas(sigmas)}",
                f"Made for {table.suits}.",
                f"Source: {table.source}.",
            ]
        )
        facts = [("made for", table.suits)]
        ui = plot_ui([(preset, sigmas)], noise=noise, facts=facts, note=odd or "")
        return io.NodeOutput(host.sigmas_output(sigmas), report, ui=ui)


def _end_of_table(preset: str, steps: int, denoise: float) -> tuple[Tensor, list[str]]:
    """The last steps of the table that denoise leaves, as many as were asked for, and what to say of them."""
    if denoise == 1:
        sigmas, note = table_sigmas(preset, steps)
        return sigmas, [note]
    steps = whole_number("steps", steps, 0, MAX_STEPS) or TABLES[preset].step_counts[-1]
    total = int(steps / denoise)
    if total > MAX_STEPS:
        raise ValueError(f"{steps} steps at denoise {denoise:g} are the end of {total}; at most {MAX_STEPS} are made")
    sigmas, note = table_sigmas(preset, total)
    return sigmas[-steps - 1 :], [note, f"These are the last {steps} of {total} steps."]
