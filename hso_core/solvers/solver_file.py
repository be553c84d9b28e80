"""A fitted sampler as a file: its sigmas and weights, and where they come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..files.safe_file import FileError, read_tensors, write_tensors
from ..schedule.schedule_file import MAX_BYTES, MAX_TEXT
from ..schedule.sigmas import SigmasError
from .linear_multistep import WHOLE, LinearMultistep, SolverError

KIND = "sampler"
TENSORS = {"sigmas": torch.float32, "weights": torch.float64}
STRENGTHS = "strengths"


def write_solver(path: str | os.PathLike[str], solver: LinearMultistep, metadata: Mapping[str, str]) -> None:
    """Write sigmas and weights with `metadata` (texts; the keys of a schedule's file). Raises FileError."""
    length = sum(len(key) + len(value) for key, value in metadata.items())
    if length > MAX_TEXT:
        name = Path(path).name
        raise FileError(f"{name!r} cannot be written: its notes have {length:,} characters, and {MAX_TEXT:,} fit")
    tensors = tensors_of(solver)
    write_tensors(path, tensors, {**metadata, "kind": KIND, "steps": str(solver.steps)})


def read_solver(path: str | os.PathLike[str]) -> tuple[LinearMultistep, dict[str, str]]:
    """The solver and the metadata of a file. Raises FileError for whatever is not a fitted sampler."""
    name = Path(path).name
    tensors, metadata = read_tensors(path, MAX_BYTES)
    kind = metadata.get("kind", KIND)
    if kind != KIND or not TENSORS.keys() <= tensors.keys():
        raise FileError(f"{name!r} holds no fitted sampler" + (f", but a {kind[:40]}" if kind != KIND else ""))
    for key, dtype in {**TENSORS, STRENGTHS: torch.float64}.items():
        if key in tensors and tensors[key].dtype != dtype:
            found, right = (str(kind).removeprefix("torch.") for kind in (tensors[key].dtype, dtype))
            raise FileError(f"the {key} in {name!r} are {found}; they must be {right}")
    try:
        solver = solver_of(tensors)
    except (SigmasError, SolverError) as error:
        raise FileError(f"{name!r} holds no fitted sampler that can be used: {error}") from error
    if metadata.get("steps", str(solver.steps)) != str(solver.steps):
        raise FileError(f"{name!r} is damaged: it says {metadata['steps'][:20]} steps, and has {solver.steps}")
    return solver, metadata


def tensors_of(solver: LinearMultistep) -> dict[str, Tensor]:
    """By the names that they have in files; without strengths where every step goes the whole way."""
    tensors = {"sigmas": solver.sigmas, "weights": solver.weights}
    return tensors if solver.is_whole else {**tensors, STRENGTHS: solver.strengths}


def solver_of(tensors: Mapping[str, Tensor]) -> LinearMultistep:
    """The inverse of `tensors_of`. Raises KeyError, SigmasError and SolverError."""
    return LinearMultistep(tensors["sigmas"], tensors["weights"], tensors.get(STRENGTHS, WHOLE))


def holds_solver(path: str | os.PathLike[str]) -> bool:
    """Whether a file says that it holds a fitted sampler. Raises FileError for what cannot be read."""
    return read_tensors(path, MAX_BYTES)[1].get("kind") == KIND
