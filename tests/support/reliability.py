"""Writes docs/reliability.md from what the tests measured. Standard library only."""

from __future__ import annotations

import json
import platform
import re
from collections import defaultdict
from pathlib import Path

from checks import ranges
from workbench import REPOSITORY, host_root

REPORT = REPOSITORY / "docs" / "reliability.md"
HOSTS = REPOSITORY / "tests" / "support" / "reliability_hosts.md"  # written by hand after each trial
FIGURES = REPOSITORY / "tests" / "artifacts" / "figures"


def figures() -> dict[str, float | str]:
    """What the tests kept with the fixture `figure`: counts are summed, of "max" figures the largest is taken."""
    values: dict[str, list[float | str]] = defaultdict(list)
    for file in FIGURES.glob("*.jsonl"):
        for line in file.read_text("utf-8").splitlines():
            name, value = json.loads(line)
            values[name].append(value)
    return {name: _together(name, found) for name, found in sorted(values.items())}


def _together(name: str, values: list[float | str]) -> float | str:
    if any(isinstance(value, str) for value in values):
        return str(values[-1])
    return max(values) if name.endswith("max") else sum(values)  # type: ignore[type-var,arg-type]


def write(coverage: float, uncovered: dict[str, list[int]], passed: str, hosts: Path = HOSTS) -> None:
    """The report of a whole run: `passed` is pytest's last line, whose duration says more of the machine."""
    passed = re.sub(r" in [\d.]+s.*", "", passed)
    rows = [f"| {name.removesuffix(', max')} | {value} |" for name, value in figures().items()]
    missing = [f"| {name} | {ranges(lines)} |" for name, lines in uncovered.items()]
    text = "\n".join(
        [
            "# What is tested, and how much",
            "",
            "Written by `python3 dev.py test --report` after a run in which every check passed.",
            "",
            f"ComfyUI {_version()}, Python {platform.python_version()}, {platform.system()}. {passed}",
            "",
            "| what | how much |",
            "|---|---|",
            *rows,
            "",
            hosts.read_text("utf-8").strip(),
            "",
            f"## Lines that no test runs ({coverage:.1f} % of hso_core and nodes are run)",
            "",
            "What slow tests, long sweeps, the benchmarks' tests and those of the browser run is not counted.",
            "",
            "| file | lines |",
            "|---|---|",
            *missing,
            "",
        ]
    )
    REPORT.write_text(text, "utf-8")


def _version() -> str:
    file = host_root() / "comfyui_version.py"
    return file.read_text("utf-8").split('"')[1] if file.is_file() else "of an unknown version"
