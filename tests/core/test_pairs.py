"""Which pairs of sampler and scheduler are looked at first."""

from __future__ import annotations

import pytest
import torch

from gaussian_run import GaussianRun
from hso_core import named_schedule, optimize_schedule
from hso_core.calibration import usual
from hso_core.calibration.generators import compact_schedule
from hso_core.calibration.pairs import most_promising_first
from hso_core.calibration.reference import Reference, reference_sigmas

NOISE = named_schedule("sd15")
STEPS = 6


@pytest.fixture(scope="module")
def profile():
    scales = torch.logspace(-1, 0.5, 48)
    reference = Reference(GaussianRun(scales, "dpmpp_2m"), reference_sigmas(NOISE, 20), 0)
    reference.extend(range(4))
    return reference.profile()


def pairs(*solvers):
    schedules = {
        "coarse": compact_schedule(NOISE, STEPS, 1.0, 1.0, 10.0).float(),  # all steps where nothing is decided
        "karras": compact_schedule(NOISE, STEPS, 7.0, 1.0, NOISE.sigma_min).float(),
        "hso": optimize_schedule(NOISE, STEPS).to_tensor(),
    }
    return {f"{solver} {name}": (solver, sigmas) for solver in solvers for name, sigmas in schedules.items()}


def test_what_is_foretold_alone_puts_the_coarse_one_last(profile):
    assert list(most_promising_first(pairs("dpmpp_2m"), profile, NOISE, 0.0))[-1] == "dpmpp_2m coarse"


def test_what_is_usual_alone_goes_by_the_names_and_puts_unknown_ones_last(profile):
    names = list(most_promising_first(pairs("euler", "dpmpp_2m"), profile, NOISE, 1.0))

    assert names[-2:] == ["dpmpp_2m coarse", "euler coarse"]
    assert names == sorted(names, key=lambda name: (usual.BEHIND.get(name, usual.MOST_BEHIND), name))


def test_both_count_and_how_much_is_given(profile, monkeypatch):
    monkeypatch.setitem(usual.BEHIND, "dpmpp_2m coarse", 0.0)
    monkeypatch.setitem(usual.BEHIND, "dpmpp_2m hso", 0.4)

    order = {share: list(most_promising_first(pairs("dpmpp_2m"), profile, NOISE, share)) for share in (0.5, 1.0)}

    assert order[1.0][0] == "dpmpp_2m coarse" and order[0.5][0] == "dpmpp_2m hso"


def test_of_twins_with_the_same_sampler_the_first_stays(profile):
    given = pairs("dpmpp_2m", "euler")
    given["dpmpp_2m beta"] = "dpmpp_2m", given["dpmpp_2m hso"][1] * 1.001

    names = list(most_promising_first(given, profile, NOISE, 1.0))

    assert "dpmpp_2m hso" in names and "dpmpp_2m beta" not in names and "euler hso" in names


def test_errors_that_cannot_be_foretold_leave_what_is_usual(profile):
    unknown = torch.full((STEPS + 1,), float("nan"))
    given = {name: (solver, unknown) for name, (solver, _) in pairs("uni_pc", "dpmpp_2m").items()}

    names = list(most_promising_first(given, profile, NOISE))

    assert names == sorted(given, key=lambda name: (usual.BEHIND.get(name, usual.MOST_BEHIND), name))


def test_one_error_that_cannot_be_foretold_counts_as_a_large_one(profile, monkeypatch):
    given = pairs("dpmpp_2m")
    given["dpmpp_2m broken"] = "dpmpp_2m", torch.full((STEPS + 1,), float("nan"))
    monkeypatch.setitem(usual.BEHIND, "dpmpp_2m broken", 0.0)

    assert list(most_promising_first(given, profile, NOISE))[0] == "dpmpp_2m hso"
    assert list(most_promising_first(given, profile, NOISE, 1.0))[0] == "dpmpp_2m broken"
