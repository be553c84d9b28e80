"""Three questions that the paper leaves open, with numbers: writes docs/open_questions.md.

.venv/bin/python -m benchmarks.quality.open_questions
"""

from __future__ import annotations

import datetime
import functools
import math
import os
import sys
from collections.abc import Sequence
from statistics import geometric_mean

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from hso_core import Settings, optimize_schedule
from hso_core.spacing import least_spacing

from . import REPOSITORY
from .calibrated import calibrated_schedule
from .cells import FIRST_SEED, Bench
from .family import family_sigmas
from .measures import frechet_distance, principal_features, sliced_wasserstein
from .models import TestModel, load_model
from .oracle import Objective
from .reference import converged
from .report import markdown
from .rivals import built_in_rivals
from .solvers import SolverRun

PAGE = REPOSITORY / "docs" / "open_questions.md"
STEPS = (4, 6, 8)
VARIANTS = ("uni_pc", "uni_pc_bh2")
VARIANT_MODELS = ("hsc32", "mixture", "digits-1", "digits-guided")
STOCHASTIC = {"euler_ancestral": "euler", "dpmpp_2m_sde": "dpmpp_2m"}
STOCHASTIC_MODELS, STOCHASTIC_STEPS = ("mixture", "digits-1"), (6, 10)
FITTED_ON, MEASURED_ON = range(60_000, 61_000), range(FIRST_SEED, FIRST_SEED + 4000)
TARGET_SHIFT = 10_000  # of the seeds of the samples that are compared with: those of the same seeds would be pairs
TRIALS = 50
SPACING_MODELS = ("hsc32", "digits-1")
SPACING_STEPS = (4, 5, 6, 8, 10)
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)  # of the distance of evenly spaced times
FEASIBLE_SHARE = 0.5
INTERVAL = 0.93  # of t that HSO's narrowest box covers: 0.03 to 0.96


# -- 1. the schedule together with a setting of the solver -------------------------------------------------------------


@functools.cache
def variants_table() -> str:
    """Mean RMSE of UniPC's two forms, with the best built-in and with schedules fitted to each."""
    rows = []
    for name in VARIANT_MODELS:
        for steps in STEPS:
            benches = [Bench(load_model(name), variant) for variant in VARIANTS]
            fitted = [calibrated_schedule(bench.model, bench.solver, steps, "normal") for bench in benches]
            best = [_best_built_in(bench, steps) for bench in benches]
            own = [_error(bench, sigmas) for bench, sigmas in zip(benches, fitted, strict=True)]
            crossed = _error(benches[1], fitted[0])
            rows.append((name, str(steps), *map(_shown, (*best, *own, crossed, min(own) / own[0]))))
    head = (
        "model",
        "N",
        "bh1, best built-in",
        "bh2, best built-in",
        "bh1, fitted",
        "bh2, fitted",
        "bh2 on bh1's",
        "gain",
    )
    return markdown(head, rows)


def variants_summary() -> str:
    """Geometric mean of the last column: what the choice of the form gains beside a fitted schedule."""
    gains = [float(line.split("|")[-2]) for line in variants_table().splitlines()[2:]]
    return (
        f"Geometric mean of the gain: {geometric_mean(gains):.3f}. The form is chosen on "
        "the seeds that it is measured on, so this is the most that the choice can give."
    )


def _best_built_in(bench: Bench, steps: int) -> float:
    return min(_error(bench, sigmas) for _, sigmas in built_in_rivals(bench.model, bench.solver, steps))


def _error(bench: Bench, sigmas: Tensor) -> float:
    return float(bench.measure("", sigmas).error_tensor.mean())


# -- 2. stochastic samplers, and eta as the setting --------------------------------------------------------------------


class Distribution:
    """Frechet distance of a stochastic sampler's results to converged samples, over starts and noise together.

    The converged samples are of other seeds. Of the same, those of a sampler with little noise of its own would be near
    one by one, and nearer than any independent set could be.
    """

    def __init__(self, model: TestModel, seeds: Sequence[int]) -> None:
        self.model, self.seeds = model, seeds
        self.target = converged(model, [seed + TARGET_SHIFT for seed in seeds])
        self._features = principal_features(self.target)

    def sample(self, solver: str, sigmas: Tensor, eta: float) -> Tensor:
        return SolverRun(self.model, solver, batch=512, eta=eta)(sigmas, self.seeds).latents

    def frechet(self, latents: Tensor) -> float:
        return frechet_distance(self._features(latents), self._features(self.target))

    def distances(self, latents: Tensor) -> tuple[float, float]:
        return self.frechet(latents), sliced_wasserstein(latents, self.target)


@functools.cache
def stochastic_table() -> str:
    rows = []
    for name in STOCHASTIC_MODELS:
        fit, test = (Distribution(load_model(name), seeds) for seeds in (FITTED_ON, MEASURED_ON))
        floor = test.distances(converged(test.model, test.seeds))
        rows.append((name, "", "", "two converged sets", "", *map(_shown, floor)))
        for solver, relative in STOCHASTIC.items():
            for steps in STOCHASTIC_STEPS:
                for what, sigmas, eta in _stochastic_schedules(fit, test.model, solver, relative, steps):
                    found = test.distances(test.sample(solver, sigmas, eta))
                    rows.append((name, solver, str(steps), what, f"{eta:.2f}", *map(_shown, found)))
    return markdown(("model", "sampler", "N", "schedule", "eta", "fd", "swd"), rows)


def stochastic_summary(table: str) -> str:
    """Geometric means over all samplers, models and N of the Frechet distance over the best built-in's."""
    ratios: dict[str, list[float]] = {}
    best = math.nan
    for line in table.splitlines()[2:]:
        _, _, sampler, _, what, eta, distance, *_ = (part.strip() for part in line.split("|"))
        if what.startswith("best built-in"):
            best = float(distance)
        elif sampler:
            name = f"calibrated for its relative, eta {float(eta):g}" if what.startswith("calibrated") else what
            ratios.setdefault(name, []).append(float(distance) / best)
    means = {name: geometric_mean(values) for name, values in ratios.items()}
    return (
        "Geometric mean of fd over that of the best built-in: "
        + "; ".join(f"{name} {mean:.2f}" for name, mean in means.items())
        + "."
    )


def _stochastic_schedules(
    fit: Distribution, model: TestModel, solver: str, relative: str, steps: int
) -> list[tuple[str, Tensor, float]]:
    """Name, sigmas, eta. What is chosen or fitted is so on the seeds of `fit`."""
    built_in = dict(built_in_rivals(model, solver, steps))
    best = min(built_in, key=lambda name: fit.frechet(fit.sample(solver, built_in[name], 1.0)))
    fixed, _ = _fit_with_eta(fit, solver, steps, built_in[best], free=False)
    joint, eta = _fit_with_eta(fit, solver, steps, built_in[best], free=True)
    of_relative = calibrated_schedule(model, relative, steps, "normal")
    return [
        (f"best built-in ({best})", built_in[best], 1.0),
        ("hso", optimize_schedule(model.noise, steps).to_tensor(), 1.0),
        (f"calibrated for {relative}", of_relative, 1.0),
        (f"calibrated for {relative}", of_relative, 0.0),
        ("fitted to the sampler", fixed, 1.0),
        ("fitted together with eta", joint, eta),
    ]


def _fit_with_eta(fit: Distribution, solver: str, steps: int, known: Tensor, free: bool) -> tuple[Tensor, float]:
    """The schedule of the three-parameter family, and eta if it is free, of the least Frechet distance."""
    noise = fit.model.noise
    best: list[tuple[float, Tensor, float]] = [(fit.frechet(fit.sample(solver, known, 1.0)), known, 1.0)]

    def error(values: np.ndarray) -> float:
        rho, kappa, last = np.exp(values[:3])
        eta = float(values[3]) if free else 1.0
        if not (0.3 < rho < 30 and noise.sigma_min < last < 5 and 0 <= eta <= 1.5):
            return math.inf
        sigmas = family_sigmas(noise, steps, rho, kappa, last).float()
        if not bool((sigmas.diff() < 0).all()):
            return math.inf
        found = fit.frechet(fit.sample(solver, sigmas, eta))
        best.append((found, sigmas, eta))
        return found

    for eta in (1.0, 0.4) if free else (1.0,):
        start = np.array([math.log(7), 0.0, math.log(0.3), *([eta] if free else [])])
        corners = np.vstack([start, start + 0.4 * np.diag([1, 1, 1, *([-1] if free else [])])])
        minimize(error, start, method="Nelder-Mead", options={"maxfev": TRIALS, "initial_simplex": corners})
    _, sigmas, eta = min(best, key=lambda entry: entry[0])
    return sigmas, eta


# -- 3. the least distance of two steps --------------------------------------------------------------------------------


@functools.cache
def spacing_table() -> str:
    """Mean RMSE of HSO with the paper's d_min, with none, with one that can be met, and with one learned per cell."""
    rows = []
    for name in SPACING_MODELS:
        for solver in ("euler", "dpmpp_2m", "uni_pc"):
            bench, fit = Bench(load_model(name), solver), Objective(load_model(name), solver)
            for steps in SPACING_STEPS:
                even = INTERVAL / max(steps - 1, 1)
                linear = least_spacing(steps)
                learned = min((share * even for share in SHARES), key=lambda d: fit(_hso(bench.model, steps, d)))
                distances = (linear, 0.0, min(linear, FEASIBLE_SHARE * even), learned)
                errors = [_error(bench, _hso(bench.model, steps, d)) for d in distances]
                met = "yes" if optimize_schedule(bench.model.noise, steps).spacing_met else "no"
                rows.append((name, solver, str(steps), f"{linear:.3f}", met, *map(_shown, errors), f"{learned:.3f}"))
    head = ("model", "solver", "N", "linear d_min", "met", "linear", "none", "feasible", "learned", "learned d_min")
    return markdown(head, rows)


def _hso(model: TestModel, steps: int, d_min: float) -> Tensor:
    settings = Settings(spacing=(d_min, d_min)) if d_min else Settings(gamma=0.0)
    return optimize_schedule(model.noise, steps, settings).to_tensor()


def spacing_summary() -> str:
    """Geometric means over all cells, relative to the linear d_min."""
    rows = [line.split("|")[6:10] for line in spacing_table().splitlines()[2:]]
    errors = np.array([[float(value) for value in row] for row in rows])
    none, feasible, learned = np.exp(np.log(errors[:, 1:] / errors[:, :1]).mean(0))
    return (
        f"Geometric mean of the error relative to the linear d_min: none {none:.3f}, feasible {feasible:.3f}, learned "
        f"{learned:.3f}."
    )


# -- the page ----------------------------------------------------------------------------------------------------------


def page() -> str:
    return (
        "\n\n".join(
            [
                "# Open questions of the paper, with numbers",
                f"Measured on {datetime.date.today()} ({os.cpu_count()} CPU cores, torch {torch.__version__}) by "
                "`python -m benchmarks.quality.open_questions`; models, seeds and measures are those of "
                "[the benchmark](benchmark.md). Smaller is better everywhere.",
                "## Is it worth optimising the schedule together with a setting of the solver?",
                VARIANTS_TEXT,
                variants_table(),
                variants_summary(),
                "The other setting is eta, the share of noise that a stochastic sampler renews: see the next table.",
                "## And samplers that draw noise?",
                STOCHASTIC_TEXT,
                stochastic_summary(stochastic_table()),
                stochastic_table(),
                "## What is the spacing penalty's d_min(N) worth?",
                SPACING_TEXT,
                spacing_summary(),
                spacing_table(),
            ]
        )
        + "\n"
    )


VARIANTS_TEXT = (
    "UniPC has two forms, bh1 (`uni_pc`) and bh2 (`uni_pc_bh2`). Mean RMSE on unseen seeds with the best built-in "
    "scheduler (chosen on those very seeds) and with a schedule fitted to each form (budget normal); *bh2 on bh1's* is "
    "bh2 with the schedule fitted to bh1; *gain* is the better of the two fitted forms over bh1 fitted."
)
STOCHASTIC_TEXT = (
    "A sampler that draws noise has no one picture to come close to, so distributions are compared: 4000 samples, over "
    "starts and noise together, with as many converged ones of other seeds. fd is the Fréchet distance of 16 principal "
    "components, swd the sliced Wasserstein distance; *two converged sets* is the floor that 4000 samples leave. "
    "Choices and fits were made on 1000 other seeds. eta 1 is the sampler as it comes, 0 its deterministic relative."
)
SPACING_TEXT = (
    "Mean RMSE of the HSO schedule with the paper's linear d_min(N); with no penalty; with d_min lowered to half the "
    "distance of evenly spaced times where it is larger (so that it can always be met); and with the d_min that was "
    "best on other seeds, chosen anew for each line. *met*: whether the linear one is met."
)


def _shown(value: float) -> str:
    return f"{value:.3g}"


def main() -> int:
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    PAGE.write_text(page(), "utf-8")
    print(f"Wrote {PAGE}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
