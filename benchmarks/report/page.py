"""docs/benchmark.md: everything in it comes from results.json and from the lines about the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import geometric_mean
from typing import Any

from ..measures.overhead import BUDGET, SECONDS
from ..models.catalogue import EMOJI_NETWORKS, MODELS, NETWORKS
from ..rivals.schedules import STEPS
from .figures import BEST, BUDGETS, GOAL_STEPS, WORST_ALLOWED, Goal, Summary, Table, goals, scale_ratios

SHOWN = ("hso", "density", "calibrated_quick", "calibrated", "oracle")
UNSEEN = EMOJI_NETWORKS
"""Networks that came after the search had its constants."""
EASY = "gaussian"
"""On it the errors of a multistep solver's steps can cancel almost wholly; its gains rule the means over all models."""
MEASURES = {"rmse_mean": "mean", "rmse_median": "median", "rmse_p95": "p95", "swd": "swd", "fd": "fd"}
OF_DIGITS = ("digits", "flow-unet")
"""How the names of the models begin that are made of the handwritten digits."""
NOT_MEASURED = "–"
SCALE_LIMIT = 0.80


def page(cells: Sequence[Summary], about: dict[str, Any]) -> str:
    """The whole page. about: what the run says of itself (see __main__)."""
    table = Table(cells)
    parts = [
        _opening(about, table),
        "## What was to be reached\n\n" + GOALS_TEXT + "\n\n" + goals_table(table),
        scales_text(table) + overhead_text(about),
        "## Against the best built-in scheduler\n\n" + BEST_TEXT + "\n\n" + ratios_table(table),
        "### By other measures\n\n" + MEASURES_TEXT + "\n\n" + measures_table(table) + floor_text(table, about),
        "![Ratio of every cell](benchmark_ratios.png)\n\n![Error against steps](benchmark_errors.png)",
        "## Every network, solver and number of steps\n\n" + CELLS_TEXT + "\n\n" + cell_tables(table),
        "## All schedules\n\n" + ALL_TEXT + "\n\n" + all_methods_table(table),
        "## Where it does not help\n\n" + losses_text(table),
        "## How it was measured\n\n" + METHOD_TEXT + "\n\n" + models_text(about) + "\n\n" + convergence_text(about),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _opening(about: dict[str, Any], table: Table) -> str:
    whole = set(table.models) == set(MODELS) and set(table.steps) == set(STEPS)
    where = "[benchmarks/results.json](../benchmarks/results.json)" if whole else "`results.json` beside it"
    return (
        "# How good the schedules are\n\n"
        f"Measured on {about['date']} ({about['machine']}) by `{about['command']}`, which wrote this page; "
        f"the numbers are in {where}.\n\n"
        + ("" if whole else _part_text(table))
        + (f"**Changed since:** {about['since']}\n\n" if "since" in about else "")
        + "Error is the RMSE between a few-step sample and the *converged* sample from the same noise, the one that "
        "very many steps give. It says how well a solver follows its model, not how beautiful the picture is."
    )


def _part_text(table: Table) -> str:
    steps, models = (", ".join(map(str, values)) for values in (table.steps, table.models))
    return (
        f"**Only a part was measured: N = {steps} on {models}.** Where this page names more steps or models, only "
        "these are meant, and the goals were not set for such a part.\n\n"
    )


GOALS_TEXT = (
    "The goals were set for the models of this benchmark together, and for the budget normal where none is named; the "
    "last two lines hold the quick budget to normal's goals. The networks stand alone beside it, since a network is "
    "what a user has. *All but the Gaussian* was added afterwards: on that one smooth toy the errors of a multistep "
    "solver's steps can cancel almost wholly, which no real model allows, and its ratios rule the means over all "
    "models."
)
BEST_TEXT = (
    "Geometric means of the mean RMSE divided by that of the best built-in scheduler of the same cell (a cell is one "
    "model, solver and number of steps). The best built-in is chosen afterwards, on the test seeds themselves, which "
    "favours it: a user does not know it. Below 1 is better."
)
MEASURES_TEXT = (
    "Of the calibrated schedules, geometric means over N = 4, 5, 6, 8: each measure divided by that of the built-in of "
    "the least *mean RMSE*, and after the stroke by that of the built-in that is best by this very measure. p95 is the "
    "error that one sample in twenty exceeds; swd and fd compare sets of samples, not one with one (see below).\n\n"
    "On the networks the typical sample gains, and so do the sets as distributions, also against the built-in that is "
    "best by the measure. The worst twentieth gains least, with uni_pc nothing."
)
CELLS_TEXT = (
    "Mean RMSE / median RMSE, smaller is better. Heavy tails are real: one seed that ends in another picture costs as "
    "much as a hundred that follow closely, so both are shown."
)
ALL_TEXT = (
    "Geometric mean over N = 4, 5, 6, 8 of the mean RMSE divided by the best built-in's, on the networks (first three "
    "columns) and on the exact models. A dash: the schedule fits none of these models. Many fit some of them only, or "
    "cannot make every number of steps: then the number of cells stands in brackets, and what *calibrated* reaches on "
    "just these. Such rows are not to be compared with the others, but with that figure."
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
  replaced by 0. For Stable Diffusion's table it gives the published list with 4 and 5 steps; with more its minimum is
  another one (sigmas differ by up to 1 % with 6 steps, 25 % with 8 and 6 % with 10), and from 8 on the published one
  may be better. It is written for variance-preserving models.
- **calibrated** (budget normal) and **calibrated_quick**: four calibrations for each cell (twelve with the quick
  budget), which differ in their seeds only, as
  one alone can be lucky or unlucky. Errors are geometric means over them, as ratios are over cells, and the intervals
  draw among them, too. Where good steps usually lie they are told by the oracles of the other networks, those of the
  same weights or data left out.
- **hso** is this pack's schedule with its default settings, which evaluates no model. **density** spreads the steps
  with the density ‖dD/dλ‖^½ of one 30-step run with 4 seeds.
- **oracle** is a long direct optimisation of all sigmas (a family of three parameters, then a simplex over all values,
  started from the best of everything else) on seeds of its own, kept in `benchmarks/rivals/oracle_schedules`. It
  is a bound that was reached, not a proven optimum, and on few steps and heavy tails it can lose to another schedule.
- **Distributions**: `swd` is the sliced 2-Wasserstein distance to the converged samples on 256 random lines. `fd` is
  the Fréchet distance of the 16 leading principal components of the converged samples: a hundred samples cannot tell
  the covariance of a thousand pixels. Both are to the converged samples of the same seeds.
- **What was looked at.** No schedule saw a test seed, but the constants of the search (how it divides its budget, how
  cautious it is) were chosen while looking at these very models, so on others the gain may be smaller. sd-unet,
  sd-unet-guided and sd-unet-v came afterwards. For them the reference has another second step where a table starts as
  high as that of sd-unet-v, and its solver was chosen on all networks; nothing else of the search was changed.
- **Intervals** are 95 % bootstrap intervals over the test seeds, the same seeds drawn for both sides of a ratio."""


# -- goals -------------------------------------------------------------------------------------------------------------


def goals_table(table: Table) -> str:
    groups = {
        "networks": [m for m in table.models if m in NETWORKS],
        "all models": table.models,
        "all but the Gaussian": [m for m in table.models if m != EASY],
    }
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
        f"\n\nTime that Calibrate Sigmas, budget {BUDGET}, adds to the network's own where that takes "
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
        "of these without the Gaussian": [m for m in table.models if m not in NETWORKS and m != EASY],
    }
    for name, models in groups.items():
        for solver in table.solvers:
            values = [table.mean_ratio(m, models=models, solvers=[solver], steps=table.steps) for m in SHOWN]
            rows.append((name, solver, *map(number, values)))
    return markdown(head, rows)


def measures_table(table: Table) -> str:
    """Of the calibrated schedules: against the built-in that is best by the mean RMSE, and by the measure itself."""
    groups = {
        "networks": [m for m in table.models if m in NETWORKS],
        "exact models without the Gaussian": [m for m in table.models if m not in NETWORKS and m != EASY],
    }
    rows = []
    for name, models in groups.items():
        for solver in table.solvers:
            values = [_against_both(table, models, solver, by) for by in MEASURES]
            rows.append((name, solver, *values))
    return markdown(("models", "solver", *MEASURES.values()), rows)


def floor_text(table: Table, about: dict[str, Any]) -> str:
    """How far below the distance of independent sets the distances of the networks' samples are."""
    floors = {name: m["floor"] for name, m in about["models"].items() if name in NETWORKS and "floor" in m}
    places = [place for place in table.places if place[0] in floors and place[2] in GOAL_STEPS]
    cells = [(floors[place[0]], cell) for place in places if (cell := table.summary(*place, "calibrated"))]
    if not cells:
        return ""
    swd, fd = (geometric_mean([cell[by] / floor[by] for floor, cell in cells]) for by in ("swd", "fd"))
    return (
        "\n\nThe samples start from the noise that the converged ones started from: the two sets are pairs. Two "
        f"converged sets of as many seeds that are no pairs ({', '.join(floors)}) differ by more: the calibrated swd "
        f"is {swd:.2f} times that, the calibrated fd {fd:.2g} times. So pictures of other seeds would hardly show what "
        "is measured here; pairs make every schedule look good, and can order schedules otherwise than independent "
        "sets would."
    )


def _against_both(table: Table, models: Sequence[str], solver: str, by: str) -> str:
    best_by = ("rmse_mean", by) if by != "rmse_mean" else (by,)
    ratios = [table.mean_ratio("calibrated", models=models, solvers=[solver], by=by, best_by=best) for best in best_by]
    return " / ".join(NOT_MEASURED if ratio is None else f"{ratio:.2f}" for ratio in ratios)


def all_methods_table(table: Table) -> str:
    methods = sorted({m for key in table.places for m in table.methods(*key)})
    groups = [(part, solver) for part in ("networks", "exact") for solver in table.solvers]
    rows = []
    for method in methods:
        values = []
        for part, solver in groups:
            models = [m for m in table.models if (m in NETWORKS) == (part == "networks")]
            values.append(_of_its_cells(table, method, models, solver))
        rows.append((method, *values))
    return markdown(("schedule", *(f"{part}, {solver}" for part, solver in groups)), rows)


def _of_its_cells(table: Table, method: str, models: Sequence[str], solver: str) -> str:
    """The mean ratio; where not all cells have the schedule, also how many, and the calibrated ratio on the same."""
    ratios, calibrated = (table.ratios(name, models=models, solvers=[solver]) for name in (method, "calibrated"))
    text = number(geometric_mean(ratios.values()) if ratios else None)
    same = [calibrated[place] for place in ratios if place in calibrated]
    if 0 < len(same) < len(calibrated):
        text += f" ({len(same)}: {number(geometric_mean(same))})"
    return text


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
    return "\n\n".join([_hso_losses(table), *(_losses(table, budget) for budget in BUDGETS)]).strip()


def _losses(table: Table, budget: str) -> str:
    """Of the budget normal all cells where it is behind are listed, of quick those where it surely is."""
    found = {place: cell for place in table.places if (cell := table.summary(*place, BUDGETS[budget]))}
    behind = {place: cell for place, cell in found.items() if cell["ratio"] > 1}
    sure = {place: cell for place, cell in behind.items() if cell["ratio_low"] > WORST_ALLOWED}
    worse, runs = (sum(cell[key] for cell in found.values()) for key in ("surely_worse", "calibrations"))
    if not found:
        return ""
    goal, listed = ("goal: none", behind) if budget == "normal" else ("listed below; the goal was set for normal", sure)
    text = (
        f"With the budget {budget} the calibrated schedule is behind the best built-in, which a user would have had to "
        f"know, in {len(behind)} of {len(found)} cells, in {len(sure)} of them above {WORST_ALLOWED:g} beyond its "
        f"interval ({goal}). Of the {runs} single calibrations {worse} ({100 * worse / runs:.0f} %) are above it "
        "beyond their own."
    )
    rows = [
        (
            *(model, solver, str(n), f"{cell['ratio']:.3f}", f"{cell['ratio_low']:.3f} – {cell['ratio_high']:.3f}"),
            f"{cell['surely_worse']} of {cell['calibrations']}",
        )
        for (model, solver, n), cell in listed.items()
    ]
    head = ("model", "solver", "N", "ratio", "95 % interval", "single ones surely worse")
    return text + "\n\n" + markdown(head, rows) if rows else text


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


def models_text(about: dict[str, Any]) -> str:
    models = about["models"]
    rows = [(name, str(m["tier"]), m["about"]) for name, m in models.items()]
    text = "Models (tier 0: exact answer; 1: exact score; 2: network)"
    alike = sum(name.startswith(OF_DIGITS) for name in models)
    if alike > 1:
        text += (
            f". {alike} of the {len(models)} are made of the same handwritten digits, at other scales, guided, as a "
            "flow or through a network: they are no independent witnesses, and a mean over all models is mostly one "
            "over these pictures."
        )
    return text + "\n\n" + markdown(("model", "tier", "what it is"), rows)


def convergence_text(about: dict[str, Any]) -> str:
    models = about["models"]
    rows = [
        (name, *(_small(m.get(key)) for key in ("half", "heun", "exact", "smallest"))) for name, m in models.items()
    ]
    known = [_exact_text(name, m) for name, m in models.items() if "exact" in m]
    head = ("model", "half the steps", "heun", "exact answer", "smallest error measured")
    return " ".join([CONVERGENCE_TEXT, *known]) + "\n\n" + markdown(head, rows)


def _exact_text(name: str, model: dict[str, Any]) -> str:
    exact, smallest = model["exact"], model["smallest"]
    beside = "more than" if exact > smallest else "beside"
    return (
        f"Solvers that agree are not yet right: where the exact answer is known ({name}), the reference is "
        f"{exact:.1e} from it, {beside} the smallest error that was measured against the reference ({smallest:.1e}). "
        "That is what the last step leaves, from the model's least σ to 0, which with one prediction no solver can do "
        "exactly. So the smallest errors there say how near a schedule comes to the reference, not to the truth."
    )


def _small(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.1e}"


CONVERGENCE_TEXT = (
    "**Is the reference converged?** Mean RMSE between it (`dpmpp_2m`, 200 steps for networks and 400 for the others, "
    "evenly spaced in λ) and the same with half the steps, `heun` with as many steps, and the exact answer where there "
    "is one; beside it the smallest mean error of any cell. `uni_pc` itself stops at σ = 0.001 and not at 0, which "
    "alone costs up to about 0.001."
)


def number(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.3f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
