"""What the two Calibrate nodes share: their widgets, what is remembered, the progress, and what is told of a search."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypedDict

from comfy_api.v0_0_2 import io

from ...hso_core import NoiseSchedule
from ...hso_core.calibration import BUDGETS, ReferenceRuns
from ...hso_core.calibration.reference import reference_sigmas, reference_steps
from .. import host
from . import calibration_store, reference_store
from .calibration_store import StoredCalibration
from .inputs import distilled_warning
from .run import SamplingRun
from .sampler_traits import reference_for

logger = logging.getLogger(__name__)

REUSE, ANEW = "reuse", "search again"
TELL_EVERY = 20.0  # seconds
KEPT = {
    "schedule": "the best that it had found is kept: it comes back at once when the workflow is queued again",
    "earlier": "the earlier result is kept, and comes back at once when the workflow is queued again",
    "references": "no schedule was measured yet; finished runs with many steps are kept, so the next search is shorter",
    "nothing": "nothing was finished yet, so nothing is kept",
}
"""What the page and the log are told of a search that was cancelled."""


def budget_widget() -> io.Input:
    return io.Combo.Input(
        "budget",
        options=list(BUDGETS),
        default="normal",
        tooltip="How much of the model's time to spend: "
        + ", ".join(f"{name} {count}" for name, count in BUDGETS.items())
        + " evaluations. A picture of 20 steps takes 20.",
    )


def remembered_widget() -> io.Input:
    return io.Combo.Input(
        "remembered",
        options=[REUSE, ANEW],
        default=REUSE,
        tooltip=f"{REUSE}: what was found earlier for just these inputs is returned at once. {ANEW}: the "
        "search runs again, and goes on from what was found.",
    )


def search_fingerprint(remembered: str | None) -> float:
    """For fingerprint_inputs: another value at each call for a search anew, or ComfyUI's cache would put out the last
    one's result."""
    return float("nan") if remembered == ANEW else 0.0


class Options(TypedDict):
    """Arguments that calibrate and calibrate_sampler have alike."""

    first_seed: int
    change: bool
    remembered: ReferenceRuns | None
    on_progress: Callable[[int, int, str], None]
    should_stop: Callable[[], bool]


class Search:
    """One search for a node: its reference, from disk where it is there, its progress, and the time that it takes.

    node: the node's name. run: of the model and the sampler. noise: of the model. start: the sigma at which a picture
    is changed; None where one is made. budget: evaluations; those that `run` has made already count. a_step: how many a
    step of the reference takes. left: of the budget, for the search.
    """

    def __init__(
        self,
        node: str,
        run: SamplingRun,
        noise: NoiseSchedule,
        start: float | None,
        steps: int,
        seed: int,
        budget: int,
        a_step: int = 1,
    ) -> None:
        run.prepare()  # first, so that it is of the budget
        self.node, self.run, self.steps, self.budget = node, run, steps, budget
        self._start, self._seed, self._begun = start, seed, time.monotonic()
        self.noise = noise if start is None else noise.up_to(start)
        self.reference_run = reference_for(run)
        schedule = reference_sigmas(self.noise, reference_steps(steps, noise.family))
        # Kept back for run.proof, also where remembered runs spare it, so that the result is the same with them.
        self._proof = 2 * a_step * (len(schedule) - 1) if run.unproven else 0
        self._tried_out = run.evaluations
        self.left = budget - self._tried_out - self._proof
        self._key = reference_store.key_of(self.reference_run, schedule, seed)
        self._remembered = reference_store.recall(self._key, self.reference_run)

    def options(self) -> Options:
        show, before = _Progress(self.node), self.budget - self.left
        return {
            "first_seed": self._seed,
            "change": self._start is not None,
            "remembered": self._remembered,
            "on_progress": lambda done, _, stage: show(before + done, self.budget, stage),
            "should_stop": host.is_cancelled,
        }

    def total(self, evaluations: int, remembered: int) -> tuple[int, int]:
        """All evaluations that count, and how many of them were remembered, from those of the search itself."""
        spared = max(self._proof - self.run.proof, 0) if remembered else 0
        return evaluations + self._tried_out + self.run.proof + spared, remembered + spared

    def ended(self, references: ReferenceRuns | None, evaluations: int, measured: bool, earlier: bool) -> None:
        """Keep the reference runs for other searches. Where nothing was measured, say why, and raise.

        earlier: whether there is an earlier result.
        """
        known = self._remembered.by_place if self._remembered else {}
        if references and len(references.by_place) > len(known):
            reference_store.store(self._key, references)
        if measured:
            return
        if host.is_cancelled():
            kept = "earlier" if earlier else "references" if references else "nothing"
            tell_of_cancelling(self.node, evaluations, self.budget, kept)
        host.stop_if_cancelled()
        raise ValueError(
            f"a budget of {self.budget} evaluations is too small for {self.steps} steps; choose a larger one"
        )

    def report(self, sampler: str, evaluations: int, remembered: int, *parts: str) -> str:
        """In Markdown: a warning of the model if there is one, the parts, and on what was measured how fast."""
        warning = distilled_warning(self.run.guider.model_patcher)
        from_start = "" if self._start is None else f" from sigma {self._start:.4g} on the picture in latent_image"
        seconds, made = time.monotonic() - self._begun, max(evaluations - remembered, 1)
        footer = (
            f"{sampler}, {self.steps} steps{from_start}, latents of {self.run.sizes}; "
            f"{duration(seconds)} in all, {1000 * seconds / made:.0f} ms an evaluation.{self.run.note}"
        )
        return "\n\n".join([*([f"**{warning}**"] if warning else []), *parts, footer])


def recall_or_search(
    node: str,
    key: str,
    noise: NoiseSchedule,
    remembered: str,
    budget: int,
    search: Callable[[StoredCalibration | None], StoredCalibration],
) -> tuple[StoredCalibration, StoredCalibration | None]:
    """The result of that key, or what `search`(the earlier one) finds, which is kept then; and the earlier one.

    A search that the user has cancelled ends with ComfyUI's own exception, once what it had found is kept.
    """
    result = earlier = calibration_store.recall(key, noise)
    if result is None or remembered == ANEW:
        result = search(earlier)
        replaced = result.complete or not (earlier and earlier.complete)
        if replaced:
            calibration_store.store(key, result)
        if not result.complete:
            tell_of_cancelling(node, result.evaluations, budget, "schedule" if replaced else "earlier")
            host.stop_if_cancelled()
    return result, earlier


def note_on(result: StoredCalibration, model: Any) -> str:
    """What the plot of a result has to say besides: that the search was cancelled, or the model distilled."""
    if result.complete:
        return distilled_warning(model)
    return (
        f"The search was cancelled after {result.evaluations} evaluations; this is the best that it had found. "
        f"With remembered at {ANEW!r} it goes on from there."
    )


def tell_of_cancelling(node: str, evaluations: int, budget: int, kept: str) -> None:
    logger.info("%s: cancelled after %d of %d evaluations; %s.", node, evaluations, budget, KEPT[kept])
    host.tell_page("hso_cancelled", evaluations=evaluations, budget=budget, kept=kept)


class _Progress:
    """Moves the node's progress bar, and says in ComfyUI's log now and then how much time is left."""

    def __init__(self, node: str) -> None:
        self._node, self._bar = node, host.progress_bar()
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
            logger.info("%s: %s; %d of %d evaluations, about %s left", self._node, stage, done, total, duration(left))
            self._told = now
        self._stage = stage


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
