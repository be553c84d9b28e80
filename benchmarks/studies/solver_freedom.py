"""What a solver could be given beside its weights (docs/fitted_samplers.md).

    .venv/bin/python -m benchmarks.studies.solver_freedom [--models MODEL ...] [--steps N ...]

The strength of a step: x goes only so far along it, or further. The level that the network is told in place of the
state's. Weights by channel. On the schedules of fitted samplers weights are fitted step by step, and with one of these
freedoms moved once by Gauss and Newton, as in hso_core/calibration/refine_solver.py, on seeds that the search of the
schedule has not seen. What comes out is judged on the benchmark's test seeds, beside the same of the weights alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import geometric_mean

import numpy as np
import torch
from torch import Tensor

from hso_core.calibration.generators import ANCHOR
from hso_core.calibration.reference import Reference
from hso_core.calibration.refine_solver import Sensitivity
from hso_core.solvers import LinearMultistep, known_solver

from ..measures.cells import test_seeds
from ..measures.distances import sliced_wasserstein
from ..models.catalogue import NETWORKS, TestModel, load_model
from ..models.reference import converged, distances
from ..models.solvers import REFERENCE_SOLVER, SolverRun, SteppedSolverRun
from ..report.page import markdown
from ..rivals.calibrated import FIRST_SEEDS
from ..rivals.fitted import fitted_sampler
from .fitted_choices import own_sigmas

SEEDS = range(20_000, 20_032)
STEP = 0.02  # of what is tried


@dataclass(frozen=True)
class Change:
    """Of one number: weights[step, earlier] and, against it, weights[step, step]; or of what else it is."""

    kind: str
    step: int
    earlier: int = -1
    channel: int = -1


KINDS = {
    "weights": ("weight",),
    "and the last step's strength": ("weight", "last strength"),
    "and every step's strength": ("weight", "last strength", "strength"),
    "and the level told": ("weight", "told"),
    "and both": ("weight", "last strength", "strength", "told"),
    "weights by channel": ("weight", "channel"),
}


@dataclass
class Freer:
    """A solver with more numbers: weights (N, channels, N), strength (N,), told (N,) logarithms of factors."""

    solver: LinearMultistep
    channels: int
    weights: Tensor = field(init=False)
    strength: Tensor = field(init=False)
    told: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.weights = self.solver.weights[:, None].repeat(1, self.channels, 1)
        self.strength, self.told = torch.ones(self.solver.steps).double(), torch.zeros(self.solver.steps).double()

    def add(self, change: Change, size: float) -> None:
        if change.kind == "told":
            self.told[change.step] += size
        elif change.kind.endswith("strength"):
            self.strength[change.step] += size
        else:
            channels = slice(None) if change.channel < 0 else change.channel
            self.weights[change.step, channels, change.earlier] += size
            self.weights[change.step, channels, change.step] -= size

    def sample(self, model: TestModel, noise: Tensor) -> Tensor:
        levels = self.solver.sigmas.tolist()
        x, seen = levels[0] * noise, list[Tensor]()
        for i, told in enumerate(self.told.exp().tolist()):
            with torch.inference_mode():
                seen.append(model.denoise(x, min(levels[i] * told, model.noise.sigma_max)))
            shape = (1, -1, *(1,) * (x.ndim - 2))
            mean = sum(self.weights[i, :, j].float().view(shape) * each for j, each in enumerate(seen))
            x = x + float(self.strength[i]) * (1 - levels[i + 1] / levels[i]) * (mean - x)
        return x


def changes(steps: int, channels: int) -> list[Change]:
    pairs = [(i, j) for i in range(steps) for j in range(i)]
    found = [Change("weight", i, j) for i, j in pairs]
    if channels > 1:
        found += [Change("channel", i, j, c) for i, j in pairs for c in range(channels)]
    found += [Change("strength" if i < steps - 1 else "last strength", i) for i in range(steps)]
    return found + [Change("told", i) for i in range(steps)]


def gained(model: TestModel, steps: int, first_seed: int) -> dict[str, tuple[float, float, float]]:
    """Mean and median RMSE and swd on the test seeds with each freedom, in those of the fit step by step."""
    solver = _fit(model, fitted_sampler(model, steps, "normal", first_seed).sigmas)
    run, channels = SolverRun(model, "euler"), model.shape[0]
    noise, truth = run.start_noise(SEEDS), converged(model, SEEDS)
    base = Freer(solver, channels).sample(model, noise)
    known, moves = changes(steps, channels), []
    for change in known:
        other = Freer(solver, channels)
        other.add(change, STEP)
        moves.append((other.sample(model, noise) - base).flatten(1).double() / STEP)
    errors, seeds = (base - truth).flatten(1).double(), test_seeds(model)
    test_noise, test_truth = run.start_noise(seeds), converged(model, seeds)

    def judged(sampler: Freer) -> tuple[float, float, float]:
        latents = sampler.sample(model, test_noise)
        apart = distances(latents, test_truth)
        return float(apart.mean()), float(apart.median()), sliced_wasserstein(latents, test_truth)

    before, found = judged(Freer(solver, channels)), {}
    for name, kinds in KINDS.items():
        wanted = [k for k, change in enumerate(known) if change.kind in kinds]
        if "channel" in kinds and channels == 1:
            continue
        freer = Freer(solver, channels)
        for k, size in zip(wanted, _moved([moves[k] for k in wanted], errors), strict=True):
            freer.add(known[k], size)
        after = judged(freer)
        found[name] = (after[0] / before[0], after[1] / before[1], after[2] / before[2])
    return found


def _fit(model: TestModel, sigmas: Tensor) -> LinearMultistep:
    reference = Reference(SolverRun(model, REFERENCE_SOLVER), own_sigmas(model, len(sigmas) - 1), SEEDS[0])
    places = range(len(SEEDS))
    reference.extend(places)
    fit = reference.fit(sigmas, known_solver(ANCHOR, sigmas, model.noise).weights.numpy(), places, 1)
    SteppedSolverRun(model)(sigmas, SEEDS, lambda: fit)
    return LinearMultistep(sigmas, torch.from_numpy(fit.weights))


def _moved(moves: Sequence[Tensor], errors: Tensor) -> Iterable[float]:
    """By how much each number is to be changed; not at all where the seeds that are left out do not get nearer."""
    columns = torch.stack(list(moves), dim=2)
    sizes = columns.square().mean((0, 1)).sqrt().clamp_min(1e-12)
    unit = np.eye(len(sizes))[:, None]  # the changes themselves, as rows of numbers
    step = Sensitivity(unit, columns / sizes, errors).step(np.zeros(len(errors), dtype=np.int64), np.ones(len(errors)))
    return [0.0] * len(sizes) if step is None else (step[0][0] / sizes.numpy()).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(NETWORKS))
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 6])
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, all_of = [], dict[str, list[tuple[float, float, float]]]()
    for steps in options.steps:
        for name in options.models:
            for kind, ratios in gained(load_model(name), steps, FIRST_SEEDS[0]).items():
                all_of.setdefault(kind, []).append(ratios)
                rows.append((name, str(steps), kind, *(f"{ratio:.3f}" for ratio in ratios)))
                print(rows[-1], flush=True)
    for kind, found in all_of.items():
        rows.append(("all", "", kind, *(f"{geometric_mean(by):.3f}" for by in zip(*found, strict=True))))
    print(markdown(("network", "N", "free", "mean", "median", "swd"), rows))


if __name__ == "__main__":
    main()
