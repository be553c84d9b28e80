"""The judge of single calibrations: what it must say of schedules whose place is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.models.catalogue import load_model
from benchmarks.models.solvers import SOLVERS
from benchmarks.rivals.schedules import built_in_rivals
from benchmarks.rivals.usual import coefficients_without, pairs_without
from benchmarks.studies import safety

from hso_core.calibration import usual


@pytest.fixture
def judge(tmp_path, monkeypatch):
    monkeypatch.setattr(safety, "FOLDER", tmp_path)
    return safety.Judge(load_model("mixture"), "euler")


def test_the_best_built_in_is_as_good_as_itself_and_the_worst_is_surely_worse(judge):
    rivals = [sigmas for _, sigmas in built_in_rivals(judge.model, "euler", 4)]
    ranked = sorted(rivals, key=lambda sigmas: float(judge.measure(sigmas).errors.mean()))

    best, worst = judge.judge(ranked[0], True), judge.judge(ranked[-1], True)

    assert best.mean == pytest.approx(1) and not best.mean_worse and best.sets >= 1
    assert worst.mean > 1.5 and worst.mean_worse and worst.sets_worse


def test_what_was_measured_is_read_again(judge):
    sigmas = torch.tensor([14.6, 3.0, 1.0, 0.2, 0.0])

    first, again = judge.measure(sigmas), judge.measure(sigmas)

    assert np.array_equal(first.errors, again.errors) and np.allclose(first.lines, again.lines)


def test_the_usual_steps_are_those_that_the_command_fits():
    for name, rows in coefficients_without(None).items():
        steps = [usual.terms(6) @ np.ravel(coefficients) for coefficients in (rows, usual.COEFFICIENTS[name])]
        assert steps[0] == pytest.approx(steps[1], abs=0.02)


def test_what_is_usual_is_told_without_a_network_and_its_relatives():
    for kind in (*SOLVERS, usual.FITTED):
        of = {network: coefficients_without(network)[kind] for network in ("sd-unet", "sd-unet-v", "hsc32")}
        assert of["sd-unet"] == of["sd-unet-v"] != of["hsc32"]


def test_the_usual_pairs_are_those_of_the_command():
    assert pairs_without(None) == usual.BEHIND
    assert pairs_without("sd-unet") == pairs_without("sd-unet-v") != pairs_without("hsc32")
