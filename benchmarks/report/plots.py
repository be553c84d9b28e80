"""The pictures of docs/benchmark.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from .figures import BEST, Summary, Table  # noqa: E402

COLOURS = {
    BEST: "#6b7280",
    "hso": "#d97706",
    "density": "#0d9488",
    "calibrated_quick": "#93c5fd",
    "calibrated": "#1d4ed8",
    "oracle": "#111827",
}
NAMES = {BEST: "best built-in scheduler", "calibrated_quick": "calibrated, quick budget"}


def plot_errors(table: Table, models: Sequence[str], solvers: Sequence[str], file: Path) -> None:
    """Mean RMSE against steps, one panel for each model and solver, both axes logarithmic."""
    size = (3.3 * len(solvers), 2.5 * len(models))
    figure, axes = plt.subplots(len(models), len(solvers), figsize=size, squeeze=False, layout="constrained")
    for row, model in zip(axes, models, strict=True):
        for axis, solver in zip(row, solvers, strict=True):
            _draw_errors(axis, table, model, solver)
    for axis in axes[-1]:
        axis.set_xlabel("steps")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    _save(figure, file)


def _draw_errors(axis: Axes, table: Table, model: str, solver: str) -> None:
    for method, colour in COLOURS.items():
        points = [(n, s["rmse_mean"]) for n in table.steps if (s := table.summary(model, solver, n, method))]
        if points:
            dashes = ":" if method == "oracle" else "-"
            axis.plot(*zip(*points, strict=True), dashes, color=colour, label=NAMES.get(method, method), marker=".")
    axis.set(xscale="log", yscale="log", title=f"{model}, {solver}", ylabel="mean RMSE")
    axis.set_xticks(table.steps, [str(n) for n in table.steps])
    axis.minorticks_off()
    axis.tick_params(axis="y", which="both", labelsize=7)
    axis.set_title(f"{model}, {solver}", fontsize=9)
    axis.grid(alpha=0.25)


def plot_ratios(rows: Sequence[tuple[str, Summary]], file: Path) -> None:
    """Ratio to the best built-in with its bootstrap interval, a line for each cell."""
    figure, axis = plt.subplots(figsize=(7, 0.16 * len(rows) + 1.2), layout="constrained")
    for place, (_, cell) in enumerate(rows):
        axis.plot([cell["ratio_low"], cell["ratio_high"]], [place, place], color="#93c5fd", linewidth=3)
        axis.plot(cell["ratio"], place, ".", color="#1d4ed8")
    axis.axvline(1.0, color="#6b7280", linewidth=1)
    axis.set(xlabel="mean RMSE, calibrated / best built-in scheduler (95 % bootstrap interval)", xscale="log")
    ticks = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=6)
    axis.invert_yaxis()
    axis.margins(y=0.01)
    _save(figure, file)


def _save(figure: plt.Figure, file: Path) -> None:
    figure.savefig(file, dpi=90, metadata={"Software": None})
    plt.close(figure)
