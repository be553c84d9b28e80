"""Numbers as they come in. Over a link they may be numpy's, or a tensor of one value, as other nodes make them."""

from __future__ import annotations

import math
import numbers

import numpy as np
from torch import Tensor


def whole_number(
    name: str, value: object, low: int, high: int, error: type[ValueError] = ValueError, right: str | None = None
) -> int:
    """`value` as an int from `low` to `high`: an int, numpy's, a tensor of one, or a float without a fraction.

    Raises `error` with the name, the value, and `right`, a sentence that says what would be.
    """
    number = _plain(value)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if not isinstance(number, int) or not low <= number <= high:
        raise error(f"{name} is {_shown(value)}; {right or f'it must be a whole number from {low} to {high}'}")
    return number


def real_number(
    name: str, value: object, low: float = -math.inf, high: float = math.inf, error: type[ValueError] = ValueError
) -> float:
    """`value` as a float from `low` to `high`: a number, numpy's, or a tensor of one.

    Without bounds it may be infinite, or NaN. Raises `error` with the name, the value and what would be right.
    """
    plain = _plain(value)
    bounds = f" between {low:g} and {high:g}" if low > -math.inf else ""
    if plain is None:
        raise error(f"{name} is {_shown(value)}; it must be a number{bounds}")
    number = _float(plain)
    if bounds and not low <= number <= high:
        raise error(f"{name} is {_shown(value)}; it must be{bounds}")
    return number


def _plain(value: object) -> int | float | None:
    """The Python number; None for what is none (a bool is an answer, not a number).

    A float of few bits stands for its shortest decimal: np.float32(0.6) is what somebody wrote as 0.6.
    """
    if isinstance(value, Tensor) and value.ndim == 0:
        value = value.detach().cpu()
        value = value.float().numpy()[()] if value.is_floating_point() and value.element_size() < 8 else value.item()
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.floating) and value.itemsize < 8:
        return float(str(value))
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return int(value) if isinstance(value, numbers.Integral) else _float(value)


def _float(value: numbers.Real | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _shown(value: object) -> str:
    number = _plain(value)
    if number is None:
        return repr(value)[:60]
    return f"{number:g}" if isinstance(number, float) else str(number)[:30]
