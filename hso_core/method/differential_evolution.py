"""The upper level: differential evolution (Storn & Price 1997) where each generation is one batch.

The strategy is scipy's default, which the paper uses: best1bin with dithered F in [0.5, 1), crossover 0.7, Latin
hypercube start, deferred updating, and the same test of convergence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

CROSSOVER = 0.7
DITHER = (0.5, 1.0)


class Population(NamedTuple):
    """members (D, P), fitness (P,) and the number of generations that were bred."""

    members: Tensor
    fitness: Tensor
    generations: int


def differential_evolution(
    fitness: Callable[[Tensor], Tensor],
    bounds: Tensor,
    population: int,
    generations: int,
    tolerance: float,
    seed: int,
    on_generation: Callable[[int, int], None] | None = None,
) -> Population:
    """Minimise `fitness` ((D, P) -> (P,)) in the box bounds (D, 2).

    Stops after `generations`, or when the spread (standard deviation) of the fitness is at most `tolerance` times its
    mean. Random numbers are drawn on the CPU, so that every device takes the same course.
    `on_generation(done, total)` is called once a generation; an exception from it ends the search.
    """
    generator = torch.Generator(device="cpu").manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=bounds.dtype, device="cpu").to(bounds.device)

    low, width = bounds[:, :1], bounds[:, 1:] - bounds[:, :1]
    unit = _latin_hypercube(len(bounds), population, uniform, generator)
    values = fitness(low + width * unit)
    for generation in range(generations + 1):
        if on_generation is not None:
            on_generation(generation, generations)
        if generation == generations or bool(values.std(correction=0) <= tolerance * values.mean().abs()):
            break
        trial = _best1bin(unit, values, uniform, generator)
        trial_values = fitness(low + width * trial)
        better = trial_values <= values
        unit = torch.where(better, trial, unit)
        values = torch.where(better, trial_values, values)
    return Population(low + width * unit, values, generation)


def _latin_hypercube(dimensions: int, size: int, uniform: Callable[..., Tensor], generator: torch.Generator) -> Tensor:
    """(dimensions, size) in [0, 1): in each dimension one member in each of `size` equal cells."""
    cells = torch.stack([torch.randperm(size, generator=generator, device="cpu") for _ in range(dimensions)])
    jitter = uniform(dimensions, size)
    return (cells.to(jitter) + jitter) / size


def _best1bin(unit: Tensor, values: Tensor, uniform: Callable[..., Tensor], generator: torch.Generator) -> Tensor:
    """One trial per member: best + F (a - b), mixed into the member by binomial crossover; (D, P) in the unit cube."""
    dimensions, size = unit.shape
    a, b = (index.to(unit.device) for index in _two_others(size, generator))
    scale = DITHER[0] + (DITHER[1] - DITHER[0]) * uniform(1)
    best = values.argmin()
    mutant = unit[:, best, None] + scale * (unit[:, a] - unit[:, b])
    # As in scipy a coordinate that leaves the box is drawn anew.
    mutant = torch.where((mutant < 0) | (mutant > 1), uniform(dimensions, size), mutant)
    cross = uniform(dimensions, size) < CROSSOVER
    always = torch.randint(dimensions, (1, size), generator=generator, device="cpu").to(unit.device)
    return torch.where(cross.scatter(0, always, True), mutant, unit)


def _two_others(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two different members other than oneself, for each of `size` members."""
    me = torch.arange(size, dtype=torch.int64, device="cpu")
    first = torch.randint(1, size, (size,), generator=generator, device="cpu")
    second = torch.randint(1, size - 1, (size,), generator=generator, device="cpu")
    second = second + (second >= first)
    return (me + first) % size, (me + second) % size
