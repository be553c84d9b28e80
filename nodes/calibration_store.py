"""Results of calibrations on disk, in the user's folder of ComfyUI, each under a name made of what it depends on."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ..hso_core.safe_file import FileError, read_tensors, write_tensors
from ..hso_core.sigmas import SigmasError, check_sigmas
from . import host

logger = logging.getLogger(__name__)

KIND = "calibration"
SIGMAS = "sigmas"
PROFILE = "profile."
MAX_BYTES = 16 << 20
MOST_FILES = 400  # the oldest beyond go


@dataclass(frozen=True)
class StoredCalibration:
    """What is kept of a calibration.

    sigmas (N + 1,) of the best schedule; winner: how it was found; report: Markdown; evaluations: how many it took;
    complete: whether the search came to its end; profile: what later searches on this model can use.
    """

    sigmas: Tensor
    winner: str
    report: str
    evaluations: int
    complete: bool
    profile: Mapping[str, Tensor] = field(default_factory=dict)


def folder() -> Path:
    return host.user_folder() / "hso" / "calibrations"


def file_of(key: str) -> Path:
    """key: a fingerprint."""
    return folder() / f"{key}.safetensors"


def store(key: str, result: StoredCalibration) -> None:
    """Write a result; what cannot be written is announced, and lost."""
    metadata = {
        "kind": KIND,
        "winner": result.winner,
        "report": result.report,
        "evaluations": str(result.evaluations),
        "complete": json.dumps(result.complete),
    }
    profile = {PROFILE + name: tensor for name, tensor in result.profile.items()}
    try:
        folder().mkdir(parents=True, exist_ok=True)
        write_tensors(file_of(key), {SIGMAS: result.sigmas, **profile}, metadata)
        _remove_oldest()
    except (OSError, FileError) as error:
        logger.warning("HSO: the result of a calibration could not be kept: %s", error)


def recall(key: str) -> StoredCalibration | None:
    """The result of that name. A file that cannot be used is announced, and counts as none."""
    if not file_of(key).is_file():
        return None
    try:
        tensors, metadata = read_tensors(file_of(key), MAX_BYTES)
        return _read(tensors, metadata)
    except (FileError, SigmasError, KeyError, ValueError) as error:
        logger.warning("HSO: a remembered calibration cannot be used and is made anew: %s", error)
        return None


def _read(tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> StoredCalibration:
    if metadata.get("kind") != KIND:
        raise FileError("the file holds no calibration")
    return StoredCalibration(
        sigmas=check_sigmas(tensors[SIGMAS].float()),
        winner=metadata["winner"],
        report=metadata["report"],
        evaluations=int(metadata["evaluations"]),
        complete=json.loads(metadata["complete"]) is True,
        profile={name.removeprefix(PROFILE): value for name, value in tensors.items() if name.startswith(PROFILE)},
    )


def _remove_oldest() -> None:
    files = sorted(folder().glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[MOST_FILES:]:
        file.unlink(missing_ok=True)
