"""What docs/method.md says of the search, where it is quick to look at."""

from __future__ import annotations

import re

from benchmarks.studies import decisions

import workbench
from hso_core import optimize_schedule

METHOD = workbench.REPOSITORY / "docs" / "method.md"


def test_the_spacing_is_kept_where_the_page_says_so() -> None:
    page = METHOD.read_text("utf-8")
    for name, noise in decisions.noise_schedules().items():
        [row] = re.findall(rf"\| {re.escape(name)} \| ((?:\d+ to \d+(?:, )?)+) \|", page)
        for first, last in re.findall(r"(\d+) to (\d+)", row):
            steps = [n for n in (int(first) - 1, int(first), int(last), int(last) + 1) if n >= 2]
            kept = [optimize_schedule(noise, n).spacing_met for n in steps]
            assert kept == [int(first) <= n <= int(last) for n in steps], (name, row)


def test_runs_of_neighbours() -> None:
    assert decisions.runs([2, 3, 4, 17, 19, 20]) == [(2, 4), (17, 17), (19, 20)]
    assert decisions.runs([]) == []
