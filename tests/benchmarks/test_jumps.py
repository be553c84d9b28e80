"""What is counted on models whose seeds jump is counted as in the benchmark."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.models.catalogue import load_model
from benchmarks.models.reference import converged, distances
from benchmarks.models.solvers import SolverRun
from benchmarks.rivals.schedules import built_in_rivals
from benchmarks.studies import jumps


def test_mean_and_median_are_each_against_the_built_in_that_is_best_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds, model = range(200_000, 200_032), load_model("digits-1")
    rivals = dict(built_in_rivals(model, "uni_pc", 4))
    run, truth = SolverRun(model, "uni_pc"), converged(model, seeds)
    errors = {name: distances(run(sigmas, seeds).latents, truth).numpy() for name, sigmas in rivals.items()}
    means, medians = ({name: measure(e) for name, e in errors.items()} for measure in (np.mean, np.median))
    assert min(means, key=means.get) != min(medians, key=medians.get)
    monkeypatch.setattr(jumps, "test_seeds", lambda _: seeds)
    monkeypatch.setattr(jumps, "_calibrated", lambda *_: rivals["karras"])

    found = jumps.ratios("digits-1", "uni_pc", 4, first_seed=0)

    expected = means["karras"] / min(means.values()), medians["karras"] / min(medians.values())
    assert found[:, :2] == pytest.approx(np.array([expected, expected]))
