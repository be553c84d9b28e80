"""Reference runs of calibrations on disk: what a later one on the same model and prompt takes from there."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ...hso_core.calibration import ReferenceRuns
from .fingerprint import fingerprint
from .run import SamplingRun
from .shelf import Shelf

SHELF = Shelf("reference", file_bytes=64 << 20, total_bytes=512 << 20)
HEADER_BYTES = 1 << 16  # of a file, more than enough
VERSION = 2  # a new number forgets what older versions made


def key_of(run: SamplingRun, sigmas: Tensor, seed: int) -> str:
    """Names all that the reference runs depend on: `run` is that of the reference, and `seed` the first one."""
    start = (run.latent, run.mask, run.batch_index, sigmas, seed)
    return fingerprint(run.guider, run.sampler, *start, "reference", VERSION)


def store(key: str, runs: ReferenceRuns) -> None:
    """Keep the runs of the first seeds, as many as a file may hold."""
    runs = runs.within(SHELF.file_bytes - HEADER_BYTES)
    if runs.by_place:
        SHELF.store(key, runs.to_tensors(), {})


def recall(key: str, run: SamplingRun) -> ReferenceRuns | None:
    """What was stored under that key, if it can be `run`'s."""

    def read(tensors: Mapping[str, Tensor], _: Mapping[str, str]) -> ReferenceRuns:
        runs = ReferenceRuns.from_tensors(tensors)
        if tensors["latents"].shape[1:] != run.shape:
            raise ValueError("the file holds latents of another size")
        return runs

    return SHELF.recall(key, read)
