"""What the bounds of t are worth on models that the paper did not have: flow models, EDM, Stable Cascade.

    .venv/bin/python -m benchmarks.studies.time_bounds

prints the table of docs/method.md: the HSO schedule with the paper's bounds, with those that suit the model
(`hso_core.problem.suitable_times`), and the host's `simple`, on networks and exact models of several shifts and scales.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from statistics import geometric_mean
from typing import Any

import torch
from torch import Tensor

from hso_core import NoiseSchedule, Settings, optimize_schedule
from hso_core.method.problem import PAPER_TIMES

from ..models.catalogue import TestModel, digits_mixture, flow_denoiser, flow_sampling, load_model, vp_denoiser
from ..models.reference import converged, mean_distance
from ..models.solvers import SOLVERS, SolverRun
from ..report.page import markdown
from ..rivals.schedules import STEPS, built_in_rivals

SEEDS = range(300_000, 300_048)
KINDS = ("flow", "EDM", "Cascade")


def _edm_sampling() -> Any:
    import comfy.model_sampling

    class Sampling(comfy.model_sampling.ModelSamplingContinuousEDM, comfy.model_sampling.EDM):
        pass

    return Sampling()


def _cascade_sampling() -> Any:
    import comfy.model_sampling

    class Sampling(comfy.model_sampling.StableCascadeSampling, comfy.model_sampling.EPS):
        pass

    return Sampling()


def _like(model: TestModel, name: str, family: str, make_sampling: Callable[[], Any]) -> TestModel:
    """The model on the noise schedule of another of the host's model_sampling objects."""
    moved = replace(model, name=name, about=name, make_sampling=make_sampling)
    return replace(moved, noise=NoiseSchedule(moved.sampling().sigmas, family))


def models(kind: str) -> Iterator[TestModel]:
    if kind != "flow":
        sampling = {"EDM": _edm_sampling, "Cascade": _cascade_sampling}[kind]
        for scale in (0.3, 0.5, 1.0):
            digits = replace(load_model("digits-1"), denoise=vp_denoiser(digits_mixture(scale), torch.float32))
            yield _like(digits, f"digits {scale:g}, {kind}", "vp", sampling)
        return
    for scale, shift in ((1.0, 1.0), (1.0, 3.0), (1.0, 8.0), (0.5, 3.0), (2.0, 3.0)):
        digits = replace(load_model("digits-flow"), denoise=flow_denoiser(digits_mixture(scale), torch.float32))
        sampling = functools.partial(flow_sampling, shift)
        yield _like(digits, f"digits {scale:g}, shift {shift:g}", "flow", sampling)
    for shift in (1.0, 3.0, 8.0):
        sampling = functools.partial(flow_sampling, shift)
        yield _like(load_model("flow-unet"), f"network, shift {shift:g}", "flow", sampling)


def schedules(model: TestModel, steps: int) -> dict[str, Tensor]:
    t_min, t_max = PAPER_TIMES
    return {
        "hso, the paper's times": optimize_schedule(model.noise, steps, Settings(t_min=t_min, t_max=t_max)).to_tensor(),
        "hso, times that suit the model": optimize_schedule(model.noise, steps).to_tensor(),
        "simple": model.host_sigmas("simple", steps),
    }


def ratios(kind: str, solver: str) -> dict[str, list[float]]:
    """Of each schedule, for each model: mean RMSE / that of the best built-in, geometric mean over N."""
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {}
    for model in models(kind):
        run, end = SolverRun(model, solver), converged(model, SEEDS)

        def error(sigmas: Tensor, run: SolverRun = run, end: Tensor = end) -> float:
            return mean_distance(run(sigmas, SEEDS).latents, end)

        by_name: dict[str, list[float]] = {}
        for steps in STEPS:
            best = min(error(sigmas) for _, sigmas in built_in_rivals(model, solver, steps))
            for name, sigmas in schedules(model, steps).items():
                by_name.setdefault(name, []).append(error(sigmas) / best)
        for name, values in by_name.items():
            found.setdefault(name, []).append(geometric_mean(values))
    return found


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    places = [(kind, solver) for kind in KINDS for solver in SOLVERS]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as processes:
        found = dict(zip(places, processes.map(ratios, *zip(*places, strict=True)), strict=True))
    print("Mean RMSE / best built-in, geometric mean over models and N = 4, 5, 6, 8, 10; in brackets the worst model:")
    print()
    rows = []
    for kind in KINDS:
        for name in found[kind, SOLVERS[0]]:
            values = [found[kind, solver][name] for solver in SOLVERS]
            rows.append((kind, name, *(f"{geometric_mean(v):.2f} ({max(v):.2f})" for v in values)))
    print(markdown(("models", "schedule", *SOLVERS), rows))


if __name__ == "__main__":
    main()
