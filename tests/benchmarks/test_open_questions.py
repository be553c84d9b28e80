"""What docs/open_questions.md is made of, in small."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import pytest
from benchmarks.models.catalogue import load_model
from benchmarks.rivals import oracle
from benchmarks.studies import open_questions
from benchmarks.studies.open_questions import Forms, Stochastic

import workbench
from comfy_server import PATIENCE

PROGRAMS = (
    "studies.open_questions", "rivals.oracle", "studies.time_bounds", "studies.jumps", "measures.overhead",
    "models.train_flow", "models.train_sd_unet", "studies.emoji_networks",
)  # fmt: skip


def test_the_forms_are_measured_with_several_calibrations_each() -> None:
    [found] = open_questions.forms("mixture", (5,), calibrations=2)

    assert [len(errors) for errors in (*found.fitted, found.crossed)] == [2, 2, 2]
    assert len({*found.fitted[0], *found.fitted[1]}) == 4  # other seeds, other schedules
    assert all(0 < error < 1 for error in (*found.best, *found.fitted[0], *found.fitted[1], *found.crossed))


def test_what_the_other_form_gains_stands_beside_what_the_same_form_gains_by_luck() -> None:
    alike = Forms("mixture", 4, (1.0, 1.0), ([1.0, 2.0], [1.0, 2.0]), [1.0, 2.0])
    assert alike.of_the_same == pytest.approx(math.sqrt(0.5))  # the other order of the pair keeps what it has
    assert alike.of_the_other == pytest.approx(0.5**0.25)  # half of these pairs are equal

    better = Forms("mixture", 6, (1.0, 1.0), ([1.0, 1.0], [0.5, 0.5]), [1.0, 1.0])
    assert (better.of_the_same, better.of_the_other) == pytest.approx((1.0, 0.5))
    assert "the other form gains more in 1 of 2 cells" in open_questions.forms_summary([alike, better])


def test_noise_on_the_way_is_compared_with_the_best_built_in_as_it_comes() -> None:
    def row(what: str, eta: float, fd: float, steps: int) -> Stochastic:
        return Stochastic("mixture", "euler_ancestral", steps, what, eta, fd, fd / 10)

    found = [
        Stochastic("mixture", "", 0, "two converged sets", 0.0, 0.2, 0.02),
        *(row("best built-in (beta)", 1.0, 2.0, 6), row("best built-in (karras)", 0.0, 1.0, 6)),
        *(row("best built-in (beta)", 1.0, 4.0, 10), row("best built-in (beta)", 0.0, 8.0, 10)),
        row("calibrated for euler", 0.0, 1.0, 10),
    ]
    assert open_questions.stochastic_summary(found).splitlines()[4:] == [
        "| best built-in | 0 | 1.00 | 1.00 |",
        "| calibrated for the relative | 0 | 0.25 | 0.25 |",
    ]


def test_the_oracle_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "TRIALS", {0: 4})
    monkeypatch.setattr(oracle, "FREE_TRIALS", {0: 10})

    sigmas, error = oracle.search(load_model("gaussian"), "euler", 4)

    assert len(sigmas) == 5 and sigmas[-1] == 0
    assert 0 < error < 0.5


def test_help_starts_no_work() -> None:
    """In one process, since most of the time is torch's import."""
    helps = (
        "import runpy, sys\n"
        "for program in sys.argv[1:]:\n"
        "    sys.argv = [program, '--help']\n"
        "    try: runpy.run_module(program, run_name='__main__')\n"
        "    except SystemExit as end: print('ended', program, end.code)\n"
    )
    command = [sys.executable, "-c", helps, *(f"benchmarks.{program}" for program in PROGRAMS)]
    found = subprocess.run(command, cwd=workbench.REPOSITORY, capture_output=True, text=True, timeout=PATIENCE)

    assert found.returncode == 0, found.stderr
    *texts, rest = re.split(r"^ended .*\n", found.stdout, flags=re.MULTILINE)
    assert len(texts) == len(PROGRAMS) and all(text.startswith("usage:") for text in texts) and not rest
    assert re.findall(r"^ended (.*)$", found.stdout, re.MULTILINE) == [f"benchmarks.{name} 0" for name in PROGRAMS]


def test_the_page_has_the_texts_of_the_program() -> None:
    page = open_questions.PAGE.read_text("utf-8")
    for text in ("FORMS_TEXT", "FORMS_FOUND", "STOCHASTIC_TEXT", "STOCHASTIC_FOUND", "SPACING_TEXT", "SPACING_FOUND"):
        assert getattr(open_questions, text) in page, text
