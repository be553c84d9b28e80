"""Results of calibrations on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ...hso_core import NoiseSchedule
from ...hso_core.schedule.sigmas import check_range, check_sigmas
from .shelf import Shelf

SHELF = Shelf("calibration", file_bytes=1 << 20, total_bytes=8 << 20)
SIGMAS = "sigmas"


@dataclass(frozen=True)
class StoredCalibration:
    """What is kept of a calibration.

    sigmas (N + 1,) of the best schedule; winner: how it was found; report: Markdown; evaluations: how many it took,
    remembered ones included; complete: whether the search came to its end.
    """

    sigmas: Tensor
    winner: str
    report: str
    evaluations: int
    complete: bool


def store(key: str, result: StoredCalibration) -> None:
    """key: a fingerprint."""
    metadata = {
        "winner": result.winner,
        "report": result.report,
        "evaluations": str(result.evaluations),
        "complete": json.dumps(result.complete),
    }
    SHELF.store(key, {SIGMAS: result.sigmas}, metadata)


def recall(key: str, noise: NoiseSchedule) -> StoredCalibration | None:
    """The result that was stored under that key, if it is a schedule for `noise`."""

    def read(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> StoredCalibration:
        return StoredCalibration(
            sigmas=check_range(check_sigmas(tensors[SIGMAS].float()), noise),
            winner=metadata["winner"],
            report=metadata["report"],
            evaluations=int(metadata["evaluations"]),
            complete=json.loads(metadata["complete"]) is True,
        )

    return SHELF.recall(key, read)
