"""Calibrate Sigmas: the schedule that is best for the user's own model, sampler and guidance, by measurement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core import NoiseSchedule, calibration
from ...hso_core.calibration import BUDGETS
from ...hso_core.calibration.calibrate import Plan
from ...hso_core.calibration.outcome import EARLIER, FITTED
from ...hso_core.calibration.reference import reference_steps
from ...hso_core.schedule.sigmas import print_sigmas
from .. import host
from ..pictures.plot_data import plot_ui
from ..sampling.notes import name_of
from .calibration_store import StoredCalibration
from .fingerprint import fingerprint
from .inputs import (
    check_guider,
    denoise_widget,
    open_run,
    picture_start,
    sampling_sockets,
    sampling_widgets,
    seed_widget,
    selectable_schedules,
    widget_numbers,
)
from .run import SamplingRun, cancelled_as_comfyui_does
from .sampler_traits import check_sampler
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

NAME = "Calibrate Sigmas (HSO)"
ALGORITHM = 7  # a new number forgets what older versions found
SHOWN_BESIDE = 4


class CalibrateSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="HSOCalibrateSchedule",
            name=NAME,
            category=host.category_of("BasicScheduler"),
            description="Finds the schedule with which your model, sampler and guidance come closest to the converged "
            "picture, by sampling for real. The normal budget takes as long as 100 pictures of 20 steps, once: the "
            "result is remembered.",
            aliases=["fit schedule", "tune sigmas", "few steps", "best scheduler"],
            inputs=[
                *sampling_widgets(steps=6),
                budget_widget(),
                seed_widget("The first of the seeds that the search samples. The schedule is good for all seeds."),
                remembered_widget(),
                *sampling_sockets(),
                denoise_widget(),
            ],
            outputs=[
                host.sigmas_out(),
                host.report_out("The gain, measured, in Markdown, and the sigmas as text."),
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
        sampler_name: str,
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
            run = open_run(latent_image, cfg, sampler_name, **sockets)
            model = run.guider.model_patcher
            noise = host.noise_schedule(model)
            check_guider(run.guider, steps, reference_steps(steps, noise.family))
            start = picture_start(model, denoise, latent_image)
            candidates = selectable_schedules(model, steps, run.sampler, denoise)
            drawn_from = (run.latent, run.mask, run.batch_index, seed)
            key = fingerprint(run.guider, run.sampler, *drawn_from, steps, budget, denoise, ALGORITHM)
            result, earlier = recall_or_search(
                NAME,
                key,
                noise,
                remembered,
                BUDGETS[budget],
                lambda earlier: _search(run, candidates, earlier, steps, noise, start, BUDGETS[budget], seed),
            )
            if earlier is not None and not earlier.sigmas.equal(result.sigmas):
                candidates = {EARLIER: earlier.sigmas, **candidates}
        return _output(result, candidates, noise, model)


def _search(
    run: SamplingRun,
    candidates: dict[str, Tensor],
    earlier: StoredCalibration | None,
    steps: int,
    noise: NoiseSchedule,
    start: float | None,
    budget: int,
    seed: int,
) -> StoredCalibration:
    """The calibration; where the user cancels, what it had found until then.

    earlier: what the last one found. start: the sigma at which a picture is changed; None where one is made.
    """
    a_step = check_sampler(run)
    search = Search(NAME, run, noise, start, steps, seed, budget, a_step)
    found = calibration.calibrate(
        run,
        search.reference_run,
        candidates,
        steps,
        search.noise,
        search.left,
        earlier=None if earlier is None else earlier.sigmas,
        plan=Plan.of(budget, steps, noise.family),
        **search.options(),
    )
    evaluations, remembered = search.total(found.evaluations, found.remembered)
    search.ended(found.references, evaluations, bool(found.rows), earlier is not None)
    return StoredCalibration(
        sigmas=found.sigmas,
        winner=found.shown_as,
        report=search.report(
            name_of(run.sampler),
            evaluations,
            remembered,
            replace(found, evaluations=evaluations, remembered=remembered).report().strip(),
            f"sigmas: {print_sigmas(found.sigmas)}",
        ),
        evaluations=evaluations,
        complete=not host.is_cancelled(),
    )


def _output(
    result: StoredCalibration, candidates: dict[str, Tensor], noise: NoiseSchedule, model: Any
) -> io.NodeOutput:
    note = note_on(result, model)
    shown = [(name, sigmas) for name, sigmas in candidates.items() if not sigmas.equal(result.sigmas)]
    facts = [] if result.winner == FITTED else [("winner", result.winner)]
    ui = plot_ui([(FITTED, result.sigmas), *shown[:SHOWN_BESIDE]], noise=noise, facts=facts, note=note)
    report = result.report if result.complete else f"{result.report}\n\n{note}"
    return io.NodeOutput(host.sigmas_output(result.sigmas), report, ui=ui)
