"""What results.json says: the best built-in of each cell, ratios, and the goals that were set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import geometric_mean
from typing import Any

from .rivals import is_built_in

Summary = dict[str, Any]

BEST = "best built-in"
GOAL_STEPS = (4, 5, 6, 8)
WORST_ALLOWED = 1.03


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
        self, model: str, solver: str, steps: int, method: str, to: str = BEST, by: str = "rmse_mean"
    ) -> float | None:
        """Error of `method` divided by that of `to`; None where one of them was not measured."""
        cell, other = (self.summary(model, solver, steps, name, by) for name in (method, to))
        return cell[by] / other[by] if cell and other else None

    def mean_ratio(
        self,
        method: str,
        to: str = BEST,
        *,
        models: Sequence[str] | None = None,
        solvers: Sequence[str] | None = None,
        steps: Sequence[int] = GOAL_STEPS,
        by: str = "rmse_mean",
    ) -> float | None:
        """Geometric mean of the ratio over the cells where both were measured."""
        ratios = [
            self.ratio(model, solver, n, method, to, by)
            for model in (self.models if models is None else models)
            for solver in (self.solvers if solvers is None else solvers)
            for n in steps
        ]
        found = [ratio for ratio in ratios if ratio is not None]
        return geometric_mean(found) if found else None


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
    what = "worst cell (mean of its calibrations): lower end of the interval of calibrated / best built-in"
    found.append(Goal(what, WORST_ALLOWED, worst_low))
    what = f"single calibrations above {WORST_ALLOWED:g} beyond their own interval"
    found.append(Goal(what, 0, surely_worse))
    return found


def surely_worse(table: Table, models: Sequence[str]) -> int:
    """How many calibrations, each counted by itself, have a mean error surely above the best built-in's."""
    places = [place for place in table.places if place[0] in models]
    cells = [table.summary(*place, "calibrated") for place in places]
    return sum(cell["surely_worse"] for cell in cells if cell)


def worst_low(table: Table, models: Sequence[str]) -> float | None:
    """The highest lower end of a bootstrap interval of calibrated / best built-in."""
    lows = [
        cell["ratio_low"]
        for model in models
        for solver in table.solvers
        for n in table.steps
        if (cell := table.summary(model, solver, n, "calibrated"))
    ]
    return max(lows, default=None)


def scale_ratios(table: Table, models: Sequence[str]) -> list[tuple[str, str, float]]:
    """(model, solver, calibrated / hso) over N = 4..8; the goal is 0.80."""
    found = []
    for model in models:
        for solver in table.solvers:
            ratio = table.mean_ratio("calibrated", "hso", models=[model], solvers=[solver])
            if ratio is not None:
                found.append((model, solver, ratio))
    return found
