"""Calibrate Sampler: a sampler and its schedule, fitted together to the user's own model and guidance."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core import NoiseSchedule
from ...hso_core.calibration import BUDGETS, SamplerCalibration, calibrate_sampler
from ...hso_core.solvers import print_solver
from .. import host
from ..pictures.plot_data import plot_ui
from ..sampling.fitted_sampler import as_sampler
from . import calibration_store
from .calibrate import ANEW, REUSE, SHOWN_BESIDE, Search, budget_widget, remembered_widget
from .calibration_store import StoredCalibration
from .fingerprint import fingerprint
from .inputs import (
    check_ranges,
    denoise_widget,
    distilled_warning,
    model_sockets,
    model_widgets,
    open_run,
    picture_start,
    seed_widget,
    selectable_schedules,
)
from .run import SamplingRun, cancelled_as_comfyui_does
from .stepped_run import SteppedSamplingRun

NAME = "Calibrate Sampler (HSO)"
ALGORITHM = 1  # a new number forgets what older versions found
COMPARED = ("dpmpp_2m", "uni_pc", "euler")
"""The samplers that the result must be better than, each with every schedule at hand."""
EARLIER = "earlier result"


class CalibrateSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        # The order of the widgets is part of every saved workflow: new ones only at the end.
        return host.schema(
            node_id="HSOCalibrateSampler",
            display_name=NAME,
            category=host.category_of("BasicScheduler"),
            description="Fits a sampler together with its schedule to your model and guidance, by sampling for real: "
            "nearer to the converged picture than any sampler with any schedule. The normal budget takes as long as "
            "100 pictures of 20 steps, once: the result is remembered.",
            search_aliases=["hso", "fit sampler", "solver", "few steps", "best sampler", "tune sampler"],
            inputs=[
                *model_widgets(steps=6),
                budget_widget(),
                seed_widget("The first of the seeds that the search samples. The sampler is good for all seeds."),
                remembered_widget(),
                *model_sockets(),
                denoise_widget(),
            ],
            outputs=[
                io.Sampler.Output(
                    display_name="SAMPLER",
                    tooltip="For SamplerCustom, SamplerCustomAdvanced or KSampler (HSO), with these sigmas only.",
                ),
                io.Sigmas.Output(display_name="SIGMAS", tooltip="The schedule that the sampler belongs to."),
                io.String.Output(
                    display_name="report",
                    tooltip="The gain, measured, in Markdown, and the sampler as text for Fitted Sampler (HSO).",
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, remembered: str | None = None, **_: Any) -> float:
        """Another value at each call for a search anew, or ComfyUI's cache would put out the last one's result."""
        return float("nan") if remembered == ANEW else 0.0

    @classmethod
    def execute(
        cls,
        steps: int,
        cfg: float,
        budget: str,
        seed: int,
        remembered: str,
        latent_image: dict[str, Any],
        denoise: float = 1.0,
        **sockets: Any,
    ) -> io.NodeOutput:
        with host.named_errors(NAME), cancelled_as_comfyui_does():
            host.check_choice("budget", budget, BUDGETS)
            host.check_choice("remembered", remembered, (REUSE, ANEW))
            check_ranges(steps=steps, denoise=denoise)
            run = open_run(latent_image, cfg, COMPARED[0], **sockets)
            model = run.guider.model_patcher
            noise = host.noise_schedule(model)
            start = picture_start(model, denoise, latent_image)
            drawn_from = (run.latent, run.mask, run.batch_index, seed)
            key = fingerprint(run.guider, *drawn_from, steps, budget, denoise, "sampler", ALGORITHM)
            result = calibration_store.recall(key, noise)
            if result is None or remembered == ANEW:
                pairs = pairs_at_hand(model, steps, denoise)
                earlier = result
                result = _search(run, pairs, earlier, steps, noise, start, BUDGETS[budget], seed)
                if result.complete or not (earlier and earlier.complete):
                    calibration_store.store(key, result)
                if not result.complete:
                    host.stop_if_cancelled()
        return _output(result, noise, model, selectable_schedules(model, steps, run.sampler, denoise))


def pairs_at_hand(model: Any, steps: int, denoise: float = 1.0) -> dict[str, tuple[str, Tensor]]:
    """By "sampler, schedule": the samplers of COMPARED with every schedule that the user could select for `model`."""
    return {
        f"{name}, {schedule}": (name, sigmas)
        for name in COMPARED
        for schedule, sigmas in selectable_schedules(model, steps, host.sampler(name), denoise).items()
    }


def _search(
    run: SamplingRun,
    pairs: dict[str, tuple[str, Tensor]],
    earlier: StoredCalibration | None,
    steps: int,
    noise: NoiseSchedule,
    start: float | None,
    budget: int,
    seed: int,
) -> StoredCalibration:
    """The calibration; where the user cancels, what it had found until then."""
    search = Search(NAME, run, noise, start, steps, seed)
    found = calibrate_sampler(
        SteppedSamplingRun(run),
        search.reference_run,
        pairs,
        steps,
        search.noise,
        budget,
        earlier=(EARLIER, earlier.solver) if earlier else None,
        **search.options(),
    )
    search.keep_references(found.references)
    if not found.rows:  # nothing has been measured
        search.nothing_measured(budget)
    return StoredCalibration(
        sigmas=found.solver.sigmas,
        winner=found.name,
        report=_report(found, search),
        evaluations=found.evaluations,
        complete=not host.is_cancelled(),
        weights=found.solver.weights,
    )


def _report(found: SamplerCalibration, search: Search) -> str:
    warning = distilled_warning(search.run.guider.model_patcher)
    parts = [
        *([f"**{warning}**"] if warning else []),
        found.report().strip(),
        f"For Fitted Sampler (HSO):\n\n```\n{print_solver(found.solver)}\n```",
        search.footer("fitted sampler", found.solver.steps, found.evaluations, found.remembered),
    ]
    return "\n\n".join(parts)


def _output(
    result: StoredCalibration, noise: NoiseSchedule, model: Any, schedules: dict[str, Tensor]
) -> io.NodeOutput:
    note = distilled_warning(model)
    if not result.complete:
        note = (
            f"The search was cancelled after {result.evaluations} evaluations; this is the best that it had found. "
            f"With remembered at {ANEW!r} it goes on from there."
        )
    shown = [(name, sigmas) for name, sigmas in schedules.items() if not sigmas.equal(result.sigmas)]
    facts = [("winner", result.winner), ("evaluations", str(result.evaluations))]
    ui = plot_ui([("fitted", result.sigmas), *shown[:SHOWN_BESIDE]], noise=noise, facts=facts, note=note)
    report = f"{result.report}\n\n{note}" if not result.complete else result.report
    return io.NodeOutput(as_sampler(result.solver), host.sigmas_output(result.sigmas), report, ui=ui)
