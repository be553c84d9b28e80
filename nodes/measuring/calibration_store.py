"""Results of calibrations on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ...hso_core import NoiseSchedule
from ...hso_core.schedule.sigmas import check_range, check_sigmas
from ...hso_core.solvers import LinearMultistep, SolverError, solver_of, tensors_of
from .shelf import Shelf

SHELF = Shelf("calibration", file_bytes=1 << 20, total_bytes=8 << 20)
SIGMAS, WEIGHTS = "sigmas", "weights"


@dataclass(frozen=True)
class StoredCalibration:
    """What is kept of a calibration.

    sigmas (N + 1,) of the best schedule; winner: how it was found; report: Markdown; evaluations: how many it took,
    remembered ones included; complete: whether the search came to its end. fitted: the sampler that was fitted with
    the schedule, where one was.
    """

    sigmas: Tensor
    winner: str
    report: str
    evaluations: int
    complete: bool
    fitted: LinearMultistep | None = None

    @property
    def solver(self) -> LinearMultistep:
        """The fitted sampler. Raises SolverError where there is none."""
        if self.fitted is None:
            raise SolverError("this calibration has no sampler")
        return self.fitted


def store(key: str, result: StoredCalibration) -> None:
    """key: a fingerprint."""
    metadata = {
        "winner": result.winner,
        "report": result.report,
        "evaluations": str(result.evaluations),
        "complete": json.dumps(result.complete),
    }
    fitted = {} if result.fitted is None else tensors_of(result.fitted)
    SHELF.store(key, {**fitted, SIGMAS: result.sigmas}, metadata)


def recall(key: str, noise: NoiseSchedule) -> StoredCalibration | None:
    """The result that was stored under that key, if it is a schedule for `noise`."""

    def read(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> StoredCalibration:
        return StoredCalibration(
            sigmas=check_range(check_sigmas(tensors[SIGMAS].float()), noise),
            winner=metadata["winner"],
            report=metadata["report"],
            evaluations=int(metadata["evaluations"]),
            complete=json.loads(metadata["complete"]) is True,
            fitted=solver_of(tensors) if WEIGHTS in tensors else None,
        )

    return SHELF.recall(key, read)
