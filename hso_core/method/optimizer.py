"""Hierarchical Schedule Optimization: the bi-level search (arXiv 2511.11688), batched in torch.

Differential evolution proposes psi = (rho, t_min, t_max); for a whole generation at once, the EDM formula makes the
starting schedules, the trust region refines them to the minimum of the Midpoint Error Proxy, and the spacing penalty
is added. The best members are polished, and a grid over the box beside them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

from ..schedule.noise_schedule import NoiseSchedule
from .differential_evolution import differential_evolution
from .polish import polish_ends
from .problem import Problem, Settings, SettingsError
from .result import Schedule
from .trust_region import EXACT, Refined, minimise_midpoint_error

BACKENDS = ("torch", "scipy")
DEVICES = ("auto", "cpu", "cuda")
WITHOUT_FLOAT64 = ("mps", "privateuseone")  # Apple's GPUs; DirectML
ROUGH = 3e-2  # as EXACT, while the population is bred: intervals are right to about one part in 1000
POLISHED = 8  # members that are polished, beside a grid over the box
SPACING_TOLERANCE = 1e-6  # in t: a shortfall below this is rounding, not a collapsed step
REMEMBERED = 512

logger = logging.getLogger(__name__)
Progress = Callable[[int, int], None]
Key = tuple[str, int, Settings, str]
_memory: OrderedDict[Key, Schedule] = OrderedDict()
_memory_lock = threading.Lock()  # two workflows may search at once


def optimize_schedule(
    noise: NoiseSchedule,
    steps: int,
    settings: Settings | None = None,
    backend: str = "torch",
    device: str = "auto",
    on_progress: Progress | None = None,
) -> Schedule:
    """The schedule of N = `steps` that HSO finds for `noise`; the same for the same arguments on every device.

    backend: "torch", or "scipy", the paper's own procedure (seconds to minutes). device: where torch computes.
    on_progress(done, total) is called during the search; an exception from it ends the search.
    Results are remembered by content. Raises SettingsError.
    """
    problem = Problem(noise, steps, settings or Settings())
    if backend not in BACKENDS:
        raise SettingsError(f"backend is {backend!r}; it must be one of {', '.join(BACKENDS)}")
    where = resolve_device(device)
    key = (noise.fingerprint, problem.steps, problem.settings, backend)
    remembered = _recall(key)
    if remembered is not None:
        return remembered
    began = time.perf_counter()
    if backend == "scipy":
        from .reference import search  # scipy takes half a second to import
    else:
        search = _search
    with torch.inference_mode():
        psi, lam, objective, generations = search(problem, where, on_progress)
        result = _schedule(problem, psi, lam, objective, backend, generations, began)
    _remember(key, result)
    return result


def _recall(key: Key) -> Schedule | None:
    with _memory_lock:
        if key in _memory:
            _memory.move_to_end(key)
        return _memory.get(key)


def _remember(key: Key, result: Schedule) -> None:
    with _memory_lock:
        _memory[key] = result
        while len(_memory) > REMEMBERED:
            _memory.popitem(last=False)


def resolve_device(device: str) -> torch.device:
    """The torch device for "auto", "cpu" or "cuda"; the CPU, with a warning, for a kind of GPU that has no float64.

    "auto" is the CPU: a generation is some hundred operations on a few hundred numbers, less work for each than it
    takes to start one on a GPU (benchmarks/search_speed.py measures it where a GPU is there).
    """
    if device in WITHOUT_FLOAT64:
        logger.warning("HSO: %s has no float64, which the search needs; it runs on the CPU.", device)
        device = "cpu"
    if device not in DEVICES:
        raise SettingsError(f"device is {device!r}; it must be one of {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingsError("device is 'cuda', but this torch finds no CUDA GPU; use auto or cpu")
    return torch.device("cuda" if device == "cuda" else "cpu")


def _search(
    problem: Problem, device: torch.device, on_progress: Progress | None
) -> tuple[list[float], Tensor, float, int]:
    """psi, lambda (K + 1,), J and the generations bred."""
    s, k = problem.settings, problem.noise.snr_power
    bounds = problem.bounds.to(device)

    def refine(psi: Tensor, tolerance: float = EXACT) -> tuple[Refined, Tensor]:
        refined = minimise_midpoint_error(problem.starts(psi), s.exponent, k, s.iterations, tolerance)
        fitness = refined.objective + problem.penalty(refined.lam)
        return refined, fitness.nan_to_num(nan=torch.inf)  # argmin would take a NaN for the best

    found = differential_evolution(
        lambda psi: refine(psi, ROUGH)[1], bounds, 3 * s.population, s.generations, s.tolerance, s.seed, on_progress
    )
    best = found.fitness.topk(min(POLISHED, len(found.fitness)), largest=False).indices
    # The population may have gathered in one basin of the spacing penalty; a grid over the box sees the others.
    low, middle, high = bounds[:, 0], bounds.mean(1), bounds[:, 1]
    grid = torch.cartesian_prod(middle[:1], *torch.stack([low, middle, high])[:, 1:].T).T
    candidates = torch.cat([found.members[:, best], grid], dim=1)

    def polishing(_: int, __: int) -> None:
        if on_progress is not None:
            on_progress(found.generations, s.generations)

    psi, refined, fitness = polish_ends(problem, candidates, refine, polishing)
    i = int(fitness.argmin())
    return psi[:, i].tolist(), refined.lam[:, i].cpu(), float(refined.objective[i]), found.generations


def _schedule(
    problem: Problem, psi: list[float], lam: Tensor, objective: float, backend: str, generations: int, began: float
) -> Schedule:
    noise, length = problem.noise, len(problem.noise)
    times = problem.times(lam)
    spacing_met = bool((times[:-1] - times[1:] >= problem.d_min - SPACING_TOLERANCE).all())
    used = lam[: len(times)]
    sigmas = noise.sigma_of_lambda(used)
    if problem.first_is_full:
        sigmas[0] = noise.sigma_of_t(times[0])
    values = _strictly_decreasing(sigmas)
    if not (bool(sigmas.float().isfinite().all()) and values[-1] > 0):  # float32 ends at 1e-45
        raise SettingsError(
            "no schedule can be computed for this noise schedule: its sigmas, "
            f"{noise.sigma_min:g} to {noise.sigma_max:g}, are too extreme; use another model or other bounds of t"
        )
    timesteps = (length - 1) * times
    return Schedule(
        sigmas=tuple(values + ([0.0] if problem.settings.mapping == "ddim" else [])),
        timesteps=tuple(timesteps.round().int().tolist() if length == 1000 else timesteps.tolist()),
        lambdas=tuple(used.tolist()),
        rho=psi[0],
        t_min=psi[1],
        t_max=psi[2],
        objective=objective,
        penalty=float(problem.penalty(lam)),
        spacing_met=spacing_met,
        d_min=problem.d_min,
        steps=problem.steps,
        settings=problem.settings,
        fingerprint=noise.fingerprint,
        family=noise.family,
        table_length=length,
        backend=backend,
        generations=generations,
        elapsed_ms=1000 * (time.perf_counter() - began),
    )


def _strictly_decreasing(sigmas: Tensor) -> list[float]:
    """float32 values of sigmas; where rounding made two of them equal, the later one moves down by the least amount."""
    values = sigmas.float()
    if bool((values[1:] >= values[:-1]).any()):
        for i in range(1, len(values)):
            below = torch.nextafter(values[i - 1], torch.zeros_like(values[i - 1]))
            values[i] = torch.minimum(values[i], below)
    return values.tolist()
