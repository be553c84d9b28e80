"""Measure schedules on test models, write benchmarks/results.json and docs/benchmark.md.

.venv/bin/python -m benchmarks            everything: hours; what was measured before is remembered
.venv/bin/python -m benchmarks --models MODEL ...
                                                  these models only, into .host/benchmark
.venv/bin/python -m benchmarks --quick    one network and one exact model, 4 and 6 steps, into .host/benchmark
.venv/bin/python -m benchmarks --page     only write the page again, from results.json
.venv/bin/python -m benchmarks --checkpoint FILE --prompts FILE [--reference-images FOLDER]
                                                  the same on a checkpoint of yours; see checkpoint.py
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from . import REPOSITORY
from .grid import run, say
from .models import downloads
from .models.catalogue import MODELS
from .report.figures import Table
from .report.page import page
from .report.rows import write_rows
from .rivals.schedules import STEPS
from .studies import checkpoint

RESULTS = REPOSITORY / "benchmarks" / "results.json"
ABOUT = REPOSITORY / "benchmarks" / "results_about.json"
PAGE = REPOSITORY / "docs" / "benchmark.md"
QUICK_MODELS, QUICK_STEPS = ("hsc32", "digits-1"), (4, 6)


def write_page(cells: Sequence[dict[str, Any]], about: dict[str, Any], file: Path) -> None:
    from .report import plots  # matplotlib takes a while

    file.write_text(page(cells, about), "utf-8")
    table = Table(cells)
    plots.plot_errors(table, table.models, table.solvers, file.with_name("benchmark_errors.png"))
    rows = [
        (f"{model} {solver} {n}", cell)
        for model, solver, n in table.places
        if (cell := table.summary(model, solver, n, "calibrated"))
    ]
    if rows:
        plots.plot_ratios(rows, file.with_name("benchmark_ratios.png"))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--quick", action="store_true", help="a small part, not into the repository")
    what.add_argument("--page", action="store_true", help="only write the page again")
    what.add_argument("--models", nargs="+", choices=list(MODELS), help="a part, not into the repository")
    checkpoint.add_arguments(parser, what)
    options = parser.parse_args(arguments)
    checkpoint.check_arguments(parser, options)
    return options


def files_for(models: Sequence[str], steps: Sequence[int]) -> tuple[Path, Path, Path]:
    """Results, what the run says of itself, page: the repository's only where all of it was measured."""
    whole = set(models) == set(MODELS) and set(steps) == set(STEPS)
    files = (RESULTS, ABOUT, PAGE)
    return files if whole else tuple(downloads.FOLDER / file.name for file in files)


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    if options.checkpoint:
        return checkpoint.main(options)
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    if options.page:
        cells, about = (json.loads(file.read_text("utf-8")) for file in (RESULTS, ABOUT))
        write_page(cells, about, PAGE)
        return 0
    models, steps = (QUICK_MODELS, QUICK_STEPS) if options.quick else (options.models or list(MODELS), STEPS)
    cells, about = run(models, steps)
    about["command"] = shlex.join(["python", "-m", "benchmarks", *arguments])
    results, about_file, page_file = files_for(models, steps)
    write_rows(results, cells)
    about_file.write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    write_page(cells, about, page_file)
    say(f"Wrote {results} and {page_file}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
