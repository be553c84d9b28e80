"""The committed results: their form, and that the page says what they say."""

from __future__ import annotations

import json
import math

import pytest
from benchmarks.quality import oracle
from benchmarks.quality.figures import BEST, WORST_ALLOWED, Table, goals
from benchmarks.quality.models import MODELS, load_model
from benchmarks.quality.report import NETWORKS, page
from benchmarks.quality.rivals import is_built_in, is_schedule
from benchmarks.quality.solvers import SOLVERS

import workbench

RESULTS = workbench.REPOSITORY / "benchmarks" / "results.json"
ABOUT = RESULTS.with_name("results_about.json")
PAGE = workbench.REPOSITORY / "docs" / "benchmark.md"
COLUMNS = {"model", "solver", "steps", "method", "rmse_mean", "rmse_median", "rmse_p95", "swd", "fd", "evaluations"}


@pytest.fixture(scope="module")
def cells() -> list[dict]:
    return json.loads(RESULTS.read_text("utf-8"))


def test_cells_have_all_columns_and_finite_numbers(cells: list[dict]) -> None:
    places = {(cell["model"], cell["solver"], cell["steps"], cell["method"]) for cell in cells}
    assert len(places) == len(cells) > 0
    for cell in cells:
        assert cell.keys() >= COLUMNS
        assert cell["model"] in MODELS and cell["solver"] in SOLVERS and cell["evaluations"] == cell["steps"]
        assert 0 < cell["rmse_median"] <= cell["rmse_p95"]
        assert all(math.isfinite(cell[column]) for column in COLUMNS - {"model", "solver", "method"})
        assert len(cell["sigmas"]) == cell["steps"] + 1


def test_page_is_made_from_the_results(cells: list[dict]) -> None:
    about = json.loads(ABOUT.read_text("utf-8"))
    assert PAGE.read_text("utf-8") == page(cells, about)


@pytest.fixture(scope="module")
def readme() -> str:
    """README.md with every line break as a space."""
    return " ".join((workbench.REPOSITORY / "README.md").read_text("utf-8").split())


def test_the_readme_has_the_figures_of_the_results(cells: list[dict], readme: str) -> None:
    table, about = Table(cells), json.loads(ABOUT.read_text("utf-8"))

    def ratio(method: str, solver: str, by: str = "mean", models: tuple[str, ...] | None = None) -> str:
        return f"{table.mean_ratio(method, models=models, solvers=[solver], by=f'rmse_{by}'):.2f}"

    def row(name: str, *values: str) -> str:
        return f"| {' | '.join((name, *values))} |"

    solvers = ("euler", "dpmpp_2m", "uni_pc")
    both = [" / ".join(ratio("calibrated", solver, by, NETWORKS) for by in ("mean", "median")) for solver in solvers]
    calibrated = [cell for cell in cells if cell["method"] == "calibrated"]
    worse, runs = (sum(cell[key] for cell in calibrated) for key in ("surely_worse", "calibrations"))
    assert f"(`.venv/bin/python -m benchmarks.quality`, {about['date']}, " in readme
    assert f"on {len(table.models)} test models" in readme
    assert row("by the mean RMSE", *(ratio("calibrated", solver) for solver in solvers)) in readme
    assert row("by the median RMSE", *(ratio("calibrated", solver, "median") for solver in solvers)) in readme
    assert row("the networks alone, mean / median", *both) in readme
    assert not any(cell["ratio_low"] > WORST_ALLOWED for cell in calibrated)
    assert f"in none of the {len(table.places)} cases" in readme
    assert f"{worse} of the {runs} single calibrations" in readme
    dpmpp_2m, uni_pc = (ratio("calibrated_quick", solver) for solver in ("dpmpp_2m", "uni_pc"))
    assert f"reaches {dpmpp_2m} with dpmpp_2m and {uni_pc} with uni_pc" in readme


def test_the_readme_says_how_hso_does_against_the_best_built_in(cells: list[dict], readme: str) -> None:
    table = Table(cells)
    ratios = {place: ratio for place in table.places if (ratio := table.ratio(*place, "hso"))}
    networks = [ratio for place, ratio in ratios.items() if place[0] in NETWORKS]
    ahead, of_networks = (sum(ratio < 1 for ratio in part) for part in (ratios.values(), networks))
    assert f"in {ahead} of {len(ratios)} cases, on the networks alone in {of_networks} of {len(networks)}" in readme

    def means(models: tuple[str, ...] | None) -> tuple[str, ...]:
        solvers = ("euler", "dpmpp_2m", "uni_pc")
        return tuple(f"{table.mean_ratio('hso', models=models, solvers=[solver]):.2f}" for solver in solvers)

    everywhere = "on average {} times that one's with euler, {} with dpmpp_2m and {} with uni_pc"
    assert everywhere.format(*means(None)) in readme
    assert "on the networks alone {}, {} and {}".format(*means(NETWORKS)) in readme
    model, solver, steps = max(ratios, key=ratios.__getitem__)
    assert f"at worst {max(ratios.values()):.1f} times ({model}, {solver}, {steps} steps)" in readme


def test_the_readme_says_with_which_solvers_one_built_in_is_closer_than_hso(cells: list[dict], readme: str) -> None:
    table = Table(cells)
    built_ins = {cell["method"] for cell in cells if is_built_in(cell["method"])}
    closer = {
        solver
        for solver in table.solvers
        for name in built_ins
        if (ratio := table.mean_ratio(name, solvers=[solver])) and ratio < table.mean_ratio("hso", solvers=[solver])
    }
    assert closer == {"uni_pc"}
    assert "With euler and dpmpp_2m no single built-in scheduler is as close on average over 4 to 8 steps" in readme


def test_the_readme_says_how_hso_does_on_flow_models(cells: list[dict], readme: str) -> None:
    flow = [name for name in MODELS if load_model(name).noise.family == "flow"]
    table = Table(cells)
    simple, hso = (table.mean_ratio(name, models=flow, solvers=["dpmpp_2m"]) for name in ("simple", "hso"))
    assert f"On flow models with dpmpp_2m `simple` is closer ({simple:.2f} against {hso:.2f})." in readme


def test_every_reference_is_converged(cells: list[dict]) -> None:
    about = json.loads(ABOUT.read_text("utf-8"))
    for name, model in about["models"].items():
        smallest = min(cell["rmse_mean"] for cell in cells if cell["model"] == name)
        assert max(model["half"], model["heun"]) < 0.2 * smallest, name


def test_every_cell_has_an_oracle_that_falls_from_noise_to_zero() -> None:
    for model in MODELS:
        for solver in SOLVERS:
            for steps in oracle.STEPS:
                sigmas = oracle.oracle_sigmas(model, solver, steps)
                assert sigmas is not None and is_schedule(sigmas, steps), (model, solver, steps)


def _cell(method: str, mean: float, steps: int = 4, **more: float) -> dict:
    place = {"model": "hsc32", "solver": "euler", "steps": steps, "method": method}
    return {**place, "rmse_mean": mean, "rmse_median": 2 * mean, **more}


def test_ratios_are_geometric_means_against_the_best_built_in() -> None:
    cells = [
        _cell("karras", 0.4),
        _cell("simple", 0.2),
        _cell("hso", 0.1),
        _cell("karras", 0.1, 6),
        _cell("hso", 0.2, 6),
    ]
    cells.append(_cell("calibrated", 0.1, ratio_low=0.4, surely_worse=1))
    cells.append(_cell("calibrated", 0.08, 6, ratio_low=1.1, surely_worse=2))
    table = Table(cells)

    assert table.summary("hsc32", "euler", 4, BEST)["method"] == "simple"
    assert table.mean_ratio("hso") == pytest.approx(math.sqrt(0.5 * 2.0))
    assert table.mean_ratio("oracle") is None
    by_name = {goal.what: goal.measure(table, ["hsc32"]) for goal in goals()}
    assert by_name["calibrated / best built-in, euler, mean RMSE, N = 4..8"] == pytest.approx(math.sqrt(0.5 * 0.8))
    assert (
        by_name["worst cell (mean of its calibrations): lower end of the interval of calibrated / best built-in"] == 1.1
    )
    assert by_name["single calibrations above 1.03 beyond their own interval"] == 3
    assert by_name["calibrated / oracle, euler, mean RMSE"] is None
