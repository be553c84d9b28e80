"""What a calibration for image to image gains (docs/calibration.md, "Image to image"): prints a table.

    .venv/bin/python -m benchmarks.studies.image_to_image

A schedule is calibrated on one picture at a denoise, and measured on that picture and on others, with unseen seeds,
against the built-in schedulers from the same noise level on.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import geometric_mean

import torch
from torch import Tensor

from hso_core import Settings, optimize_schedule
from hso_core.calibration import BUDGETS, calibrate
from hso_core.calibration.reference import reference_sigmas
from hso_core.schedule.sigmas import SigmasError
from hso_core.schedule.tools import end_at_denoise

from ..models.catalogue import TestModel, load_model
from ..models.reference import converged, distances
from ..models.solvers import REFERENCE_SOLVER, SOLVERS, SolverRun
from ..report.page import markdown
from ..rivals.schedules import built_in_rivals

MODELS = ("hsc32", "flow-unet", "digits-1")
DENOISES = (0.4, 0.7)
STEPS = (4, 6)
PICTURES = range(80_000, 80_004)
"""Seeds of the pictures that are changed: the calibration has the first."""
SEEDS, FIRST_SEED = range(200_000, 200_032), 10_000
FINE_STEPS = 60


class ChangeRun(SolverRun):
    """A sampler that changes `picture` and does not make one: x = alpha * picture + sigmas[0] * noise to begin with."""

    def __init__(self, model: TestModel, solver: str, picture: Tensor) -> None:
        super().__init__(model, solver)
        self._picture = picture

    def _start(self, sigma: Tensor, seeds: Sequence[int]) -> Tensor:
        alpha = 1 - sigma if self.model.noise.family == "flow" else 1.0
        return alpha * self._picture + super()._start(sigma, seeds)


def at_hand(model: TestModel, solver: str, steps: int, denoise: float) -> dict[str, Tensor]:
    """The host's schedulers and hso, (steps + 1,) each, from the noise level of `denoise` on, as Calibrate has them."""
    found = {"hso": optimize_schedule(model.noise, steps, Settings(denoise=denoise, start="sigma_max")).to_tensor()}
    for name, sigmas in built_in_rivals(model, solver, int(steps / denoise)):
        with contextlib.suppress(SigmasError):  # it has too few values there, and is left out
            found[name] = end_at_denoise(sigmas, model.noise, denoise, steps)
    return found


def ratios(name: str, solver: str, denoise: float, steps: int) -> list[float]:
    """Error / that of the best built-in: hso by mean; calibrated by mean and median on its picture, then on others."""
    torch.set_num_threads(1)
    model = load_model(name)
    noise = model.noise.up_to(model.noise.sigma_of_denoise(denoise))
    pictures = converged(model, PICTURES)
    rivals = at_hand(model, solver, steps, denoise)
    run, reference_run = (ChangeRun(model, each, pictures[0]) for each in (solver, REFERENCE_SOLVER))
    budget = BUDGETS["normal"]
    found = calibrate(run, reference_run, rivals, steps, noise, budget, first_seed=FIRST_SEED, change=True)
    fine = reference_sigmas(noise, FINE_STEPS)
    ends = [ChangeRun(model, REFERENCE_SOLVER, picture)(fine, SEEDS).latents for picture in pictures]

    def errors_of(sigmas: Tensor) -> Tensor:
        """(pictures, seeds) RMSE to where many steps lead from the same start."""
        runs = [ChangeRun(model, solver, picture)(sigmas, SEEDS).latents for picture in pictures]
        return torch.stack([distances(latents, end) for latents, end in zip(runs, ends, strict=True)])

    own, hso = errors_of(found.sigmas), errors_of(rivals.pop("hso"))
    errors = [errors_of(sigmas) for sigmas in rivals.values()]

    def over_best(of: Tensor, part: slice, by: str) -> float:
        def size(values: Tensor) -> float:
            return float(getattr(values[part], by)())

        return size(of) / min(map(size, errors))

    same, others = slice(0, 1), slice(1, None)
    places = [(same, "mean"), (same, "median"), (others, "mean"), (others, "median")]
    return [over_best(hso, others, "mean"), *(over_best(own, *place) for place in places)]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    places = [(m, s, d, n) for s in SOLVERS for d in DENOISES for m in MODELS for n in STEPS]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as processes:
        found = dict(zip(places, processes.map(ratios, *zip(*places, strict=True)), strict=True))
    rows = []
    for model, denoise, solver in itertools.product(MODELS, DENOISES, SOLVERS):
        cells = [found[model, solver, denoise, n] for n in STEPS]
        hso, *own = (geometric_mean(column) for column in zip(*cells, strict=True))
        same, others = (f"{mean:.2f} / {median:.2f}" for mean, median in (own[:2], own[2:]))
        rows.append((model, f"{denoise:g}", solver, same, others, f"{hso:.2f}"))
    print("RMSE / least of the built-ins, geometric mean over 4 and 6 steps; mean / median over seeds:\n")
    head = ("model", "denoise", "solver", "calibrated, its picture", "calibrated, others", "hso, others")
    print(markdown(head, rows))


if __name__ == "__main__":
    main()
