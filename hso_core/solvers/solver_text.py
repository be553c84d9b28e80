"""A solver with its sigmas as a text to read and to keep in a workflow.

    sigmas: 14.614642, 4.7, 1.9, 0
    weights:
    1
    -0.31, 1.31
    0.05, -0.4, 1.35

Row i holds the weights of the predictions of steps 1 to i. Where steps do not go the whole way, a line comes before the
weights that says how far each goes: `strengths: 1.02, 0.97, 1`. What follows a # is a remark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import torch

from ..schedule.sigmas import SigmasError, parse_sigmas, print_sigmas
from .linear_multistep import MOST_STEPS, LinearMultistep, SolverError

MAX_TEXT = 200_000  # characters; 5050 weights of 25 are 130,000
LIKE = "write it as Calibrate Sampler does: 'sigmas:' with the sigmas, then 'weights:' with a line for each step"

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_PARTS = re.compile(
    r"\s*sigmas\s*[:=](?P<sigmas>.*?)(?:\bstrengths\s*[:=](?P<strengths>.*?))?\bweights\s*[:=](?P<weights>.*)",
    re.DOTALL | re.IGNORECASE,
)


def print_solver(solver: LinearMultistep) -> str:
    """The text, in plain decimals; exact when it is read back."""
    weights = (_printed(row[: i + 1]) for i, row in enumerate(solver.weights.tolist()))
    strengths = [] if solver.is_whole else [f"strengths: {_printed(solver.strengths.tolist())}"]
    return "\n".join([f"sigmas: {print_sigmas(solver.sigmas)}", *strengths, "weights:", *weights])


def parse_solver(text: str) -> LinearMultistep:
    """The solver that is written in `text`. Raises SolverError."""
    if len(text) > MAX_TEXT:
        raise SolverError(f"{len(text):,} characters are too many for a fitted sampler; {MAX_TEXT:,} are allowed")
    plain = "\n".join(line.partition("#")[0] for line in text.splitlines())
    parts = _PARTS.fullmatch(plain)
    if parts is None:
        raise SolverError(f"this text holds no fitted sampler; {LIKE}")
    try:
        sigmas = parse_sigmas(parts["sigmas"])
    except SigmasError as error:
        raise SolverError(f"its sigmas cannot be used: {error}") from error
    lines = [line for line in parts["weights"].splitlines() if line.strip()]
    steps = len(sigmas) - 1
    if len(lines) != steps or steps > MOST_STEPS:
        raise SolverError(
            f"{steps} steps need {steps} lines of weights (at most {MOST_STEPS}), and there are {len(lines)}; {LIKE}"
        )
    weights = torch.zeros(steps, steps, dtype=torch.float64, device="cpu")
    for i, line in enumerate(lines, start=1):
        values = _numbers(line, f"the weights of step {i}")
        if len(values) != i:
            raise SolverError(f"step {i} needs {i} weights, one for each prediction so far, and has {len(values)}")
        weights[i - 1, :i] = torch.tensor(values, dtype=torch.float64, device="cpu")
    strengths = _numbers(parts["strengths"] or "", "the strengths")
    return LinearMultistep(sigmas, weights, torch.tensor(strengths, dtype=torch.float64, device="cpu"))


def _printed(numbers: Iterable[float]) -> str:
    return ", ".join(np.format_float_positional(number, trim="-") for number in numbers)


def _numbers(text: str, what: str) -> list[float]:
    tokens = text.replace(",", " ").split()
    for token in tokens:
        if not _NUMBER.fullmatch(token):
            raise SolverError(f"{token[:40]!r} in {what} is not a number; write them like -0.31, 1.31")
    return [float(token) for token in tokens]
