"""A schedule as a file: the sigmas, and where they come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..files.safe_file import FileError, read_tensors, write_tensors
from .noise_schedule import NoiseSchedule
from .sigmas import MAX_STEPS, SigmasError, check_sigmas, print_sigmas

SUFFIX = ".safetensors"
TENSOR = "sigmas"
KIND = "schedule"
MAX_BYTES = 1 << 20  # more than MAX_STEPS sigmas and MAX_TEXT characters can take
MAX_TEXT = 100_000  # characters of all metadata together
LABELS = {
    "sampler": "Sampler it was made for",
    "model_family": "Family of the model",
    "model_sigma_max": "Largest sigma of the model",
    "model_fingerprint": "Noise schedule of the model",
    "made_by": "Made by",
    "pack_version": "Saved by version",
}


def write_schedule(path: str | os.PathLike[str], sigmas: Tensor, metadata: Mapping[str, str]) -> None:
    """Write sigmas (n,) as float32 with `metadata` (texts); the number of steps is added.

    Raises FileError, also for sigmas that are no schedule.
    """
    name = Path(path).name
    values = _checked(name, sigmas.detach().cpu().float())
    length = sum(len(key) + len(value) for key, value in metadata.items())
    if length > MAX_TEXT:
        raise FileError(f"{name!r} cannot be written: its notes have {length:,} characters, and {MAX_TEXT:,} fit")
    write_tensors(path, {TENSOR: values}, {**metadata, "kind": KIND, "steps": str(len(values) - 1)})


def read_schedule(path: str | os.PathLike[str]) -> tuple[Tensor, dict[str, str]]:
    """The sigmas (n,), float32, and the metadata of a file. Raises FileError for whatever is not a schedule."""
    name = Path(path).name
    tensors, metadata = read_tensors(path, MAX_BYTES)
    kind = metadata.get("kind", KIND)
    if kind != KIND or TENSOR not in tensors:
        raise FileError(f"{name!r} holds no schedule" + (f", but a {kind[:40]}" if kind != KIND else ""))
    sigmas = tensors[TENSOR]
    if sigmas.dtype != torch.float32:
        raise FileError(f"the sigmas in {name!r} are {str(sigmas.dtype).removeprefix('torch.')}; they must be float32")
    if sigmas.ndim == 1 and len(sigmas) > MAX_STEPS + 1:
        raise FileError(f"{name!r} has {len(sigmas)} sigmas; a schedule has at most {MAX_STEPS + 1}")
    _checked(name, sigmas)
    steps = len(sigmas) - 1
    if metadata.get("steps", str(steps)) != str(steps):
        raise FileError(f"{name!r} is damaged: it says {metadata['steps'][:20]} steps, and has sigmas for {steps}")
    return sigmas, metadata


def model_metadata(noise: NoiseSchedule) -> dict[str, str]:
    """What a file keeps of the model that its schedule was made for."""
    return {
        "model_fingerprint": noise.fingerprint,
        "model_family": noise.family,
        "model_sigma_max": f"{noise.sigma_max:g}",
    }


def describe_other_model(metadata: Mapping[str, str], noise: NoiseSchedule) -> str | None:
    """A sentence if the file was made for a model with another noise schedule than `noise`; None if not, or unknown."""
    made_for = metadata.get("model_fingerprint")
    if made_for in (None, noise.fingerprint):
        return None
    family = metadata.get("model_family", "?")[:20]
    largest = metadata.get("model_sigma_max", "?")[:20]
    return (
        f"the schedule was made for another noise schedule ({family}, largest sigma {largest}) than the connected "
        f"model's ({noise.family}, {noise.sigma_max:g}); the picture may be worse than with a schedule of this model"
    )


def describe_file(sigmas: Tensor, metadata: Mapping[str, str], name: str) -> str:
    """A report to read, in Markdown: the sigmas (exact when read back), and all that the file says of them."""
    lines = [f"{len(sigmas) - 1} steps, from {name}.", "", f"sigmas: {print_sigmas(sigmas)}", ""]
    lines += [f"{label}: {metadata[key]}" for key, label in LABELS.items() if metadata.get(key)]
    for key in ("note", "report"):
        if metadata.get(key):
            lines += ["", f"{key.capitalize()} that was saved with it:", "", metadata[key]]
    return "\n".join(lines)


def _checked(name: str, sigmas: Tensor) -> Tensor:
    try:
        return check_sigmas(sigmas)
    except SigmasError as error:
        raise FileError(f"the sigmas in {name!r} are no schedule: {error}") from error
