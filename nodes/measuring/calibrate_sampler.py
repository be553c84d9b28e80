"""Calibrate Sampler: a sampler and its schedule, fitted together to the user's own model and guidance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core import NoiseSchedule
from ...hso_core.calibration import BUDGETS, calibrate_sampler
from ...hso_core.calibration.outcome import FITTED
from ...hso_core.calibration.reference import reference_steps
from ...hso_core.solvers import print_solver
from .. import host
from ..pictures.plot_data import plot_ui
from ..sampling.fitted_sampler import as_sampler
from .calibrate import SHOWN_BESIDE
from .calibration_store import StoredCalibration
from .fingerprint import fingerprint
from .inputs import (
    check_guider,
    denoise_widget,
    model_sockets,
    model_widgets,
    open_run,
    picture_start,
    seed_widget,
    selectable_schedules,
    widget_numbers,
)
from .run import SamplingRun, cancelled_as_comfyui_does
from .search import (
    ANEW,
    REUSE,
    Search,
    budget_widget,
    note_on,
    recall_or_search,
    remembered_widget,
    search_fingerprint,
)
from .stepped_run import SteppedSamplingRun

NAME = "Calibrate Sampler (HSO)"
ALGORITHM = 6  # a new number forgets what older versions found
COMPARED = ("dpmpp_2m", "uni_pc", "euler")
"""The samplers that the result is judged against, each with every schedule at hand."""


class CalibrateSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="HSOCalibrateSampler",
            name=NAME,
            category=host.category_of("BasicScheduler"),
            description="Fits a sampler together with its schedule to your model and guidance, by sampling for real: "
            "nearer to the converged picture than any sampler with any schedule. The normal budget takes as long as "
            "100 pictures of 20 steps, once: the result is remembered.",
            aliases=["fit sampler", "solver", "few steps", "best sampler", "tune sampler"],
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
                host.report_out("The gain, measured, in Markdown, and the sampler as text for Fitted Sampler (HSO)."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, remembered: str | None = None, **_: Any) -> float:
        return search_fingerprint(remembered)

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
            steps, seed, denoise = widget_numbers(steps=steps, seed=seed, denoise=denoise)
            run = open_run(latent_image, cfg, COMPARED[0], **sockets)
            model = run.guider.model_patcher
            noise = host.noise_schedule(model)
            check_guider(run.guider, steps, reference_steps(steps, noise.family))
            start = picture_start(model, denoise, latent_image)
            drawn_from = (run.latent, run.mask, run.batch_index, seed)
            key = fingerprint(run.guider, *drawn_from, steps, budget, denoise, "sampler", ALGORITHM)
            result, _ = recall_or_search(
                NAME,
                key,
                noise,
                remembered,
                BUDGETS[budget],
                lambda earlier: _search(run, denoise, earlier, steps, noise, start, BUDGETS[budget], seed),
            )
        return _output(result, noise, model, selectable_schedules(model, steps, run.sampler, denoise))


def pairs_at_hand(model: Any, steps: int, denoise: float = 1.0) -> dict[str, tuple[str, Tensor]]:
    """The samplers of COMPARED with every schedule that the user could select for `model`.

    By "sampler schedule", as Compare Schedulers (HSO) takes them.
    """
    return {
        f"{name} {schedule}": (name, sigmas)
        for name in COMPARED
        for schedule, sigmas in selectable_schedules(model, steps, host.sampler(name), denoise).items()
    }


def _search(
    run: SamplingRun,
    denoise: float,
    earlier: StoredCalibration | None,
    steps: int,
    noise: NoiseSchedule,
    start: float | None,
    budget: int,
    seed: int,
) -> StoredCalibration:
    """The calibration; where the user cancels, what it had found until then."""
    search = Search(NAME, run, noise, start, steps, seed, budget)
    found = calibrate_sampler(
        SteppedSamplingRun(run),
        search.reference_run,
        pairs_at_hand(run.guider.model_patcher, steps, denoise),
        steps,
        search.noise,
        search.left,
        earlier=earlier.solver if earlier else None,
        **search.options(),
    )
    evaluations, remembered = search.total(found.evaluations, found.remembered)
    search.ended(found.references, evaluations, bool(found.rows), earlier is not None)
    return StoredCalibration(
        sigmas=found.solver.sigmas,
        winner=found.shown_as,
        report=search.report(
            NAME,
            evaluations,
            remembered,
            replace(found, evaluations=evaluations, remembered=remembered).report().strip(),
            f"As text, for Fitted Sampler (HSO):\n\n```\n{print_solver(found.solver)}\n```",
        ),
        evaluations=evaluations,
        complete=not host.is_cancelled(),
        fitted=found.solver,
    )


def _output(result: StoredCalibration, noise: NoiseSchedule, model: Any, schedules: dict[str, Tensor]) -> io.NodeOutput:
    note = note_on(result, model)
    shown = [(name, sigmas) for name, sigmas in schedules.items() if not sigmas.equal(result.sigmas)]
    facts = [] if result.winner == FITTED else [("winner", result.winner)]
    ui = plot_ui([(FITTED, result.sigmas), *shown[:SHOWN_BESIDE]], noise=noise, facts=facts, note=note)
    report = result.report if result.complete else f"{result.report}\n\n{note}"
    return io.NodeOutput(as_sampler(result.solver), host.sigmas_output(result.sigmas), report, ui=ui)
