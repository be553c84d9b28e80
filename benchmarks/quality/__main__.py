"""Measure schedules on test models, write benchmarks/results.json and docs/benchmark.md.

.venv/bin/python -m benchmarks.quality            everything: minutes; what was measured before is remembered
.venv/bin/python -m benchmarks.quality --quick    one network and one exact model, into .host/benchmark
.venv/bin/python -m benchmarks.quality --page     only write the page again, from results.json
.venv/bin/python -m benchmarks.quality --checkpoint FILE --prompts FILE [--reference-images FOLDER]
                                                  the same on a checkpoint of yours; see checkpoint.py
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from . import REPOSITORY, checkpoint, downloads
from .figures import Table
from .grid import run, say
from .models import MODELS
from .oracle import STEPS
from .report import page

RESULTS = REPOSITORY / "benchmarks" / "results.json"
ABOUT = REPOSITORY / "benchmarks" / "results_about.json"
PAGE = REPOSITORY / "docs" / "benchmark.md"
QUICK_MODELS, QUICK_STEPS = ("hsc32", "digits-1"), (4, 6)


def write_page(cells: Sequence[dict[str, Any]], about: dict[str, Any], file: Path) -> None:
    from . import plots  # matplotlib takes a while

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


def write_results(cells: Sequence[dict[str, Any]], file: Path) -> None:
    """One cell a line, so that changes can be read."""
    lines = (json.dumps(cell, separators=(",", ":")) for cell in cells)
    file.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small part, not into the repository")
    parser.add_argument("--page", action="store_true", help="only write the page again")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    checkpoint.add_arguments(parser)
    options = parser.parse_args(arguments)
    if (options.checkpoint is None) != (options.prompts is None):
        parser.error("--checkpoint and --prompts belong together")
    return options


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    if options.checkpoint:
        return checkpoint.main(options)
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    if options.page:
        cells, about = (json.loads(file.read_text("utf-8")) for file in (RESULTS, ABOUT))
        write_page(cells, about, PAGE)
        return 0
    if options.quick:
        cells, about = run(QUICK_MODELS, QUICK_STEPS)
        results, about_file, page_file = (downloads.FOLDER / f.name for f in (RESULTS, ABOUT, PAGE))
    else:
        cells, about = run(options.models, STEPS)
        results, about_file, page_file = RESULTS, ABOUT, PAGE
    write_results(cells, results)
    about_file.write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    write_page(cells, about, page_file)
    say(f"Wrote {results} and {page_file}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
