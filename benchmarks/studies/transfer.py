"""Does a fitted sampler serve other prompts, and another guidance, than those it was fitted with?

    .venv/bin/python -m benchmarks.studies.transfer [--models MODEL ...] [--steps N ...]
                                                   [--calibrations K | --page]

The fitted samplers of the two guided networks (docs/fitted_samplers.md), on two other classes, and at 0.7 and 1.5 times
the guidance. Ratios are to the best built-in pair of all solvers and schedulers, measured on that very class and
guidance and chosen afterwards. What was measured is kept in benchmarks/transfer.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from statistics import geometric_mean
from typing import Any

import torch

from .. import REPOSITORY
from ..models.catalogue import load_model
from ..models.variants import GUIDED, variant
from ..report.page import markdown
from ..report.rows import keep_rows, read_rows
from ..rivals.fitted import METHODS, fitted_samplers
from .fitted_samplers import BEST, MEASURES, WORSE, PairBench, measured, worse_of

RESULTS = REPOSITORY / "benchmarks" / "transfer.json"
FACTORS = (0.7, 1.5)
CLASS, LESS, MORE = "another class", "0.7 times the guidance", "1.5 times the guidance"


def others(name: str) -> Iterator[tuple[str, int, float]]:
    """What is other, class and guidance."""
    own, guidance, classes = GUIDED[name]
    yield from ((CLASS, label, guidance) for label in classes)
    yield from ((said, own, factor * guidance) for said, factor in zip((LESS, MORE), FACTORS, strict=True))


def cells(name: str, steps: int, calibrations: int | None) -> Iterator[dict[str, Any]]:
    """The summaries of all others of one network."""
    fitted, known = list(fitted_samplers(load_model(name), steps, calibrations)), read_rows(RESULTS)
    for said, label, guidance in others(name):
        bench = PairBench(variant(name, label, guidance))
        yield from (row | {"network": name, "other": said} for row in measured(bench, steps, fitted, known))
        print(f"{bench.model.name}, {steps} steps: measured", flush=True)


def page(rows: list[dict[str, Any]]) -> str:
    """The table: geometric means over classes and numbers of steps."""
    best = {(row["model"], row["steps"]): row for row in rows if row["method"] == BEST}
    lines = []
    for name in dict.fromkeys(row["network"] for row in rows):
        for said in (CLASS, LESS, MORE):
            for method in METHODS:
                own = [r for r in rows if (r["network"], r["other"], r["method"]) == (name, said, method)]
                if own:
                    lines.append((name, said, method, *_figures(own, best)))
    for method in METHODS:
        own = [row for row in rows if row["method"] == method]
        if own:
            lines.append(("both", "all", method, *_figures(own, best)))
    return markdown(("network", "used with", "method", *MEASURES.values(), *WORSE.values()), lines)


def _figures(rows: list[dict[str, Any]], best: dict[tuple[str, int], dict[str, Any]]) -> list[str]:
    means = (geometric_mean(row[by] / best[row["model"], row["steps"]][by] for row in rows) for by in MEASURES)
    return [*(f"{mean:.2f}" for mean in means), *worse_of(rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=GUIDED, default=list(GUIDED))
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 6])
    parser.add_argument("--calibrations", type=int, help="at most so many of each kind")
    parser.add_argument("--page", action="store_true", help="only print the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.page:
        for steps in options.steps:
            for name in options.models:
                keep_rows(RESULTS, list(cells(name, steps, options.calibrations)))
    print(page(read_rows(RESULTS)))


if __name__ == "__main__":
    main()
