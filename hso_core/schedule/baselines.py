"""Published schedules, each with its source and the model that it suits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .noise_schedule import NoiseSchedule
from .numbers import whole_number
from .sigmas import MAX_STEPS, SLACK, SigmasError, resample_sigmas

FILE = Path(__file__).with_name("published_schedules.json")
SHIFT_SLACK = 0.02  # relative: a shift in a file is rounded


@dataclass(frozen=True)
class Table:
    """One published schedule.

    lists      number of steps N -> its N + 1 sigmas as they were published, the last 0 or the model's sigma_min
    family     "vp" or "flow", as in NoiseSchedule
    suits      the model that it was made for; source: who published it, and where
    trained    the model was distilled on just these values: no use to any other
    shift      the time shift of a flow model that the values belong to, if to one
    continues  goes on from the latent of another stage: it starts below full noise, as it should
    """

    name: str
    family: str
    suits: str
    source: str
    lists: Mapping[int, tuple[float, ...]]
    trained: bool = False
    shift: float | None = None
    continues: bool = False

    @property
    def step_counts(self) -> list[int]:
        return sorted(self.lists)

    def fits(self, noise: NoiseSchedule) -> bool:
        """Whether the family is that of `noise`, and the first value is its sigma_max (up to rounding)."""
        start = self.lists[self.step_counts[0]][0]
        return self.family == noise.family and abs(math.log(start / noise.sigma_max)) < SLACK


def _read_tables() -> dict[str, Table]:
    tables = {}
    for entry in json.loads(FILE.read_text("utf-8")):
        entry["lists"] = {int(steps): tuple(values) for steps, values in entry["lists"].items()}
        tables[entry["name"]] = Table(**entry)
    return tables


TABLES: dict[str, Table] = _read_tables()


def table_sigmas(name: str, steps: int = 0) -> tuple[Tensor, str]:
    """Sigmas (steps + 1,), float32, the last 0, of the table `name`, and a sentence that says how exact they are.

    0 steps: as many as the table has (the most, if it has several lists). Where it has none of `steps`, the nearest is
    interpolated in ln sigma over the step index, as ComfyUI does. Raises SigmasError.
    """
    table = _table(name)
    right = f"it must be 0 (as published) or a whole number up to {MAX_STEPS}"
    steps = whole_number("steps", steps, 0, MAX_STEPS, SigmasError, right) or table.step_counts[-1]
    nearest = min(table.step_counts, key=lambda count: (abs(count - steps), -count))
    sigmas = torch.tensor(table.lists[nearest], dtype=torch.float32, device="cpu")
    if steps != nearest:
        sigmas = resample_sigmas(sigmas, steps)
    sigmas[-1] = 0.0  # as ComfyUI does with lists that end at sigma_min
    return sigmas, _exactness(table, steps, nearest)


def tables_for(noise: NoiseSchedule) -> list[str]:
    """Names of the tables whose range and family fit a model; not those that belong to a distilled model alone."""
    return [name for name, table in TABLES.items() if table.fits(noise) and not table.trained]


def describe_mismatch(name: str, noise: NoiseSchedule) -> str | None:
    """A sentence if the table `name` was made for another kind of model than one with this noise schedule."""
    table = _table(name)
    if table.family != noise.family:
        kinds = {"flow": "a flow model (Flux, SD3, Wan ...)", "vp": "a diffusion model (Stable Diffusion ...)"}
        return f"{name} was made for {table.suits}, {kinds[table.family]}; the connected model is {kinds[noise.family]}"
    shift = shift_of(noise)
    if table.shift is not None and shift is not None and abs(shift / table.shift - 1) > SHIFT_SLACK:
        return f"{name} was made for shift {table.shift:g}; the connected model has shift {shift:.3g}"
    return None


def shift_of(noise: NoiseSchedule) -> float | None:
    """s, where the noise schedule of a flow model is sigma = s t / (1 + (s - 1) t); None for all others."""
    if noise.family != "flow":
        return None
    t = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64, device="cpu")
    sigma = noise.sigma_of_t(t)
    shifts = (sigma * (1 - t) / (t * (1 - sigma))).tolist()
    return shifts[1] if max(shifts) < min(shifts) * (1 + SHIFT_SLACK) else None


def _table(name: str) -> Table:
    if name not in TABLES:
        raise SigmasError(f"there is no preset {str(name)[:60]!r}; it must be one of {', '.join(TABLES)}")
    return TABLES[name]


def _exactness(table: Table, steps: int, nearest: int) -> str:
    if steps == nearest:
        return f"The published values for {steps} steps."
    counts = ", ".join(map(str, table.step_counts))
    warning = " A distilled model knows only the published values; expect worse pictures." if table.trained else ""
    return (
        f"Not published for {steps} steps (but for {counts}): interpolated in ln sigma "
        f"from the {nearest}-step list.{warning}"
    )
