"""Which pairs of sampler and scheduler are usually good: BEHIND of hso_core/calibration/usual.py.

    .venv/bin/python -m benchmarks.studies.usual_pairs [--write]

Prints it, the pairs that are usually the nearest, and how far the best of the first few is behind the best of all,
where they are tried in the order of what is foretold, of what is usual with the other networks, and of both. --write:
also measure all pairs anew, into benchmarks/usual_pairs.json.
"""

from __future__ import annotations

import argparse
import pprint
from math import exp, log
from statistics import fmean
from typing import Any
from unittest import mock

import torch

from hso_core.calibration import BUDGETS, usual
from hso_core.calibration.calibrate_sampler import SamplerPlan
from hso_core.calibration.pairs import USUAL_SHARE, most_promising_first
from hso_core.calibration.reference import Reference, reference_sigmas
from hso_core.solvers import known_solver

from ..models.catalogue import NETWORKS, load_model
from ..models.solvers import REFERENCE_SOLVER, SolverRun
from ..report.page import markdown
from ..report.rows import read_rows, write_rows
from ..rivals.calibrated import FIRST_SEEDS
from ..rivals.fitted import pairs_at_hand
from ..rivals.usual import PAIRS, pairs_without
from .fitted_samplers import NOT_CHOSEN_ON, STEPS, PairBench

ORDERS = {"foretold": 0.0, "both": USUAL_SHARE, "usual": 1.0}
FIRST = (1, 2, 3)
DRAWS = 3  # sets of seeds for the reference
NEAREST = 5  # pairs that are named


def behind() -> list[dict[str, Any]]:
    """Of each network but one, the logarithm of each pair's mean distance over the least."""
    found = []
    for network in NETWORKS:
        if network == NOT_CHOSEN_ON:
            continue
        model = load_model(network)
        bench = PairBench(model)
        for steps in STEPS:
            pairs = pairs_at_hand(model, steps)
            means = {name: bench.mean_distance(known_solver(*pair, model.noise)) for name, pair in pairs.items()}
            least = min(means.values())
            logs = {name: round(log(mean / least), 3) for name, mean in means.items()}
            found.append({"network": network, "steps": steps, "behind": logs})
    return found


def first_ones(row: dict[str, Any]) -> dict[str, list[list[float]]]:
    """By order, and by how many are tried, how far the best of them is behind; for each set of seeds."""
    model, steps = load_model(row["network"]), row["steps"]
    pairs, plan = pairs_at_hand(model, steps), SamplerPlan.of(BUDGETS["quick"], steps, model.noise.family)
    sigmas = reference_sigmas(model.noise, plan.reference_steps)
    found: dict[str, list[list[float]]] = {order: [[] for _ in FIRST] for order in ORDERS}
    for seed in FIRST_SEEDS[:DRAWS]:
        reference = Reference(SolverRun(model, REFERENCE_SOLVER), sigmas, seed)
        reference.extend(range(plan.seeds))
        with mock.patch.dict(usual.BEHIND, pairs_without(row["network"]), clear=True):
            for order, share in ORDERS.items():
                names = list(most_promising_first(pairs, reference.profile(), model.noise, share))
                for few, each in zip(FIRST, found[order], strict=True):
                    each.append(min(row["behind"][name] for name in names[:few]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="also measure all pairs anew")
    torch.set_num_threads(1)
    if parser.parse_args().write:
        write_rows(PAIRS, behind())
    usually = pairs_without(None)
    pprint.pprint(usually, width=118, compact=True)
    for name in sorted(usually, key=lambda name: usually[name])[:NEAREST]:
        print(f"{name}: {exp(usually[name]):.2f} times the distance of the best pair")
    rows = read_rows(PAIRS)
    found = [(row["network"], first_ones(row)) for row in rows]
    table = []
    for network in (None, *dict.fromkeys(row["network"] for row in rows)):
        own = [each for name, each in found if network in (None, name)]
        for order in ORDERS:
            logs = (fmean(value for each in own for value in each[order][i]) for i in range(len(FIRST)))
            table.append((network or "all", order, *(f"{exp(mean):.2f}" for mean in logs)))
    print(markdown(("network", "order", *(f"best of {few}" for few in FIRST)), table))


if __name__ == "__main__":
    main()
