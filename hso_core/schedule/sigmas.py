"""Sigmas as people write them: reading, printing, checking and resampling a schedule."""

from __future__ import annotations

import math
import re

import numpy as np
import torch
from torch import Tensor

from .noise_schedule import NoiseSchedule
from .numbers import whole_number

MAX_STEPS = 10_000  # as in ComfyUI's own KSampler
RESAMPLINGS = ("log-linear", "monotone")
SLACK = 1e-2  # published lists are rounded: a start up to 1 % above the model's sigma_max is meant to be it
LEAST_FULL_NOISE = 0.75  # time t; sigma 1 is t = 0.35 on SD, 0.49 on SVD

MAX_TEXT = 1_000_000  # characters; 10,001 values with 30 digits each are a third of it

# The grammar is that of web/schedule/text.js: tests/support/sigma_texts.py is run through both.
_SPACES = "".join(map(chr, range(0x2000, 0x200C)))  # of every width, to none
_BLANKS = f" \t\n\v\f\r\x85\xa0\u1680{_SPACES}\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
_B = f"[{_BLANKS}]"
_SEPARATORS = re.compile(rf"""[{_BLANKS},;\[\](){{}}|"']+""")
_WRAPPERS = re.compile(
    rf"""\b(?:dtype|device|grad_fn|requires_grad){_B}*={_B}*(?:'[^']*'|"[^"]*"|<[^>]*>|[^{_BLANKS},;\[\](){{}}]*)"""
    r"""|\b(?:torch\.|np\.|numpy\.)?(?:(?:float|double|half)?tensor|array|sigmas|b?float(?:16|32|64))\b"""
    rf"""["']?{_B}*[=:]?""",
    re.IGNORECASE | re.ASCII,
)
_COMMA_INSIDE = re.compile(r"[0-9],[0-9]")
# 14,6 by itself; not in 14,6,3,0 nor in 14.6,3.2 nor in 1e-3,0.
_DECIMAL_COMMA = re.compile(rf"(?<![0-9.,eE+-])[0-9]+,[0-9]+(?![0-9.]|,[^{_BLANKS}])")
_WITH_COMMA = re.compile(r"[+-]?[0-9]*,?[0-9]+([eE][+-]?[0-9]+)?")  # one value, its decimals after a comma if any
_AROUND = _BLANKS + ";,[](){}|\"'"
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# The full-width signs of Chinese and Japanese keyboards; their commas separate values, and are in no number.
_FULL_WIDTH: dict[int, int | str] = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_FULL_WIDTH.update({ord("，"): ", ", ord("、"): ", "})


class SigmasError(ValueError):
    """A schedule that cannot be used; the message says what is wrong with it, where, and what would be right."""


def is_blank(text: str) -> bool:
    """Whether there is nothing in `text` that could be seen."""
    return not text.strip(_BLANKS)


def parse_sigmas(text: str) -> Tensor:
    """The schedule written in `text`: (n,) float32, checked by `check_sigmas`.

    Values may be separated by commas, semicolons, blanks and brackets, and written as 14.6, .5, 1. or 1e-3; with
    semicolons between them also as 14,6. What Python prints is read too: tensor([...], device=...), np.float32(...).
    """
    if len(text) > MAX_TEXT:
        raise SigmasError(f"{len(text):,} characters of values are too many; a schedule has at most {MAX_STEPS + 1}")
    written = _with_points(_WRAPPERS.sub(" ", text.translate(_FULL_WIDTH)))
    if _has_decimal_commas(written):
        raise SigmasError(
            "commas inside of the values are ambiguous; write decimals with a point, 14.6 and not 14,6, and a blank "
            "after each comma between values, or put semicolons between values: 14,6; 7,2; 0"
        )
    tokens = [token for token in _SEPARATORS.split(written) if token]
    if len(tokens) > MAX_STEPS + 1:
        raise SigmasError(f"{len(tokens)} values are too many; a schedule has at most {MAX_STEPS + 1}")
    values = [_number(token, place) for place, token in enumerate(tokens, start=1)]
    try:
        return check_sigmas(torch.tensor(values, dtype=torch.float32, device="cpu"))
    except SigmasError as error:
        if _COMMA_INSIDE.search(written) and "." not in written:
            raise SigmasError(f"{error} (write decimals with a point: 14.6, not 14,6)") from None
        raise


def _with_points(text: str) -> str:
    """`text` with points for decimal commas, where semicolons separate the values and so nothing else is meant."""
    items = [item for item in (item.strip(_AROUND.replace(",", "")) for item in text.split(";")) if item]
    certain = len(items) > 1 and "," in text and all(_WITH_COMMA.fullmatch(item) for item in items)
    return "; ".join(items).replace(",", ".") if certain else text


def _has_decimal_commas(text: str) -> bool:
    """Whether other signs separate the values: 14,6 3,2 0 would be read as 14, 6, 3, 2, 0, which falls too."""
    values = text.strip(_AROUND)
    return bool(_DECIMAL_COMMA.search(values) and re.search(f"[{_BLANKS};]", values))


def _number(token: str, place: int) -> float:
    if not _NUMBER.fullmatch(token):
        shown = token if len(token) <= 40 else token[:37] + "..."
        hint = " (not finite)" if re.fullmatch("[+-]*(nan|inf|infinity)", token, re.IGNORECASE | re.ASCII) else ""
        raise SigmasError(f"'{shown}', value {place}, is not a number{hint}; write sigmas like 14.6, 4.7, 1.9, 0.8, 0")
    return float(token)


def check_sigmas(sigmas: Tensor) -> Tensor:
    """`sigmas` itself if it is a schedule: 1-D, at least 2 values, finite, not negative, strictly decreasing."""
    if sigmas.ndim != 1 or len(sigmas) < 2:
        count = len(sigmas) if sigmas.ndim == 1 else f"shape {tuple(sigmas.shape)}"
        raise SigmasError(f"a schedule has at least 2 sigmas (start and end), not {count}")
    values = sigmas.detach().cpu().double()
    for place, value in enumerate(values.tolist(), start=1):
        if not math.isfinite(value):
            raise SigmasError(f"value {place} is {value:g}; every sigma must be a finite number")
        if value < 0:
            raise SigmasError(f"value {place} is {value:g}; a sigma is never negative")
    rises = (values[1:] >= values[:-1]).nonzero()
    if len(rises):
        i = int(rises[0])
        raise SigmasError(
            f"value {i + 2} ({plain_decimal(values[i + 1])}) is not below value {i + 1} ({plain_decimal(values[i])}); "
            "sigmas must fall at every step"
        )
    return sigmas


def check_range(sigmas: Tensor, noise: NoiseSchedule) -> Tensor:
    """`sigmas` itself unless it starts above the largest noise level of the model: none that was made for it does."""
    start = float(sigmas[0])
    if starts_above(sigmas, noise):
        kind = "flow " if noise.family == "flow" else ""
        raise SigmasError(
            f"the schedule starts at sigma {start:g}, but the largest of this {kind}model is {noise.sigma_max:g}: "
            "it was made for another model; use a schedule of this model, or start at most there"
        )
    return sigmas


def starts_above(sigmas: Tensor, noise: NoiseSchedule) -> bool:
    """Whether a schedule starts above the largest noise level of the model, by more than rounding."""
    return float(sigmas[0]) > noise.sigma_max * (1 + SLACK)


def describe_high_start(sigmas: Tensor, noise: NoiseSchedule) -> str | None:
    """A sentence if the schedule starts above the model's table, where the model can still sample.

    It takes the table's last timestep, and the input is scaled to the noise that is there. Zero terminal SNR models
    are meant to do so (their last entry stands for infinite noise). A flow model cannot: above sigma 1 its alpha would
    be negative. Raises SigmasError then.
    """
    if not starts_above(sigmas, noise):
        return None
    if noise.family == "flow" and float(sigmas[0]) > 1 + SLACK:
        check_range(sigmas, noise)
    return (
        f"the schedule starts at sigma {float(sigmas[0]):g}, above the largest of this model, {noise.sigma_max:g}: the "
        "model takes it for that. Was it made for another model?"
    )


def describe_low_start(sigmas: Tensor, noise: NoiseSchedule) -> str | None:
    """A sentence if the schedule starts so far below the model's full noise that nothing can come of an empty latent.

    That is how a flow model's schedule, which starts at 1, goes wrong on another model without a word.
    """
    start = float(sigmas[0])
    if is_full_noise(start, noise):
        return None
    return (
        f"the schedule starts at sigma {start:g}, which is {_time(start, noise):.0%} of this model's noise (its "
        f"largest sigma is {noise.sigma_max:g}): enough to change a picture, too little for an empty latent. "
        "Was it made for another kind of model?"
    )


def is_full_noise(sigma: float, noise: NoiseSchedule) -> bool:
    """Whether a schedule that starts at `sigma` can make a picture out of an empty latent."""
    return _time(sigma, noise) >= LEAST_FULL_NOISE


def _time(sigma: float, noise: NoiseSchedule) -> float:
    """t, from 0 to 1."""
    level = torch.tensor(sigma, dtype=torch.float64, device="cpu")
    return float(noise.t_of_lambda(noise.lambda_of_sigma(level))) if sigma > 0 else 0.0


def resample_sigmas(sigmas: Tensor, steps: int, method: str = "log-linear") -> Tensor:
    """The schedule (n + 1,) with `steps` steps instead of n: (steps + 1,) of the same dtype.

    Values above 0 are interpolated in ln sigma over the step index, by straight lines ("log-linear") or by a monotone
    cubic ("monotone", PCHIP). The first and the last value above 0 stay; so does a 0 at the end.
    """
    if method not in RESAMPLINGS:
        raise SigmasError(f"the resampling is {method!r}; it must be one of {', '.join(RESAMPLINGS)}")
    steps = whole_number("steps", steps, 1, MAX_STEPS, SigmasError)
    check_sigmas(sigmas)
    if steps == len(sigmas) - 1:
        return sigmas.clone()
    ends_at_zero = float(sigmas[-1]) == 0
    above = sigmas[:-1] if ends_at_zero else sigmas
    count = steps if ends_at_zero else steps + 1
    if len(above) == 1 and count > 1:
        raise SigmasError(f"a schedule of 1 step cannot be resampled to {steps}: there is nothing between start and 0")
    known, log = np.linspace(0, 1, len(above)), above.detach().cpu().double().log().numpy()
    wanted = np.linspace(0, 1, count)
    if method == "monotone" and len(above) > 2:
        from scipy.interpolate import PchipInterpolator

        values = np.exp(PchipInterpolator(known, log)(wanted))
    else:
        values = np.exp(np.interp(wanted, known, log))
    result = torch.from_numpy(values).to(sigmas)
    result[0] = above[0]
    if count > 1:
        result[-1] = above[-1]
    result = torch.cat([result, sigmas[-1:]]) if ends_at_zero else result
    return check_sigmas(result)


def plain_decimal(value: float | Tensor) -> str:
    """The shortest decimal, without an exponent, that names this float32 (ComfyUI's own parser misreads exponents)."""
    return np.format_float_positional(np.float32(float(value)), trim="-")


def print_sigmas(sigmas: Tensor) -> str:
    """The schedule as one line of plain decimals, exact when it is read back."""
    return ", ".join(plain_decimal(value) for value in sigmas.tolist())
