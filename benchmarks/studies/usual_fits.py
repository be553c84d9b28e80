"""Where the steps of fitted samplers usually lie: the coefficients "fitted" of hso_core/calibration/usual.py.

    .venv/bin/python -m benchmarks.studies.usual_fits [--write]

Prints them, and how far each network's steps are from what the others' say. --write: from the schedules of
benchmarks/fitted_samplers.json, the first of each cell with the budget normal, into benchmarks/usual_fits.json. What is
there now was written before any of these schedules was searched from the usual ones.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch

from hso_core.calibration.reference import Reference
from hso_core.calibration.usual import FITTED, anchor, terms

from ..models.catalogue import load_model
from ..models.solvers import REFERENCE_SOLVER, SolverRun
from ..report.page import markdown
from ..report.rows import read_rows, write_rows
from ..rivals.calibrated import FIRST_SEEDS
from ..rivals.usual import FITS, coefficients_without
from .fitted_choices import own_sigmas
from .fitted_samplers import read_results

SEEDS = 4


def places() -> list[dict[str, Any]]:
    """Of each cell the lambdas after the start, told from the anchor."""
    found = []
    for row in read_results():
        if row["method"] != "fitted":
            continue
        model, steps = load_model(row["model"]), row["steps"]
        reference = Reference(SolverRun(model, REFERENCE_SOLVER), own_sigmas(model, steps), FIRST_SEEDS[0])
        reference.extend(range(SEEDS))
        inner = model.noise.lambda_of_sigma(torch.tensor(row["sigmas"][1:-1], dtype=torch.float64))
        lambdas = (inner - anchor(reference.profile(), model.noise)).tolist()
        found.append({"network": row["model"], "steps": steps, "lambdas": [round(lam, 3) for lam in lambdas]})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="also measure the places anew")
    torch.set_num_threads(1)
    if parser.parse_args().write:
        write_rows(FITS, places())
    print(f'"fitted": {coefficients_without(None)[FITTED]}\n')
    rows = read_rows(FITS)
    table = []
    for network in dict.fromkeys(row["network"] for row in rows):
        own, coefficients = [row for row in rows if row["network"] == network], coefficients_without(network)[FITTED]
        off = np.concatenate([row["lambdas"] - terms(row["steps"]) @ np.ravel(coefficients) for row in own])
        table.append((network, f"{np.sqrt(np.square(off).mean()):.2f}"))
    print(markdown(("network", "off, in lambda"), table))


if __name__ == "__main__":
    main()
