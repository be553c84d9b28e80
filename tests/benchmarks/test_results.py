"""The committed results: their form, and that the page says what they say."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Collection
from statistics import fmean, geometric_mean, pstdev

import pytest
from benchmarks.models.catalogue import MODELS, NETWORKS, RELATIVES, load_model
from benchmarks.models.solvers import SOLVERS
from benchmarks.report.figures import BEST, BUDGETS, WORST_ALLOWED, Table, goals
from benchmarks.report.page import EASY, MEASURES, all_methods_table, convergence_text, page
from benchmarks.report.rows import read_rows
from benchmarks.rivals.schedules import STEPS, is_built_in, is_schedule, oracle_sigmas
from benchmarks.studies import fitted_samplers, jumps, transfer

import workbench
from hso_core.calibration import usual

# The package has a function of this name.
calibrate_sampler = importlib.import_module("hso_core.calibration.calibrate_sampler")
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


def words_of(file: str) -> str:
    """The text with every line break as a space."""
    return " ".join((workbench.REPOSITORY / file).read_text("utf-8").split())


@pytest.fixture(scope="module")
def told() -> str:
    return words_of("docs/expectations.md")


def test_what_to_expect_has_the_figures_of_the_results(cells: list[dict], told: str) -> None:
    table, about = Table(cells), json.loads(ABOUT.read_text("utf-8"))

    def ratio(method: str, solver: str, by: str = "mean", models: tuple[str, ...] | None = None) -> str:
        return f"{table.mean_ratio(method, models=models, solvers=[solver], by=f'rmse_{by}'):.2f}"

    def row(name: str, *values: str) -> str:
        return f"| {' | '.join((name, *values))} |"

    solvers = ("euler", "dpmpp_2m", "uni_pc")
    without = tuple(name for name in table.models if name != EASY)

    def both(models: tuple[str, ...] | None, method: str = "calibrated") -> list[str]:
        return [" / ".join(ratio(method, solver, by, models) for by in ("mean", "median")) for solver in solvers]

    assert f"(`.venv/bin/python -m benchmarks`, {about['date']}, " in told
    assert f"on {len(table.models)} test models" in told
    assert row("all models", *both(None)) in told
    assert row("all but the Gaussian", *both(without)) in told
    assert row("the networks alone", *both(NETWORKS)) in told
    assert row("*quick*, all but the Gaussian", *both(without, "calibrated_quick")) in told
    assert row("*quick*, the networks alone", *both(NETWORKS, "calibrated_quick")) in told
    for budget, losses in (
        ("normal", "{} of the {} cases (each a mean of four) and {} of the {} single calibrations"),
        ("quick", "with *quick* {} of the {} cases and {} of {} calibrations"),
    ):
        measured = [cell for cell in cells if cell["method"] == BUDGETS[budget]]
        worse, runs = (sum(cell[key] for cell in measured) for key in ("surely_worse", "calibrations"))
        sure = sum(cell["ratio_low"] > WORST_ALLOWED for cell in measured)
        assert losses.format(sure or "none", len(table.places), worse, runs) in told


def test_the_pages_say_how_many_calibrations_are_a_loss(cells: list[dict]) -> None:
    page = " ".join(PAGE.with_name("calibration.md").read_text("utf-8").split())
    quick = [cell for cell in cells if cell["method"] == BUDGETS["quick"] and cell["model"] in jumps.MODELS]
    worse, runs = (sum(cell[key] for cell in quick) for key in ("surely_worse", "calibrations"))
    assert f"with *quick* it was {worse} of {runs}" in page


def test_on_networks_sets_gain_as_typical_samples_do_and_the_tails_least(cells: list[dict]) -> None:
    """What the page says beside the table of the other measures."""
    table = Table(cells)

    def ratio(by: str, solver: str, best_by: str) -> float:
        found = table.mean_ratio("calibrated", models=NETWORKS, solvers=[solver], by=by, best_by=best_by)
        assert found is not None
        return found

    for best_by in (None, "rmse_mean"):
        own = {by: {solver: ratio(by, solver, best_by or by) for solver in table.solvers} for by in MEASURES}
        assert all(value < 0.95 for by in ("rmse_median", "swd", "fd") for value in own[by].values())
        assert all(own["rmse_p95"][solver] == max(own[by][solver] for by in MEASURES) for solver in table.solvers)
        assert 0.95 < own["rmse_p95"]["uni_pc"] < 1.05


def test_what_to_expect_says_how_hso_does_against_the_best_built_in(cells: list[dict], told: str) -> None:
    table = Table(cells)
    ratios = {place: ratio for place in table.places if (ratio := table.ratio(*place, "hso"))}
    networks = [ratio for place, ratio in ratios.items() if place[0] in NETWORKS]
    ahead, of_networks = (sum(ratio < 1 for ratio in part) for part in (ratios.values(), networks))
    assert f"in {ahead} of {len(ratios)} cases, on the networks alone in {of_networks} of {len(networks)}" in told
    assert f"chosen afterwards, in {ahead} of {len(ratios)} cases" in words_of("README.md")

    def means(models: tuple[str, ...] | None) -> tuple[str, ...]:
        solvers = ("euler", "dpmpp_2m", "uni_pc")
        return tuple(f"{table.mean_ratio('hso', models=models, solvers=[solver]):.2f}" for solver in solvers)

    everywhere = "on average {} times that one's with euler, {} with dpmpp_2m and {} with uni_pc"
    assert everywhere.format(*means(None)) in told
    assert "on the networks alone {}, {} and {}".format(*means(NETWORKS)) in told
    model, solver, steps = max(ratios, key=ratios.__getitem__)
    assert f"at worst {max(ratios.values()):.1f} times ({model}, {solver}, {steps} steps)" in told


def test_what_to_expect_says_with_which_solvers_one_built_in_is_closer_than_hso(cells: list[dict], told: str) -> None:
    table = Table(cells)
    built_ins = {cell["method"] for cell in cells if is_built_in(cell["method"])}
    closer = {
        solver
        for solver in table.solvers
        for name in built_ins
        if (ratio := table.mean_ratio(name, solvers=[solver])) and ratio < table.mean_ratio("hso", solvers=[solver])
    }
    assert closer == {"uni_pc"}
    assert "With euler and dpmpp_2m no single built-in scheduler is as close on average over 4 to 8 steps" in told
    assert "no single built-in one is as close on average with euler and dpmpp_2m" in words_of("README.md")


def test_what_to_expect_says_which_pair_is_usually_the_nearest(told: str) -> None:
    first, second = sorted(usual.BEHIND.items(), key=lambda item: item[1])[:2]
    assert (first[0], second[0]) == ("dpmpp_2m hso", "uni_pc exponential (KSampler)")
    assert f"{math.exp(first[1]):.2f} times its distance on average" in told
    assert f"(`uni_pc` with `exponential`) {math.exp(second[1]):.2f} times" in told


def test_what_to_expect_says_how_hso_does_on_flow_models(cells: list[dict], told: str) -> None:
    flow = [name for name in MODELS if load_model(name).noise.family == "flow"]
    table = Table(cells)
    simple, hso = (table.mean_ratio(name, models=flow, solvers=["dpmpp_2m"]) for name in ("simple", "hso"))
    assert f"On flow models with dpmpp_2m `simple` is closer ({simple:.2f} against {hso:.2f})." in told
    assert simple < hso and "On flow models `simple` with dpmpp_2m is closer." in words_of("README.md")


def test_every_reference_is_converged(cells: list[dict]) -> None:
    about = json.loads(ABOUT.read_text("utf-8"))
    for name, model in about["models"].items():
        smallest = min(cell["rmse_mean"] for cell in cells if cell["model"] == name)
        assert max(model["half"], model["heun"]) < 0.2 * smallest, name


def test_the_page_says_where_the_reference_is_farther_from_the_truth_than_a_schedule_is_from_it() -> None:
    about = json.loads(ABOUT.read_text("utf-8"))
    assert [name for name, model in about["models"].items() if "exact" in model] == [
        name for name, model in about["models"].items() if model["tier"] == 0
    ]
    model = about["models"][EASY]
    assert model["smallest"] < model["exact"] < 1e-3
    assert f"{model['exact']:.1e} from it, more than the smallest error" in convergence_text(about)


def test_an_incomplete_row_says_of_how_many_cells_it_is() -> None:
    cells = [
        _cell(method, error, steps) for steps in (4, 6) for method, error in (("karras", 0.2), ("calibrated", 0.1))
    ]
    table = Table([*cells, _cell("simple", 0.4), _cell("hso", 0.3), _cell("hso", 0.3, 6)])

    rows = {row.split(" | ")[0].removeprefix("| "): row for row in all_methods_table(table).splitlines()}
    assert "| 2.000 (1: 0.500) |" in rows["simple"]
    assert "| 1.500 |" in rows["hso"]


def test_another_measure_is_against_the_best_by_the_mean_or_by_itself() -> None:
    cells = [_cell("karras", 0.2, swd=0.5), _cell("simple", 0.4, swd=0.1), _cell("calibrated", 0.1, swd=0.2)]
    found = [
        Table(cells).mean_ratio("calibrated", steps=(4,), by="swd", best_by=best_by) for best_by in ("rmse_mean", None)
    ]
    assert found == pytest.approx([0.4, 2.0])


def test_every_cell_has_an_oracle_that_falls_from_noise_to_zero() -> None:
    for model in MODELS:
        for solver in SOLVERS:
            for steps in STEPS:
                sigmas = oracle_sigmas(model, solver, steps)
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
    cells.append(_cell("calibrated_quick", 0.3, ratio_low=1.2, surely_worse=5))
    table = Table(cells)

    assert table.summary("hsc32", "euler", 4, BEST)["method"] == "simple"
    assert table.mean_ratio("hso") == pytest.approx(math.sqrt(0.5 * 2.0))
    assert table.mean_ratio("oracle") is None
    by_name = {goal.what: goal.measure(table, ["hsc32"]) for goal in goals()}
    assert by_name["calibrated / best built-in, euler, mean RMSE, N = 4..8"] == pytest.approx(math.sqrt(0.5 * 0.8))
    worst = "worst cell (mean of its calibrations): lower end of the interval of calibrated / best built-in, budget {}"
    assert (by_name[worst.format("normal")], by_name[worst.format("quick")]) == (1.1, 1.2)
    assert by_name["single calibrations above 1.03 beyond their own interval, budget normal"] == 3
    assert by_name["single calibrations above 1.03 beyond their own interval, budget quick"] == 5
    assert by_name["calibrated / oracle, euler, mean RMSE"] is None


def test_the_page_on_fitted_samplers_has_the_figures_of_its_sentences() -> None:
    told, rows = words_of("docs/fitted_samplers.md"), fitted_samplers.read_results()
    best = {(row["model"], row["steps"]): row for row in rows if row["method"] == fitted_samplers.BEST}

    def ratio(by: str, bright: bool | None = None) -> float:
        own = [row for row in rows if row["method"] == "fitted" and bright in (None, row["model"] == "ztf32")]
        return geometric_mean(row[by] / best[row["model"], row["steps"]][by] for row in own)

    assert f"Met: the mean ({ratio('rmse_mean'):.3f})" in told
    medians = ratio("rmse_median", bright=True), ratio("rmse_median", bright=False)
    assert "the median is {:.2f} of the best pair's, elsewhere {:.2f}".format(*medians) in told

    def gain(without: Collection[str]) -> tuple[float, float]:
        """Of single quick calibrations, in the logarithm: how much, and how far that is spread."""
        own = [row for row in rows if row["method"] == "fitted_quick" and row["model"] not in without]
        logs = [-math.log(one) for row in own for one in row["ratios"]]
        return fmean(logs), pstdev(logs)

    assert "nearer than the best pair by {:.2f}, with a spread of {:.2f}".format(*gain(())) in told
    alone = [(name,) for name in NETWORKS if not any(name in family for family in RELATIVES)]
    gains, spreads = zip(*(gain(family) for family in (*RELATIVES, *alone)), strict=True)
    assert f"{min(gains):.2f} to {max(gains):.2f}, and {min(spreads):.2f} to {max(spreads):.2f}" in told
    expected = calibrate_sampler.USUAL
    assert min(gains) < expected.gain < max(gains) and min(spreads) < expected.spread < max(spreads)
    assert f"as {expected.gain:g} with a spread of {expected.spread:g}" in told


def test_the_page_on_fitted_samplers_has_the_tables_of_what_was_measured() -> None:
    told = PAGE.with_name("fitted_samplers.md").read_text("utf-8")
    rows = fitted_samplers.read_results()
    assert fitted_samplers.page(rows) in told
    assert transfer.page(read_rows(transfer.RESULTS)) in told
    expected = PAGE.with_name("expectations.md").read_text("utf-8")
    for budget, method in (("thorough", "fitted_thorough"), ("normal", "fitted"), ("quick", "fitted_quick")):
        (line,) = [line for line in told.splitlines() if line.startswith(f"| {method} | ")]
        mean, median, swd, fd, worse = line.split(" | ")[1:6]
        assert f"| {budget} | {mean} | {median} | {swd} | {fd} | {worse} |" in expected
        assert f"({mean} and {median}; {worse}" in told or f"**The median, {median}.**" in told
