"""What the browser needs to draw schedules on a node."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...hso_core import NoiseSchedule
from ...hso_core.schedule.sigmas import plain_decimal
from .. import host

logger = logging.getLogger(__name__)

KEY = "hso_plot"  # web/plot/results.js looks for it
VERSION = 1
USUAL_SCHEDULERS = ("karras", "simple", "beta", "exponential")
MAX_COMPARED_STEPS = 200  # with more steps the curves of the usual schedulers are one thick line

Named = tuple[str, Tensor]


def plot_ui(
    schedules: Sequence[Named],
    *,
    noise: NoiseSchedule | None = None,
    facts: Sequence[tuple[str, str]] = (),
    note: str = "",
) -> dict[str, list[dict[str, Any]]]:
    """What a node hands to `io.NodeOutput(..., ui=...)` so that the browser draws schedules on it.

    schedules: (name, sigmas (n,)) pairs; the first is the main one, the others are drawn faint beside it.
    noise: the model's noise schedule, where there is a model; without it there are no timesteps and no lambdas.
    facts: (label, value) pairs to print below the picture, beside the steps and ends that the browser reads off the
    schedule. note: a warning, or "".
    Whatever is infinite (lambda at sigma 0, and at sigma 1 of a flow model) becomes None: JSON has no infinity.
    """
    payload = {
        "version": VERSION,
        "family": noise.family if noise else None,
        "sigma_min": _short(noise.sigma_min) if noise else None,
        "sigma_max": _short(noise.sigma_max) if noise else None,
        "schedules": [_curve(name, sigmas, noise) for name, sigmas in schedules],
        "facts": [list(fact) for fact in facts],
        "note": note,
    }
    return {KEY: [payload]}


def comparison_schedules(model: Any, steps: int, denoise: float = 1.0) -> list[Named]:
    """(name, sigmas) of the host's usual schedulers for `model`, as BasicScheduler gives them at this denoise."""
    total = int(steps / denoise)
    if total > MAX_COMPARED_STEPS:
        return []
    found = []
    for name in USUAL_SCHEDULERS:
        try:
            sigmas = host.scheduler_sigmas(model, name, total)[-steps - 1 :]
        except Exception:  # a faint curve is not worth a failed run
            logger.debug("HSO: no curve for the scheduler %s", name, exc_info=True)
            continue
        if bool(sigmas.isfinite().all()):
            found.append((name, sigmas))
    return found


def _curve(name: str, sigmas: Tensor, noise: NoiseSchedule | None) -> dict[str, Any]:
    values = sigmas.detach().cpu().double()
    curve: dict[str, Any] = {"name": name, "sigmas": [_short(value) for value in values.tolist()]}
    if noise is not None:
        lambdas = noise.lambda_of_sigma(values)
        curve["lambdas"] = _finite(lambdas)
        curve["timesteps"] = _finite((len(noise) - 1) * noise.t_of_lambda(lambdas))
    return curve


def _finite(values: Tensor) -> list[float | None]:
    """Six digits are more than a picture shows."""
    finite = values.isfinite().tolist()
    return [float(f"{value:.6g}") if ok else None for value, ok in zip(values.tolist(), finite, strict=True)]


def _short(value: float) -> float:
    """The number with the fewest digits that is the same float32."""
    return float(plain_decimal(value))
