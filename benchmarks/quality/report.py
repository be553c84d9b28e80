"""docs/benchmark.md: everything in it comes from results.json and from the lines about the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .figures import BEST, WORST_ALLOWED, Goal, Summary, Table, goals, scale_ratios
from .overhead import BUDGET, SECONDS

SHOWN = ("hso", "density", "calibrated_quick", "calibrated", "oracle")
UNSEEN = ("flow-unet", "flow-unet-guided")
"""Networks that came after the search had its constants."""
NETWORKS = ("hsc32", "ztf32", "LogNet32", *UNSEEN)
NOT_MEASURED = "–"
SCALE_LIMIT = 0.80


def page(cells: Sequence[Summary], about: dict[str, Any]) -> str:
    """The whole page. about: what the run says of itself (see __main__)."""
    table = Table(cells)
    parts = [
        _opening(about),
        "## What was to be reached\n\n" + goals_table(table) + "\n\n" + scales_text(table) + overhead_text(about),
        "## Against the best built-in scheduler\n\n" + BEST_TEXT + "\n\n" + ratios_table(table),
        "![Ratio of every cell](benchmark_ratios.png)\n\n![Error against steps](benchmark_errors.png)",
        "## Every network, solver and number of steps\n\n" + CELLS_TEXT + "\n\n" + cell_tables(table),
        "## All schedules\n\n" + ALL_TEXT + "\n\n" + all_methods_table(table),
        "## Where it does not help\n\n" + losses_text(table),
        "## How it was measured\n\n" + METHOD_TEXT + "\n\n" + models_table(about) + "\n\n" + convergence_text(about),
    ]
    return "\n\n".join(parts) + "\n"


def _opening(about: dict[str, Any]) -> str:
    return (
        "# How good the schedules are\n\n"
        f"Measured on {about['date']} ({about['machine']}) by `{about['command']}`, which wrote this page; "
        "the numbers are in [benchmarks/results.json](../benchmarks/results.json).\n\n"
        "Error is the RMSE between a few-step sample and the *converged* sample from the same noise, the one that very "
        "many steps give. It says how well a solver follows its model, not how beautiful the picture is."
    )


BEST_TEXT = (
    "Geometric means of the mean RMSE divided by that of the best built-in scheduler of the same cell (a cell is one "
    "model, solver and number of steps). The best built-in is chosen afterwards, on the test seeds themselves, which "
    "favours it: a user does not know it. Below 1 is better."
)
CELLS_TEXT = (
    "Mean RMSE / median RMSE, smaller is better. Heavy tails are real: one seed that ends in another picture costs as "
    "much as a hundred that follow closely, so both are shown."
)
ALL_TEXT = (
    "Geometric mean over N = 4, 5, 6, 8 of the mean RMSE divided by the best built-in's, on the networks (first three "
    "columns) and on the exact models. A dash: the schedule does not fit these models, or cannot make this number of "
    "steps."
)
METHOD_TEXT = """\
- **Solvers** are the host's own functions (`euler`, `dpmpp_2m`, `uni_pc`), called as its samplers call them, from
  x = σ₀ · noise, with the same noise for all schedules.
- **Seeds.** Nothing was fitted to the test seeds: they are numbered from 200 000 (128 for networks, 256 for exact
  models); the oracle's from 50 000, the density rule's from 90 000, the calibration's below 30 000.
- **Schedulers of the host** are asked for N steps as BasicScheduler asks. For `uni_pc` KSampler asks for one more and
  leaves out the last sigma above 0; both forms are measured, the second is marked `(KSampler)`. Schedulers that cannot
  make exactly N falling steps for a model are left out there.
- **Published tables** (AYS, GITS, OSS, DM-NonUniform) are measured where their first sigma is the model's to 1 %;
  where a table has no list of N steps, the nearest is interpolated in ln σ over the step index, as the host does.
- **dm_nonuniform** is our own writing of that method, run on the model's own table with N intervals, the last value
  replaced by 0. For Stable Diffusion's table it gives the published list. It is written for variance-preserving models.
- **Calibrated**: four calibrations for each cell (twelve with the quick budget), which differ in their seeds only, as
  one alone can be lucky or unlucky. Errors are geometric means over them, as ratios are over cells, and the intervals
  draw among them, too.
- **hso** is this pack's schedule with its default settings, which evaluates no model. **density** spreads the steps
  with the density ‖dD/dλ‖^½ of one 30-step run with 4 seeds.
- **oracle** is a long direct optimisation of all sigmas (a family of three parameters, then a simplex over all values,
  started from the best of everything else) on seeds of its own, kept in `benchmarks/quality/oracle_schedules`. It
  is a bound that was reached, not a proven optimum, and on few steps and heavy tails it can lose to another schedule.
- **Distributions**: `swd` is the sliced 2-Wasserstein distance to the converged samples on 256 random lines. `fd` is
  the Fréchet distance of the 16 leading principal components of the converged samples: a hundred samples cannot tell
  the covariance of a thousand pixels.
- **What was looked at.** No schedule saw a test seed, but the constants of the search (how it divides its budget, the
  power of its mean) were chosen while looking at these very models, so on others the gain may be smaller. flow-unet and
  flow-unet-guided came afterwards, and nothing of the search was changed for them (but the bounds of t of `hso` for
  flow models, one of the schedules at hand, were chosen on the first of them, among others: method.md).
- **Intervals** are 95 % bootstrap intervals over the test seeds, the same seeds drawn for both sides of a ratio."""


# -- goals -------------------------------------------------------------------------------------------------------------


def goals_table(table: Table) -> str:
    groups = {"networks": [m for m in table.models if m in NETWORKS], "all models": table.models}
    rows = [(goal.what, f"≤ {goal.limit:g}", *_outcomes(goal, table, groups.values())) for goal in goals()]
    return markdown(("figure", "goal", *groups), rows)


def _outcomes(goal: Goal, table: Table, groups: Iterable[Sequence[str]]) -> list[str]:
    return [_verdict(goal.measure(table, models), goal.limit) for models in groups]


def _verdict(value: float | None, limit: float) -> str:
    if value is None:
        return "not measured"
    text = str(value) if isinstance(value, int) else f"{value:.3f}"
    return f"{text}, {'met' if value <= limit else '**not met**'}"


def scales_text(table: Table) -> str:
    models = [name for name in ("digits-0.15", "digits-3") if name in table.models]
    rows = [(m, s, _verdict(ratio, SCALE_LIMIT)) for m, s, ratio in scale_ratios(table, models)]
    text = f"On data of standard deviation 0.15 and 3, calibrated / hso, N = 4..8 (goal: ≤ {SCALE_LIMIT:g}):\n\n"
    return text + markdown(("model", "solver", "calibrated / hso"), rows) if rows else ""


def overhead_text(about: dict[str, Any]) -> str:
    share = about.get("overhead")
    if share is None:
        return ""
    text = f"{100 * share:.1f} % (goal: at most 10 %, {'met' if share <= 0.10 else '**not met**'})"
    return (
        f"\n\nTime that Calibrate Schedule, budget {BUDGET}, adds to the network's own where that takes "
        f"{1000 * SECONDS:g} ms for each latent it is run on (median of three): {text}."
    )


# -- ratios ------------------------------------------------------------------------------------------------------------


def ratios_table(table: Table) -> str:
    head = ("models", "solver", *(f"{name}" for name in SHOWN))
    rows = []
    groups = {
        "networks": [m for m in table.models if m in NETWORKS],
        "of these not looked at before": [m for m in table.models if m in UNSEEN],
        "exact models": [m for m in table.models if m not in NETWORKS],
    }
    for name, models in groups.items():
        for solver in table.solvers:
            values = [table.mean_ratio(m, models=models, solvers=[solver], steps=table.steps) for m in SHOWN]
            rows.append((name, solver, *map(number, values)))
    return markdown(head, rows)


def all_methods_table(table: Table) -> str:
    methods = sorted({m for key in table.places for m in table.methods(*key)})
    groups = [(part, solver) for part in ("networks", "exact") for solver in table.solvers]
    rows = []
    for method in methods:
        values = []
        for part, solver in groups:
            models = [m for m in table.models if (m in NETWORKS) == (part == "networks")]
            values.append(table.mean_ratio(method, models=models, solvers=[solver]))
        rows.append((method, *map(number, values)))
    return markdown(("schedule", *(f"{part}, {solver}" for part, solver in groups)), rows)


def cell_tables(table: Table) -> str:
    return "\n\n".join(
        f"### {model}\n\n" + "\n\n".join(cell_table(table, model, solver) for solver in table.solvers)
        for model in table.models
    )


def cell_table(table: Table, model: str, solver: str) -> str:
    """One line for each schedule that is shown, one column for each number of steps."""
    rows = []
    for method in (BEST, *SHOWN):
        cells = [table.summary(model, solver, n, method) for n in table.steps]
        if any(cells):
            rows.append((method, *(_errors(cell, method == BEST) for cell in cells)))
    return markdown((solver, *(f"N = {n}" for n in table.steps)), rows)


def _errors(cell: Summary | None, named: bool) -> str:
    if cell is None:
        return NOT_MEASURED
    text = f"{cell['rmse_mean']:.3g} / {cell['rmse_median']:.3g}"
    return f"{text} ({cell['method']})" if named else text


def losses_text(table: Table) -> str:
    """Cells where the best built-in is better than the calibrated schedule, and how often it beats hso."""
    found = [
        (place, cell) for place in table.places if (cell := table.summary(*place, "calibrated")) and cell["ratio"] > 1
    ]
    sure = sum(cell["ratio_low"] > WORST_ALLOWED for _, cell in found)
    single = [cell for place in table.places if (cell := table.summary(*place, "calibrated"))]
    worse, runs = (sum(cell[key] for cell in single) for key in ("surely_worse", "calibrations"))
    losses = [
        (model, solver, str(n), f"{cell['ratio']:.3f}", f"{cell['ratio_low']:.3f} – {cell['ratio_high']:.3f}")
        for (model, solver, n), cell in found
    ]
    texts = [_hso_losses(table)]
    if any("calibrated" in table.methods(*key) for key in table.places):
        texts.append(
            f"The calibrated schedule is behind the best built-in, which a user would have had to know, in "
            f"{len(losses)} of {len(table.places)} cells, in {sure} of them above {WORST_ALLOWED:g} beyond its "
            f"interval (goal: none). Of the {runs} single calibrations {worse} are above it beyond their own."
        )
        if losses:
            texts.append(markdown(("model", "solver", "N", "ratio", "95 % interval"), losses))
    return "\n\n".join(texts)


def _hso_losses(table: Table) -> str:
    ratios = [(table.ratio(*key, "hso"), key) for key in table.places]
    ratios = [(ratio, key) for ratio, key in ratios if ratio is not None]
    if not ratios:
        return ""
    behind = sum(ratio > 1 for ratio, _ in ratios)
    worst, (model, solver, n) = max(ratios)
    return (
        f"The paper's HSO is behind the best built-in in {behind} of {len(ratios)} cells; worst by a factor of "
        f"{worst:.2f} ({model}, {solver}, {n} steps)."
    )


# -- how ---------------------------------------------------------------------------------------------------------------


def models_table(about: dict[str, Any]) -> str:
    rows = [(name, str(m["tier"]), m["about"]) for name, m in about["models"].items()]
    return "Models (tier 0: exact answer; 1: exact score; 2: network)\n\n" + markdown(
        ("model", "tier", "what it is"), rows
    )


def convergence_text(about: dict[str, Any]) -> str:
    rows = [
        (name, f"{m['half']:.1e}", f"{m['heun']:.1e}", f"{m['smallest']:.1e}") for name, m in about["models"].items()
    ]
    return (
        "**Is the reference converged?** Mean RMSE between it (`dpmpp_2m`, 200 steps for networks and 400 for the "
        "others, evenly spaced in λ) and the same with half the steps, and `heun` with as many steps; beside it the "
        "smallest mean error of any cell. `uni_pc` itself stops at σ = 0.001 and not at 0, which alone costs up to "
        "about 0.001.\n\n" + markdown(("model", "half the steps", "heun", "smallest error measured"), rows)
    )


def number(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.3f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
