"""Solver and schedule fitted together, against everything else (docs/fitted_samplers.md).

    .venv/bin/python -m benchmarks.studies.fitted_samplers [--models MODEL ...] [--steps N ...] [--calibrations K]
                                                           [--rivals | --page]

Each cell is a network and a number of steps. Ratios are to the best built-in pair of all solvers and schedulers, chosen
afterwards on the test seeds by the very measure. What was measured is kept in benchmarks/fitted_samplers.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from statistics import geometric_mean
from typing import Any

import torch
from torch import Tensor

from hso_core.solvers import LinearMultistep, known_solver

from .. import REPOSITORY
from ..measures.cells import Cell, test_seeds
from ..measures.distances import frechet_distance, principal_features, ratio_interval, sliced_wasserstein
from ..measures.sets import SetDistances
from ..models.catalogue import EMOJI_NETWORKS, NETWORKS, TestModel, load_model
from ..models.reference import converged, distances
from ..models.solvers import SOLVERS, SolverRun
from ..report.figures import WORST_ALLOWED
from ..report.page import markdown
from ..report.rows import keep_rows, read_rows
from ..rivals.fitted import METHODS, fitted_samplers
from ..rivals.schedules import built_in_rivals, is_built_in
from ..rivals.trajectory_rules import equal_rotation, sharp_euler

RESULTS = REPOSITORY / "benchmarks" / "fitted_samplers.json"
SCHEDULES = REPOSITORY / "benchmarks" / "results.json"
OTHER_SOLVERS = ("dpmpp_3m", "ipndm", "deis", "res_multistep")
RULES = {"SharpEuler": sharp_euler, "TORS": equal_rotation}
BEST, CALIBRATED = "best built-in pair", ("calibrated_quick", "calibrated")
MEASURES = {"rmse_mean": "mean", "rmse_median": "median", "swd": "swd", "fd": "fd"}
WORSE = {"surely_worse": "surely worse by mean", "surely_worse_sets": "by swd"}
STEPS = (4, 5, 6, 8)
NOT_CHOSEN_ON = "sd-unet-v"  # the only one that nothing was chosen on
BRIGHT = "ztf32"  # a few of its pictures are much brighter than all others


class PairBench:
    """Measures solvers with their schedules on the test seeds of one model."""

    def __init__(self, model: TestModel) -> None:
        self.model = model
        seeds = test_seeds(model)
        self._converged, self._noise = converged(model, seeds), SolverRun(model, "euler").start_noise(seeds)
        self._features = principal_features(self._converged)
        self.sets = SetDistances(self._converged)

    def sample(self, solver: LinearMultistep) -> Tensor:
        start = solver.sigmas[0] * self._noise
        with torch.inference_mode():
            return solver.sample(lambda x, sigma: self.model.denoise(x, float(sigma[0])), start)

    def mean_distance(self, solver: LinearMultistep) -> float:
        return float(distances(self.sample(solver), self._converged).mean())

    def measure(self, method: str, solver: LinearMultistep) -> Cell:
        return self.cell(method, solver, self.sample(solver))

    def cell(self, method: str, solver: LinearMultistep, latents: Tensor) -> Cell:
        return Cell(
            model=self.model.name,
            solver="fitted" if method.startswith("fitted") else method.split(",")[0],
            steps=solver.steps,
            method=method,
            sigmas=tuple(solver.sigmas.double().tolist()),
            errors=tuple(distances(latents, self._converged).tolist()),
            swd=sliced_wasserstein(latents, self._converged),
            fd=frechet_distance(self._features(latents), self._features(self._converged)),
            evaluations=solver.steps,
        )


def measured(
    bench: PairBench,
    steps: int,
    fitted: Iterable[tuple[str, list[LinearMultistep]]],
    known: Iterable[dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """The summaries of one cell: of the best pair, and of fitted samplers of each kind. known: see `best_pair`."""
    best = best_pair(bench, steps, known)
    yield best
    errors = bench.measure(BEST, _solver_of(bench.model, steps, *best["pair"])).error_tensor[0]
    best_set = bench.sets.on_lines(bench.sample(_solver_of(bench.model, steps, *best["pair_by_set"])))
    for method, solvers in fitted:
        latents = [bench.sample(solver) for solver in solvers]
        cells = [bench.cell(method, *each) for each in zip(solvers, latents, strict=True)]
        sets = [bench.sets.surely_worse(bench.sets.on_lines(own), best_set, WORST_ALLOWED) for own in latents]
        together = Cell.of_all(cells)
        worse = [ratio_interval(cell.error_tensor[0], errors)[0] > WORST_ALLOWED for cell in cells]
        ratios = [round(float(cell.error_tensor.mean() / errors.mean()), 4) for cell in cells]
        counts = {"calibrations": len(cells), "surely_worse": sum(worse), "surely_worse_sets": sum(sets)}
        yield together.summary() | {**counts, "ratios": ratios}


def rivals(bench: PairBench, steps: int) -> Iterator[dict[str, Any]]:
    """The summaries of other solvers, each with its best scheduler, and of others' rules."""
    model = bench.model
    for name in OTHER_SOLVERS:
        yield _best_of(name, [bench.measure(name, solver) for solver in _on_built_ins(model, steps, name)])
    for name, rule in RULES.items():
        sigmas = rule(model, steps)
        yield _best_of(name, [bench.measure(name, known_solver(solver, sigmas, model.noise)) for solver in SOLVERS])


def best_pair(bench: PairBench, steps: int, known: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The built-in pair of the least mean, with the least of every other measure among all pairs.

    From results.json, or from what is `known`; measured here where neither has the model.
    """
    cells, name = json.loads(SCHEDULES.read_text("utf-8")), bench.model.name
    own = [c for c in cells if (c["model"], c["steps"]) == (name, steps) and is_built_in(c["method"])]
    earlier = [row for row in known if (row["model"], row["steps"], row["method"]) == (name, steps, BEST)]
    if earlier and not own:
        return earlier[0]
    own = own or [cell.summary() | {"solver": solver} for solver, cell in _built_in_cells(bench, steps)]
    best, by_set = (min(own, key=lambda cell: cell[by]) for by in ("rmse_mean", "swd"))
    pairs = {key: (cell["solver"], cell["method"]) for key, cell in (("pair", best), ("pair_by_set", by_set))}
    return best | {"method": BEST, **pairs, **{by: min(c[by] for c in own) for by in MEASURES}}


def _built_in_cells(bench: PairBench, steps: int) -> Iterator[tuple[str, Cell]]:
    for solver in SOLVERS:
        for name, sigmas in built_in_rivals(bench.model, solver, steps):
            yield solver, bench.measure(name, known_solver(solver, sigmas, bench.model.noise))


def _solver_of(model: TestModel, steps: int, solver: str, scheduler: str) -> LinearMultistep:
    return known_solver(solver, dict(built_in_rivals(model, solver, steps))[scheduler], model.noise)


def _on_built_ins(model: TestModel, steps: int, solver: str) -> Iterator[LinearMultistep]:
    for _, sigmas in built_in_rivals(model, solver, steps):
        yield known_solver(solver, sigmas, model.noise)


def _least(cells: list[Cell], by: str) -> float:
    return min(float(cell.summary()[by]) for cell in cells)  # type: ignore[arg-type]


def _best_of(method: str, cells: list[Cell]) -> dict[str, Any]:
    """The least of each measure, chosen afterwards."""
    return cells[0].summary() | {"method": method} | {by: _least(cells, by) for by in MEASURES}


def calibrated_schedules(model: str, steps: int) -> list[dict[str, Any]]:
    """Of results.json: the better of the three solvers' calibrated schedules, by each measure, chosen afterwards."""
    cells = json.loads(SCHEDULES.read_text("utf-8"))
    found = []
    for method in CALIBRATED:
        own = [c for c in cells if (c["model"], c["steps"], c["method"]) == (model, steps, method)]
        if own:
            found.append(own[0] | {"solver": "any", **{by: min(c[by] for c in own) for by in MEASURES}})
    return found


def read_results() -> list[dict[str, Any]]:
    return read_rows(RESULTS)


def page(rows: list[dict[str, Any]]) -> str:
    """Tables: geometric means over the cells, and cell by cell."""
    best = {(row["model"], row["steps"]): row for row in rows if row["method"] == BEST}
    rows = rows + [row for place in best for row in calibrated_schedules(*place)]
    methods = dict.fromkeys(row["method"] for row in rows if row["method"] != BEST)
    total = [
        (method, *_figures([row for row in rows if row["method"] == method], best, len(best))) for method in methods
    ]
    for method in METHODS:
        own = [row for row in rows if row["method"] == method]
        parts = {f"{method}, {steps} steps": [row for row in own if row["steps"] == steps] for steps in STEPS}
        parts[f"{method}, without {BRIGHT}"] = [row for row in own if row["model"] != BRIGHT]
        parts[f"{method}, galaxies and digits"] = [row for row in own if row["model"] not in EMOJI_NETWORKS]
        parts[f"{method}, emoji"] = [row for row in own if row["model"] in EMOJI_NETWORKS]
        parts[f"{method}, {NOT_CHOSEN_ON}"] = [row for row in own if row["model"] == NOT_CHOSEN_ON]
        total += [(name, *_figures(part, best, len(part))) for name, part in parts.items() if part]
    each = []
    for place in sorted(best, key=lambda place: (list(NETWORKS).index(place[0]), place[1])):
        for method in (*CALIBRATED, *METHODS):
            own = [row for row in rows if (row["model"], row["steps"], row["method"]) == (*place, method)]
            if own:
                each.append((*map(str, place), method, *_figures(own, best, 1)[: len(MEASURES)], _singles(own[0])))
    head = ("method", *MEASURES.values(), *WORSE.values(), "cells")
    return (
        markdown(head, total) + "\n\n" + markdown(("network", "N", "method", *MEASURES.values(), "single ones"), each)
    )


def _figures(rows: list[dict[str, Any]], best: dict[tuple[str, int], dict[str, Any]], cells: int) -> list[str]:
    ratios = [{by: row[by] / best[row["model"], row["steps"]][by] for by in MEASURES} for row in rows]
    return [
        *(f"{geometric_mean(ratio[by] for ratio in ratios):.2f}" for by in MEASURES),
        *worse_of(rows),
        f"{len(rows)} of {cells}",
    ]


def worse_of(rows: list[dict[str, Any]]) -> list[str]:
    """How many single calibrations are surely worse, by the mean and by the set; empty for what is none."""
    told = {key: [row for row in rows if key in row] for key in WORSE}
    sums = {
        key: (sum(row[key] for row in known), sum(row["calibrations"] for row in known)) for key, known in told.items()
    }
    return [f"{worse} of {count}" if count else "" for worse, count in sums.values()]


def _singles(row: dict[str, Any]) -> str:
    if "ratios" not in row:
        return ""
    worse = " and ".join(f"{row[key]}" for key in WORSE)
    return ", ".join(f"{ratio:.2f}" for ratio in row["ratios"]) + f" ({worse} surely worse)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(NETWORKS))
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--calibrations", type=int, help="at most so many of each kind")
    parser.add_argument("--rivals", action="store_true", help="also other solvers, and others' rules")
    parser.add_argument("--page", action="store_true", help="only print the tables")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.page:
        for steps in options.steps:
            for name in options.models:
                bench = PairBench(load_model(name))
                fitted = fitted_samplers(bench.model, steps, options.calibrations)
                rows = list(measured(bench, steps, fitted, read_results()))
                rows += rivals(bench, steps) if options.rivals else ()
                keep_rows(RESULTS, rows)
                print(f"{name}, {steps} steps: measured", flush=True)
    print(page(read_results()))


if __name__ == "__main__":
    main()
