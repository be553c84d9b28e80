"""The bounds of t that suit flow models, EDM and Cascade keep pictures whole where the paper's break them."""

from __future__ import annotations

import pytest
from benchmarks.models.catalogue import TestModel, load_model
from benchmarks.models.reference import converged, mean_distance
from benchmarks.models.solvers import SolverRun
from benchmarks.studies import time_bounds

SEEDS = range(400_000, 400_016)


def errors(model: TestModel, solver: str, steps: int) -> list[float]:
    """Mean RMSE with the paper's times, with those that suit the model, and of the host's `simple`."""
    run, end = SolverRun(model, solver), converged(model, SEEDS)
    return [mean_distance(run(s, SEEDS).latents, end) for s in time_bounds.schedules(model, steps).values()]


@pytest.mark.parametrize("steps", [4, 6, 8])
@pytest.mark.parametrize("solver", ["dpmpp_2m", "uni_pc"])
def test_a_flow_network_draws_whole_pictures(solver: str, steps: int) -> None:
    paper, suited, simple = errors(load_model("flow-unet"), solver, steps)

    assert suited < 1.5 * simple < 0.7 * paper


@pytest.mark.parametrize("solver", ["dpmpp_2m", "uni_pc"])
def test_an_edm_model_draws_whole_pictures(solver: str) -> None:
    (model,) = [model for model in time_bounds.models("EDM") if model.name == "digits 0.5, EDM"]
    paper, suited, simple = errors(model, solver, 6)

    assert suited < 1.2 * simple < 0.7 * paper


@pytest.mark.parametrize("solver", ["dpmpp_2m", "uni_pc"])
def test_cascades_table_gains_from_them_too(solver: str) -> None:
    (model,) = [model for model in time_bounds.models("Cascade") if model.name == "digits 0.5, Cascade"]
    paper, suited, _ = errors(model, solver, 6)

    assert suited < 0.8 * paper
