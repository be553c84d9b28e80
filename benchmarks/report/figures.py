"""What results.json says: the best built-in of each cell, ratios, and the goals that were set."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from statistics import geometric_mean
from typing import Any

from ..rivals.schedules import is_built_in

Summary = dict[str, Any]

BEST = "best built-in"
GOAL_STEPS = (4, 5, 6, 8)
WORST_ALLOWED = 1.03
BUDGETS = {"normal": "calibrated", "quick": "calibrated_quick"}


class Table:
    """The cells of results.json by model, solver, steps and method."""

    def __init__(self, cells: Iterable[Summary]) -> None:
        self._cells: dict[tuple[str, str, int], dict[str, Summary]] = {}
        for cell in cells:
            self._cells.setdefault((cell["model"], cell["solver"], cell["steps"]), {})[cell["method"]] = cell

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(model for model, _, _ in self._cells))

    @property
    def solvers(self) -> list[str]:
        return list(dict.fromkeys(solver for _, solver, _ in self._cells))

    @property
    def steps(self) -> list[int]:
        return sorted({steps for _, _, steps in self._cells})

    @property
    def places(self) -> list[tuple[str, str, int]]:
        """(model, solver, steps) of every cell."""
        return list(self._cells)

    def methods(self, model: str, solver: str, steps: int) -> dict[str, Summary]:
        return self._cells.get((model, solver, steps), {})

    def summary(self, model: str, solver: str, steps: int, method: str, by: str = "rmse_mean") -> Summary | None:
        """The cell of a method; BEST is the host's scheduler with the least error `by`."""
        methods = self.methods(model, solver, steps)
        if method != BEST:
            return methods.get(method)
        built_in = [cell for name, cell in methods.items() if is_built_in(name)]
        return min(built_in, key=lambda cell: cell[by], default=None)

    def ratio(
        self,
        model: str,
        solver: str,
        steps: int,
        method: str,
        to: str = BEST,
        by: str = "rmse_mean",
        best_by: str | None = None,
    ) -> float | None:
        """Measure `by` of `method` divided by that of `to`; None where one of them was not measured.

        best_by: the measure that BEST is the best by, if it is another one.
        """
        cell, other = (self.summary(model, solver, steps, name, best_by or by) for name in (method, to))
        return cell[by] / other[by] if cell and other else None

    def mean_ratio(self, method: str, to: str = BEST, **which: Any) -> float | None:
        """Geometric mean of `ratios`, which takes the same arguments; None where there is none."""
        ratios = self.ratios(method, to, **which)
        return geometric_mean(ratios.values()) if ratios else None

    def ratios(
        self,
        method: str,
        to: str = BEST,
        *,
        models: Sequence[str] | None = None,
        solvers: Sequence[str] | None = None,
        steps: Sequence[int] = GOAL_STEPS,
        by: str = "rmse_mean",
        best_by: str | None = None,
    ) -> dict[tuple[str, str, int], float]:
        """The ratio of each cell where both were measured."""
        places = itertools.product(models or self.models, solvers or self.solvers, steps)
        found = {place: self.ratio(*place, method, to, by, best_by) for place in places}
        return {place: ratio for place, ratio in found.items() if ratio is not None}


# -- the goals ---------------------------------------------------------------------------------------------------------


class Goal:
    """A figure to reach: what it is, its limit, and how it comes out of a table."""

    def __init__(self, what: str, limit: float, measure: Callable[[Table, Sequence[str]], float | None]) -> None:
        self.what, self.limit, self.measure = what, limit, measure


def _mean(method: str, to: str, solver: str, by: str = "rmse_mean", steps: Sequence[int] = GOAL_STEPS) -> Callable:
    return lambda table, models: table.mean_ratio(method, to, models=models, solvers=[solver], by=by, steps=steps)


def goals() -> list[Goal]:
    found = []
    for solver, limit in (("dpmpp_2m", 0.80), ("uni_pc", 0.80), ("euler", 0.96)):
        for by, word in (("rmse_mean", "mean"), ("rmse_median", "median")):
            what = f"calibrated / best built-in, {solver}, {word} RMSE, N = 4..8"
            found.append(Goal(what, limit, _mean("calibrated", BEST, solver, by)))
    for solver in ("dpmpp_2m", "uni_pc"):
        what = f"quick budget / best built-in, {solver}, mean RMSE, N = 4..8"
        found.append(Goal(what, 0.90, _mean("calibrated_quick", BEST, solver)))
    found.append(Goal("calibrated / oracle, euler, mean RMSE", 1.10, _mean("calibrated", "oracle", "euler")))
    for budget, method in BUDGETS.items():
        what = "worst cell (mean of its calibrations): lower end of the interval of calibrated / best built-in"
        found.append(Goal(f"{what}, budget {budget}", WORST_ALLOWED, functools.partial(worst_low, method=method)))
        what = f"single calibrations above {WORST_ALLOWED:g} beyond their own interval, budget {budget}"
        found.append(Goal(what, 0, functools.partial(surely_worse, method=method)))
    return found


def surely_worse(table: Table, models: Sequence[str], method: str = "calibrated") -> int:
    """How many calibrations, each counted by itself, have a mean error surely above the best built-in's."""
    return sum(cell["surely_worse"] for cell in _cells(table, models, method))


def worst_low(table: Table, models: Sequence[str], method: str = "calibrated") -> float | None:
    """The highest lower end of a bootstrap interval of calibrated / best built-in."""
    return max((cell["ratio_low"] for cell in _cells(table, models, method)), default=None)


def _cells(table: Table, models: Sequence[str], method: str) -> list[Summary]:
    places = [place for place in table.places if place[0] in models]
    return [cell for place in places if (cell := table.summary(*place, method))]


def scale_ratios(table: Table, models: Sequence[str]) -> list[tuple[str, str, float]]:
    """(model, solver, calibrated / hso) over N = 4..8; the goal is 0.80."""
    found = []
    for model in models:
        for solver in table.solvers:
            ratio = table.mean_ratio("calibrated", "hso", models=[model], solvers=[solver])
            if ratio is not None:
                found.append((model, solver, ratio))
    return found
