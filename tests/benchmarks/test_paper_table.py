"""The paper's table in small: its schedules, its sets of pictures, and the page that is made of them."""

from __future__ import annotations

import pytest
import torch
from benchmarks.models.catalogue import load_model
from benchmarks.studies import paper_table
from benchmarks.studies.paper_table import CALIBRATED, FITTED, LEFT, MEASURES, MODEL, SCHEDULES, STEPS


def test_with_ddpms_betas_it_is_the_schedule_that_the_paper_prints() -> None:
    model = load_model(MODEL)
    sigmas = SCHEDULES["HSO, DDPM's betas"](model, 4)
    times = model.noise.t_of_lambda(model.noise.lambda_of_sigma(sigmas[:-1].double()))
    assert (999 * times).tolist() == pytest.approx([959, 716, 370, 30], abs=1.5)


@pytest.mark.parametrize("steps", [4, 5, 10])
def test_every_schedule_has_so_many_steps_on_the_models_table_and_ends_at_zero(steps: int) -> None:
    model = load_model(MODEL)
    for name, make in SCHEDULES.items():
        sigmas = make(model, steps)
        assert len(sigmas) == steps + 1 and sigmas[-1] == 0 and (sigmas.diff() < 0).all(), name
        assert sigmas[0] <= 1.001 * model.noise.sigma_max and sigmas[-2] >= 0.99 * model.noise.sigma_min, name


def test_a_set_has_the_classes_of_the_real_pictures_and_the_first_seeds_are_like_all(monkeypatch) -> None:
    share = [40, 60] + [0] * 14
    monkeypatch.setattr(paper_table, "shares", lambda count: share)
    asked: dict[int, list[int]] = {}

    class Class:
        shape = (1,)

        def __init__(self, label: int) -> None:
            self.label = label

    monkeypatch.setattr(paper_table, "of_class", Class)

    def sample(model: Class, seeds: list[int]) -> torch.Tensor:
        asked[model.label] = list(seeds)
        return torch.full((len(seeds), 1), float(model.label))

    latents = paper_table.drawn(sample, 100, 7)
    assert sorted(asked[0] + asked[1]) == list(range(7, 107)) and [len(asked[0]), len(asked[1])] == share[:2]
    assert [float(latents[seed - 7]) for seed in asked[1]] == [1.0] * 60
    assert 10 < int(latents[:30].sum()) < 26


def row(solver: str, schedule: str, value: float) -> dict:
    found = {"solver": solver, "steps": 4, "schedule": schedule, "samples": 9, "sigmas": [value, 0.0]}
    return found | dict.fromkeys(MEASURES, value)


def test_the_page_says_who_is_ahead_and_marks_the_least() -> None:
    rows = [row("ddim", "HSO", 2.0), row("ddim", "DM-NonUniform", 3.0), row("ddim", "uniform in t", 1.0)]
    rows += [row("uni_pc", "HSO", 2.0), row("uni_pc", "DM-NonUniform", 1.0), row("uni_pc", FITTED, 0.5)]
    floors = {"halves": 1.0, "network": 2.0, "sets": 3.0}
    page = paper_table.page({"rows": rows, "floors": floors, "date": "today", "machine": "none"})
    assert "| HSO ahead of DM-NonUniform | 1 of 2 | 1 of 2 | 1 of 2 |" in page
    assert "| HSO ahead of uniform in t | 0 of 1 | 0 of 1 | 0 of 1 |" in page
    assert (
        "| uniform in t | **1** |  |" in page
        and "| fitted |  | **0** |" in page
        and "| fitted |  | **0.500** |" in page
    )
    assert CALIBRATED not in page.split("## The tables")[1]


def test_the_committed_page_is_that_of_the_committed_results() -> None:
    assert paper_table.PAGE.read_text("utf-8") == paper_table.page(paper_table.read_results())


def test_what_the_page_says_is_in_the_results() -> None:
    rows = paper_table.read_results()["rows"]
    cells = {(row["solver"], row["steps"], row["schedule"]): row for row in rows}
    assert {key for key in cells if key[2] == FITTED} == {("uni_pc", steps, FITTED) for steps in STEPS}

    def ahead(solver: str, one: str, other: str) -> list[set[str]]:
        """For each number of steps, by which measures."""
        pairs = [(cells[solver, steps, one], cells[solver, steps, other]) for steps in STEPS]
        return [{key for key in MEASURES if a[key] < b[key]} for a, b in pairs]

    every, none = set(MEASURES), set[str]()
    assert ahead("ddim", "HSO", "DM-NonUniform")[:3] == [every] * 3
    assert ahead("ddim", "HSO", "DM-NonUniform")[4] == {"converged", "rmse"}
    level = [cells["ddim", 8, name]["rmse"] for name in ("HSO", "DM-NonUniform")]
    assert level[0] == pytest.approx(level[1], rel=0.01)
    assert ahead("ddim", "HSO", "uniform in t")[1:] == [every] * 4
    assert ahead("ddim", "DM-NonUniform", "uniform in t")[:3] == [none] * 3
    for name in ("DM-NonUniform", "uniform in t"):
        assert ahead("uni_pc", "HSO", name) == [none] * 5
    assert ahead("uni_pc", "DM-NonUniform", "uniform in t") == [none] * 5

    rmse = {key: row["rmse"] for key, row in cells.items()}
    for steps in STEPS[1:]:
        assert rmse["uni_pc", steps, LEFT] < rmse["uni_pc", steps, "DM-NonUniform"]
    for steps in (8, 10):
        assert all(rmse["uni_pc", steps, LEFT] < rmse["uni_pc", steps, name] for name in SCHEDULES)
    assert [rmse["uni_pc", steps, LEFT] < rmse["uni_pc", steps, CALIBRATED] for steps in (8, 10)] == [True, False]
    sets = {key: row["converged"] for key, row in cells.items()}
    left_ahead = [sets["uni_pc", steps, LEFT] < sets["uni_pc", steps, "DM-NonUniform"] for steps in STEPS]
    assert left_ahead == [False, False, False, True, True]

    without = "HSO without the penalty"
    for solver in ("ddim", "uni_pc"):
        for steps in STEPS[:3]:
            assert cells[solver, steps, without]["sigmas"] == cells[solver, steps, "HSO"]["sigmas"]
    assert ahead("ddim", "HSO", without)[3:] == [every] * 2
    assert ahead("uni_pc", "HSO", without)[3:] == [none, {"rmse"}]
    assert [f"{rmse['ddim', 8, name]:.3f}" for name in ("HSO", without)] == ["0.325", "0.373"]

    for steps in STEPS:
        assert rmse["uni_pc", steps, CALIBRATED] < rmse["uni_pc", steps, "uniform in t"]
        assert min((rmse["ddim", steps, name], name) for name in (*SCHEDULES, CALIBRATED))[1] == CALIBRATED
        assert (sets["ddim", steps, "HSO"] < sets["ddim", steps, CALIBRATED]) == (steps >= 6)
        assert sets["ddim", steps, CALIBRATED] < 1.05 * sets["ddim", steps, "HSO"], "by little"
        for measure, least in ((rmse, 4), (sets, 5)):
            nearest = min((measure[key], key[2]) for key in measure if key[:2] == ("uni_pc", steps))[1]
            assert (nearest == FITTED) == (steps >= least)
    floors = paper_table.read_results()["floors"]
    assert all((sets["uni_pc", steps, FITTED] <= floors["sets"]) == (steps >= 8) for steps in STEPS)
    assert sum(row["real"] < floors["network"] for row in rows) > 0.4 * len(rows)
