"""Calibrate Sigmas: the schedule that is best for the user's own model, sampler and guidance, by measurement."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core import NoiseSchedule, calibration
from ...hso_core.calibration import BUDGETS, Calibration
from ...hso_core.calibration.calibrate import EARLIER, FITTED
from ...hso_core.calibration.reference import reference_sigmas, reference_steps
from ...hso_core.schedule.sigmas import print_sigmas
from .. import host
from ..pictures.plot_data import plot_ui
from ..sampling.notes import name_of
from . import calibration_store, reference_store
from .calibration_store import StoredCalibration
from .fingerprint import fingerprint
from .inputs import (
    check_guider,
    denoise_widget,
    distilled_warning,
    open_run,
    picture_start,
    sampling_sockets,
    sampling_widgets,
    seed_widget,
    selectable_schedules,
    widget_numbers,
)
from .run import SamplingRun, cancelled_as_comfyui_does
from .sampler_traits import check_sampler, reference_for

logger = logging.getLogger(__name__)

NAME = "Calibrate Sigmas (HSO)"
ALGORITHM = 3  # a new number forgets what older versions found
REUSE, ANEW = "reuse", "search again"
SHOWN_BESIDE = 4
TELL_EVERY = 20.0  # seconds


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
                io.Combo.Input(
                    "budget",
                    options=list(BUDGETS),
                    default="normal",
                    tooltip="How much of the model's time to spend: "
                    + ", ".join(f"{name} {count}" for name, count in BUDGETS.items())
                    + " evaluations. A picture of 20 steps takes 20.",
                ),
                seed_widget("The first of the seeds that the search samples. The schedule is good for all seeds."),
                io.Combo.Input(
                    "remembered",
                    options=[REUSE, ANEW],
                    default=REUSE,
                    tooltip=f"{REUSE}: what was found earlier for just these inputs is returned at once. {ANEW}: the "
                    "search runs again, and goes on from what was found.",
                ),
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
        """Another value at each call for a search anew, or ComfyUI's cache would put out the last one's result."""
        return float("nan") if remembered == ANEW else 0.0

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
            result = earlier = calibration_store.recall(key, noise)
            if result is None or remembered == ANEW:
                result = _search(run, candidates, earlier, steps, noise, start, BUDGETS[budget], seed)
                replaced = result.complete or not (earlier and earlier.complete)
                if replaced:
                    calibration_store.store(key, result)
                if not result.complete:
                    _tell_of_cancelling(result.evaluations, BUDGETS[budget], "schedule" if replaced else "earlier")
                    host.stop_if_cancelled()
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
    """The calibration; where the user cancels, what it had found until then. It keeps its reference runs for others.

    earlier: what the last one found. start: the sigma at which a picture is changed; None where one is made.
    """
    noise = noise if start is None else noise.up_to(start)
    begun = time.monotonic()
    a_step = check_sampler(run)
    tried_out = run.evaluations
    reference_run = reference_for(run)
    reference_schedule = reference_sigmas(noise, reference_steps(steps, noise.family))
    # Kept back for run.proof, also where remembered runs spare it, so that the result is the same with them.
    proof = 2 * a_step * (len(reference_schedule) - 1) if run.largest_batch > 1 else 0
    key = reference_store.key_of(reference_run, reference_schedule, seed)
    remembered = reference_store.recall(key, reference_run)
    found = calibration.calibrate(
        run,
        reference_run,
        candidates,
        steps,
        noise,
        budget - tried_out - proof,
        first_seed=seed,
        change=start is not None,
        earlier=None if earlier is None else earlier.sigmas,
        remembered=remembered,
        on_progress=_Progress(),
        should_stop=host.is_cancelled,
    )
    if found.references and (remembered is None or len(found.references.by_place) > len(remembered.by_place)):
        reference_store.store(key, found.references)
    spared = max(proof - run.proof, 0) if found.remembered else 0
    found = replace(
        found,
        evaluations=found.evaluations + tried_out + run.proof + spared,
        remembered=found.remembered + spared,
    )
    cancelled = host.is_cancelled()
    if not found.rows:  # nothing has been measured
        if cancelled:
            kept = "earlier" if earlier else "references" if found.references else "nothing"
            _tell_of_cancelling(found.evaluations, budget, kept)
        host.stop_if_cancelled()
        raise ValueError(f"a budget of {budget} evaluations is too small for {steps} steps; choose a larger one")
    return StoredCalibration(
        sigmas=found.sigmas,
        winner=found.shown_as,
        report=_report(found, run, start, time.monotonic() - begun),
        evaluations=found.evaluations,
        complete=not cancelled,
    )


KEPT = {
    "schedule": "the best that it had found is kept: it comes back at once when the workflow is queued again",
    "earlier": "the earlier result is kept, and comes back at once when the workflow is queued again",
    "references": "no schedule was measured yet; finished runs with many steps are kept, so the next search is shorter",
    "nothing": "nothing was finished yet, so nothing is kept",
}
"""What the page and the log are told of a search that was cancelled."""


def _tell_of_cancelling(evaluations: int, budget: int, kept: str) -> None:
    logger.info("%s: cancelled after %d of %d evaluations; %s.", NAME, evaluations, budget, KEPT[kept])
    host.tell_page("hso_cancelled", evaluations=evaluations, budget=budget, kept=kept)


class _Progress:
    """Moves the node's progress bar, and says in ComfyUI's log now and then how much time is left."""

    def __init__(self) -> None:
        self._bar = host.progress_bar()
        self._begun: tuple[int, float] | None = None  # the first evaluations: those remembered take no time
        self._told = time.monotonic()
        self._stage = ""

    def __call__(self, done: int, total: int, stage: str) -> None:
        try:
            self._bar(done, total)
        except host.CANCELLED:
            host.cancel()  # the search sees it, ends by itself, and keeps what it has found
        now = time.monotonic()
        if done and self._begun is None:
            self._begun = done, now
        first, begun = self._begun or (done, now)
        if done > first and (stage != self._stage or now - self._told > TELL_EVERY):
            left = (now - begun) * (total - done) / (done - first)
            logger.info("%s: %s; %d of %d evaluations, about %s left", NAME, stage, done, total, duration(left))
            self._told = now
        self._stage = stage


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _report(found: Calibration, run: SamplingRun, start: float | None, seconds: float) -> str:
    warning = distilled_warning(run.guider.model_patcher)
    from_start = "" if start is None else f" from sigma {start:.4g} on the picture in latent_image"
    made = max(found.evaluations - found.remembered, 1)
    size = " x ".join(str(length) for length in run.latent.shape[1:])
    return "\n\n".join(
        [
            *([f"**{warning}**"] if warning else []),
            found.report().strip(),
            f"sigmas: {print_sigmas(found.sigmas)}",
            f"{name_of(run.sampler)}, {len(found.sigmas) - 1} steps{from_start}, latents of {size}; "
            f"{duration(seconds)} in all, {1000 * seconds / made:.0f} ms an evaluation.",
        ]
    )


def _output(
    result: StoredCalibration, candidates: dict[str, Tensor], noise: NoiseSchedule, model: Any
) -> io.NodeOutput:
    note = distilled_warning(model)
    if not result.complete:
        note = (
            f"The search was cancelled after {result.evaluations} evaluations; this is the best that it had found. "
            f"With remembered at {ANEW!r} it goes on from there."
        )
    shown = [(name, sigmas) for name, sigmas in candidates.items() if not sigmas.equal(result.sigmas)]
    facts = [] if result.winner == FITTED else [("winner", result.winner)]
    ui = plot_ui([(FITTED, result.sigmas), *shown[:SHOWN_BESIDE]], noise=noise, facts=facts, note=note)
    report = f"{result.report}\n\n{note}" if not result.complete else result.report
    return io.NodeOutput(host.sigmas_output(result.sigmas), report, ui=ui)
