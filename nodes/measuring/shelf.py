"""Files that this pack keeps for itself in the user's folder of ComfyUI, each named by what its content depends on."""

from __future__ import annotations

import contextlib
import json
import logging
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from ...hso_core.files.safe_file import VERSION_KEY, FileError, read_tensors, write_tensors
from .. import host

logger = logging.getLogger(__name__)

CHECKSUM = "checksum"

T = TypeVar("T")


@dataclass(frozen=True)
class Shelf:
    """A folder of files of one kind.

    kind: what a file holds, as the log says it; also marks the files. file_bytes: of a file at most; total_bytes: of
    all, beyond which the oldest go.
    """

    kind: str
    file_bytes: int
    total_bytes: int

    def folder(self) -> Path:
        return host.user_folder() / "hso" / f"{self.kind}s"

    def file_of(self, key: str) -> Path:
        """key: a fingerprint."""
        return self.folder() / f"{key}.safetensors"

    def store(self, key: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        """Write a file; what cannot be written is announced, and lost."""
        try:
            self.folder().mkdir(parents=True, exist_ok=True)
            known = {**metadata, "kind": self.kind}
            write_tensors(self.file_of(key), tensors, {**known, CHECKSUM: _checksum(tensors, known)})
            self._remove_oldest()
        except (OSError, FileError) as error:
            logger.warning("HSO: a %s could not be kept: %s", self.kind, error)

    def recall(self, key: str, read: Callable[[Mapping[str, Tensor], Mapping[str, str]], T]) -> T | None:
        """What `read` makes of the tensors and the metadata of that file.

        A file that cannot be used, because `read` raises a KeyError or ValueError or before, is announced, and counts
        as none.
        """
        try:
            if not self.file_of(key).exists():
                return None
            tensors, metadata = read_tensors(self.file_of(key), self.file_bytes)
            if metadata.get("kind") != self.kind:
                raise FileError(f"the file holds no {self.kind}")
            if metadata.get(CHECKSUM) != _checksum(tensors, metadata):
                raise FileError("the file is damaged: its checksum is another")
            return read(tensors, metadata)
        except (OSError, KeyError, ValueError) as error:
            logger.warning("HSO: a remembered %s cannot be used and is made anew: %s", self.kind, error)
            return None

    def _remove_oldest(self) -> None:
        """Also what a process that was killed while it wrote has left."""
        files = []
        for file in self.folder().iterdir():
            if file.suffix in (".safetensors", ".tmp"):
                with contextlib.suppress(FileNotFoundError):  # another server has just removed it
                    state = file.stat()
                    files.append((state.st_mtime, state.st_size, file))
        left = self.total_bytes
        for _, size, file in sorted(files, reverse=True):
            left -= size
            if left < 0:
                file.unlink(missing_ok=True)


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """A flipped bit would not be seen otherwise: it gives another number, and another schedule."""
    texts = {key: text for key, text in metadata.items() if key not in (CHECKSUM, VERSION_KEY)}
    forms = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    checksum = zlib.crc32(json.dumps([texts, forms], sort_keys=True).encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].detach().cpu().contiguous().numpy().tobytes(), checksum)
    return f"{checksum:08x}"
