"""The schedules that are compared: name -> sigmas for one model, solver and number of steps."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hso_core import NoiseSchedule, optimize_schedule
from hso_core.schedule.baselines import table_sigmas, tables_for

from ..models.catalogue import TestModel
from ..models.reference import fine_sigmas
from ..models.solvers import SolverRun
from .dm_nonuniform import dm_nonuniform_lambdas

KSAMPLER = " (KSampler)"
"""Ending of the names of schedules that KSampler changes: for uni_pc it asks for a step more and leaves out the last
sigma above 0. BasicScheduler does not."""
DISCARDING = ("uni_pc", "uni_pc_bh2")
STEPS = (4, 5, 6, 8, 10)
"""Of the benchmark."""
ORACLES = Path(__file__).with_name("oracle_schedules")
DENSITY_STEPS, DENSITY_SEEDS = 30, range(90_000, 90_004)


def host_schedulers() -> list[str]:
    """The scheduler list of KSampler, without packs' entries."""
    import host_import

    host_import.import_host()
    import comfy.samplers

    return [name for name in comfy.samplers.SCHEDULER_NAMES if name != "hso"]


def built_in_rivals(model: TestModel, solver: str, steps: int) -> Iterator[tuple[str, Tensor]]:
    """What the host offers for N = `steps`; schedulers that cannot make N steps falling to 0 are left out."""
    for name in host_schedulers():
        sigmas = model.host_sigmas(name, steps).float()
        if is_schedule(sigmas, steps):
            yield name, sigmas
        if solver in DISCARDING:
            more = model.host_sigmas(name, steps + 1).float()
            sigmas = torch.cat([more[:-2], more[-1:]])
            if is_schedule(sigmas, steps):
                yield name + KSAMPLER, sigmas


def is_built_in(method: str) -> bool:
    return method.removesuffix(KSAMPLER) in host_schedulers()


def model_free_rivals(model: TestModel, solver: str, steps: int) -> Iterator[tuple[str, Tensor]]:
    """The schedules that the pack's Calibrate node chooses from: all that it knows without evaluating the model."""
    yield from built_in_rivals(model, solver, steps)
    for name in tables_for(model.noise):
        sigmas, _ = table_sigmas(name, steps)
        sigmas = sigmas * (model.noise.sigma_max / sigmas[0])  # the start is that of all others
        if is_schedule(sigmas, steps):
            yield name, sigmas
    yield "hso", optimize_schedule(model.noise, steps).to_tensor()


def all_rivals(model: TestModel, solver: str, steps: int) -> Iterator[tuple[str, Tensor]]:
    """All but the calibrated schedules."""
    yield from model_free_rivals(model, solver, steps)
    if model.noise.family == "vp":  # the bound is written for variance-preserving models
        yield "dm_nonuniform", _dm_nonuniform(model.noise, steps)
    yield "density", density_rule(model, steps)


def is_schedule(sigmas: Tensor, steps: int) -> bool:
    """N + 1 finite values that fall to 0 at every step."""
    return len(sigmas) == steps + 1 and bool(sigmas.isfinite().all()) and bool((sigmas.diff() < 0).all())


@functools.cache
def _dm_nonuniform(noise: NoiseSchedule, steps: int) -> Tensor:
    """N intervals over the whole table, the last value replaced by 0, as the host does with published tables."""
    lam = torch.from_numpy(dm_nonuniform_lambdas(noise, steps))
    sigmas = noise.sigma_of_lambda(lam).float()
    sigmas[0], sigmas[-1] = noise.sigma_max, 0.0
    return sigmas


# -- the density rule --------------------------------------------------------------------------------------------------


def density_rule(model: TestModel, steps: int) -> Tensor:
    """Steps spread with the density ||dD/dlambda||^(1/2) of one run of 30 steps with 4 seeds; first-order optimal.

    D is the denoised prediction. The best spacing makes the local errors of Euler's method, which go with h^2 D',
    equal (the usual equidistribution of an O(h^2) error).
    """
    position, mass = _density(model)
    quantiles = torch.linspace(0, 1, steps + 1, dtype=torch.float64)[:-1] * mass[-1]
    cell = (torch.searchsorted(mass, quantiles, right=True) - 1).clamp(0, len(position) - 2)
    share = (quantiles - mass[cell]) / (mass[cell + 1] - mass[cell])
    return torch.cat([torch.lerp(position[cell], position[cell + 1], share).exp(), torch.zeros(1).double()]).float()


@functools.cache
def _density(model: TestModel) -> tuple[Tensor, Tensor]:
    """ln sigma (M,) of the run, and the mass (M,) of the density up to it."""
    sigmas, denoised = fine_sigmas(model.noise, DENSITY_STEPS), []
    SolverRun(model, "dpmpp_2m")(sigmas, DENSITY_SEEDS, observe=lambda _, __, d: denoised.append(d.double()))
    change = torch.stack([(b - a).square().mean().sqrt() for a, b in zip(denoised, denoised[1:], strict=False)])
    lam = model.noise.lambda_of_sigma(sigmas[:-1].double())
    width = lam.diff().clamp(max=2.0)  # a flow model's first step is infinitely wide
    mass = torch.cat([torch.zeros(1).double(), (change.sqrt() * width.sqrt()).cumsum(0)])
    return sigmas[:-1].double().log(), mass


def oracle_sigmas(model: str, solver: str, steps: int) -> Tensor | None:
    """The committed schedule (steps + 1,) of oracle.py, or None where none was searched."""
    values = read_oracles(model).get(solver, {}).get(str(steps))
    return None if values is None else torch.tensor(values["sigmas"], dtype=torch.float32)


def read_oracles(model: str) -> dict[str, dict[str, dict[str, Any]]]:
    """What is committed for a model: solver -> steps -> sigmas and their error on the seeds of the search."""
    file = ORACLES / f"{model}.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}
