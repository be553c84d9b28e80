"""What is usually good, for each network by what is known of the others: see hso_core/calibration/usual.py.

benchmarks/usual_fits.json holds where the steps of fitted samplers lie, told from the anchor;
benchmarks/usual_pairs.json how far pairs of sampler and scheduler are from the best one. The studies of the same names
write them. The usual steps of known solvers are those of oracle_schedules/.
"""

from __future__ import annotations

import functools
import json
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from hso_core.calibration.reference import Reference, reference_sigmas, reference_steps
from hso_core.calibration.usual import COEFFICIENTS, FITTED, MOST_BEHIND, Coefficients, anchor, terms

from .. import REPOSITORY
from ..models.catalogue import NETWORKS, RELATIVES, load_model
from ..models.solvers import REFERENCE_SOLVER, SOLVERS, SolverRun
from .schedules import STEPS, oracle_sigmas

FITS = REPOSITORY / "benchmarks" / "usual_fits.json"
PAIRS = REPOSITORY / "benchmarks" / "usual_pairs.json"

Array = NDArray[np.float64]

ANCHOR_SEEDS = range(70_000, 70_004)


def coefficients_without(network: str | None) -> dict[str, Coefficients]:
    """hso_core.calibration.usual.COEFFICIENTS, by least squares over all networks but this one and its relatives.

    Of a model that is none of the networks, as they stand there.
    """
    if network is not None and network not in NETWORKS:
        return COEFFICIENTS
    out = _family(network)
    return {**{solver: _of_oracles(solver, out) for solver in SOLVERS}, FITTED: _of_fits(out)}


@functools.cache
def _of_oracles(solver: str, out: tuple[str | None, ...]) -> Coefficients:
    """Each cell counts alike, and relatives together as much as one network."""
    left, right = [], []
    for name in NETWORKS:
        if name in out:
            continue
        for steps in STEPS:
            sigmas = oracle_sigmas(name, solver, steps)
            assert sigmas is not None
            weight = (len(_family(name)) * (steps - 1)) ** -0.5
            lam = load_model(name).noise.lambda_of_sigma(sigmas[1:-1].double()).numpy()
            left.append(weight * terms(steps))
            right.append(weight * (lam - _anchor(name)))
    return _least_squares(np.concatenate(left), np.concatenate(right))


@functools.cache
def _anchor(name: str) -> float:
    model = load_model(name)
    sigmas = reference_sigmas(model.noise, reference_steps(6, model.noise.family))
    reference = Reference(SolverRun(model, REFERENCE_SOLVER), sigmas, ANCHOR_SEEDS.start)
    reference.extend(range(len(ANCHOR_SEEDS)))
    return anchor(reference.profile(), model.noise)


@functools.cache
def _of_fits(out: tuple[str | None, ...]) -> Coefficients:
    known = [row for row in json.loads(FITS.read_text("utf-8")) if row["network"] not in out]
    weights = np.concatenate([np.full(row["steps"] - 1, (row["steps"] - 1) ** -0.5) for row in known])
    places = np.concatenate([row["lambdas"] for row in known])
    matrix = np.concatenate([terms(row["steps"]) for row in known])
    return _least_squares(matrix * weights[:, None], places * weights)


def _least_squares(matrix: Array, values: Array) -> Coefficients:
    found = np.linalg.lstsq(matrix, values, rcond=None)[0]
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
