"""The schedules that are usually good for fitted samplers, each network's by what is known of the others.

benchmarks/usual_fits.json holds where the steps of fitted samplers lie, told from the anchor of
hso_core/calibration/usual.py; benchmarks/studies/usual_fits.py writes it.
"""

from __future__ import annotations

import functools
import json

import numpy as np

from hso_core.calibration.usual import Coefficients, terms

from .. import REPOSITORY

DATA = REPOSITORY / "benchmarks" / "usual_fits.json"
RELATIVES = (("flow-unet", "flow-unet-guided"), ("sd-unet", "sd-unet-guided", "sd-unet-v"))
"""Networks with the same weights or data, which are left out together."""


@functools.cache
def coefficients_without(network: str | None) -> Coefficients:
    """For `hso_core.calibration.usual`, by least squares over all networks but this one and its relatives."""
    out = next((family for family in RELATIVES if network in family), (network,))
    known = [row for row in json.loads(DATA.read_text("utf-8")) if row["network"] not in out]
    weights = np.concatenate([np.full(row["steps"] - 1, (row["steps"] - 1) ** -0.5) for row in known])
    places = np.concatenate([row["lambdas"] for row in known])
    matrix = np.concatenate([terms(row["steps"]) for row in known])
    found = np.linalg.lstsq(matrix * weights[:, None], places * weights, rcond=None)[0]
    return tuple((round(float(a), 3), round(float(b), 3)) for a, b in found.reshape(-1, 2))
