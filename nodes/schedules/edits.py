"""The edits of a schedule that Edit Sigmas offers. Each is a shell over one function of hso_core.

Every edit takes, by name, those of the node's inputs that it needs, and swallows the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core import NoiseSchedule
from ...hso_core.schedule import tools
from ...hso_core.schedule.sigmas import check_range, plain_decimal, print_sigmas, resample_sigmas
from .. import host
from ..pictures.plot_data import Named, plot_ui


class Edited(NamedTuple):
    """A result, what to say of it, and the schedules to draw beside it."""

    sigmas: Tensor
    note: str
    beside: list[Named]


def resample(*, sigmas: Tensor, steps: int, resampling: str, **_: Any) -> Edited:
    given = schedule_of("sigmas", sigmas)
    result = resample_sigmas(given, steps, resampling)
    return Edited(result, f"{len(given) - 1} steps became {len(result) - 1}.", [("before", given)])


def scale(*, sigmas: Tensor, factor: float, **_: Any) -> Edited:
    given = schedule_of("sigmas", sigmas)
    return Edited(tools.scale(given, factor), f"Every sigma times {float(factor):g}.", [("before", given)])


def shift(*, sigmas: Tensor, factor: float, model: Any = None, **_: Any) -> Edited:
    given = schedule_of("sigmas", sigmas)
    result = tools.shift(given, _noise_of(model, "whether it is a flow model"), factor)
    return Edited(result, f"Shifted by {float(factor):g}.", [("before", given)])


def pin(*, sigmas: Tensor, sigma: float, **_: Any) -> Edited:
    given = schedule_of("sigmas", sigmas)
    pinned, place = tools.pin_sigma(given, sigma)
    note = f"Value {place + 1} was {plain_decimal(given[place])}, and is now {plain_decimal(pinned[place])}."
    return Edited(pinned, note, [("before", given)])


def start_at_denoise(*, sigmas: Tensor, denoise: float, keep_steps: bool, model: Any = None, **_: Any) -> Edited:
    given = schedule_of("sigmas", sigmas)
    result = tools.start_at_denoise(given, _noise_of(model, "how much noise a denoise is"), denoise, keep_steps)
    start, before = plain_decimal(result[0]), plain_decimal(given[0])
    return Edited(result, f"Starts at sigma {start} (before: {before}), {len(result) - 1} steps.", [("before", given)])


def blend(
    *,
    sigmas: Tensor,
    weight: float,
    resampling: str,
    second: Tensor | None = None,
    names: tuple[str, str] = ("sigmas", "second"),
    **_: Any,
) -> Edited:
    one, other = (schedule_of(name, values) for name, values in zip(names, (sigmas, second), strict=True))
    mixed, note = tools.blend(one, other, weight, resampling)
    return Edited(mixed, note, [("first", one), ("second", other)])


def join(*, sigmas: Tensor, second: Tensor | None = None, **_: Any) -> Edited:
    one, other = schedule_of("sigmas", sigmas), schedule_of("second", second)
    joined = tools.join(one, other)
    steps = len(joined) - len(other)
    return Edited(joined, f"{steps} steps of the first schedule, then the second.", [("first", one), ("second", other)])


def flip(*, sigmas: Tensor, model: Any = None, **_: Any) -> Edited:
    given = schedule_of("sigmas", sigmas)
    noise = host.readable_noise_schedule(model) if model is not None else None
    note = "Backwards, for unsampling: it turns a picture into its noise."
    return Edited(tools.check_flipped(tools.flip(given), noise), note, [])


EDITS: dict[str, Callable[..., Edited]] = {
    "resample": resample,
    "scale": scale,
    "shift": shift,
    "pin": pin,
    "start at denoise": start_at_denoise,
    "blend": blend,
    "join": join,
    "flip": flip,
}


def schedule_of(name: str, sigmas: Tensor | None) -> Tensor:
    """What came into the input `name`, checked."""
    if sigmas is None:
        raise ValueError(f"{name} must be connected for this")
    try:
        return tools.as_schedule(sigmas)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _noise_of(model: Any, why: str) -> NoiseSchedule:
    if model is None:
        raise ValueError(f"model must be connected for this: it says {why}")
    return host.noise_schedule(model)


def output_of(node: str, edit: Callable[..., Edited], inputs: dict[str, Any]) -> io.NodeOutput:
    """What the node of that name puts out for one of EDITS: SIGMAS, a report and a plot."""
    with host.named_errors(node):
        sigmas, note, beside = edit(**inputs)
        noise = host.readable_noise_schedule(inputs["model"]) if inputs.get("model") is not None else None
        if noise is not None:
            check_range(sigmas.flip(0) if edit is flip else sigmas, noise)
    ui = plot_ui([("result", sigmas), *beside], noise=noise)
    return io.NodeOutput(host.sigmas_output(sigmas), f"{note}\n\nsigmas: {print_sigmas(sigmas)}", ui=ui)
