"""What is usually good, for each network by what is known of the others: see hso_core/calibration/usual.py.

benchmarks/usual_fits.json holds where the steps of fitted samplers lie, told from the anchor;
benchmarks/usual_pairs.json how far pairs of sampler and scheduler are from the best one. The studies of the same names
write them.
"""

from __future__ import annotations

import functools
import json
from statistics import fmean

import numpy as np

from hso_core.calibration.usual import MOST_BEHIND, Coefficients, terms

from .. import REPOSITORY

FITS = REPOSITORY / "benchmarks" / "usual_fits.json"
PAIRS = REPOSITORY / "benchmarks" / "usual_pairs.json"
RELATIVES = (("flow-unet", "flow-unet-guided"), ("sd-unet", "sd-unet-guided", "sd-unet-v"))
"""Networks with the same weights or data, which are left out together."""


@functools.cache
def coefficients_without(network: str | None) -> Coefficients:
    """For `hso_core.calibration.usual`, by least squares over all networks but this one and its relatives."""
    out = _family(network)
    known = [row for row in json.loads(FITS.read_text("utf-8")) if row["network"] not in out]
    weights = np.concatenate([np.full(row["steps"] - 1, (row["steps"] - 1) ** -0.5) for row in known])
    places = np.concatenate([row["lambdas"] for row in known])
    matrix = np.concatenate([terms(row["steps"]) for row in known])
    found = np.linalg.lstsq(matrix * weights[:, None], places * weights, rcond=None)[0]
    return tuple((round(float(a), 3), round(float(b), 3)) for a, b in found.reshape(-1, 2))


@functools.cache
def pairs_without(network: str | None) -> dict[str, float]:
    """For `hso_core.calibration.usual`, the means over all networks but this one and its relatives.

    Relatives count as one.
    """
    out, known = _family(network), dict[str, dict[tuple[str | None, ...], list[float]]]()
    for row in json.loads(PAIRS.read_text("utf-8")):
        if row["network"] not in out:
            for name, behind in row["behind"].items():
                own = known.setdefault(name, {}).setdefault(_family(row["network"]), [])
                own.append(min(behind, MOST_BEHIND))
    means = {name: fmean(fmean(each) for each in families.values()) for name, families in known.items()}
    return {name: round(means[name], 2) for name in sorted(means)}


def _family(network: str | None) -> tuple[str | None, ...]:
    return next((family for family in RELATIVES if network in family), (network,))
