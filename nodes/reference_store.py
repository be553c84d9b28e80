"""Reference runs of calibrations on disk: what a later one on the same model and prompt takes from there."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from torch import Tensor

from ..hso_core.calibration import ReferenceRuns
from .model_fingerprint import fingerprint
from .sampling_run import SamplingRun
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
        tensors = runs.to_tensors()
        SHELF.store(key, tensors, {"checksum": _checksum(tensors)})


def recall(key: str, run: SamplingRun) -> ReferenceRuns | None:
    """What was stored under that key, if it can be `run`'s."""

    def read(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> ReferenceRuns:
        if metadata["checksum"] != _checksum(tensors):
            raise ValueError("the file is damaged: its checksum is another")
        runs = ReferenceRuns.from_tensors(tensors)
        if tensors["latents"].shape[1:] != run.latent.shape[1:]:
            raise ValueError("the file holds latents of another size")
        return runs

    return SHELF.recall(key, read)


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """A flipped bit would not be seen otherwise: it gives another number, and another schedule."""
    checksum = 0
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].contiguous().numpy().tobytes(), checksum)
    return f"{checksum:08x}"
