"""The result of an optimisation: the schedule, and all that is needed to know where it comes from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..schedule.sigmas import print_sigmas
from .problem import Settings


@dataclass(frozen=True)
class Schedule:
    """An optimised schedule.

    sigmas      what a sampler takes, float32 values: N + 1, the last 0 (mapping "unipc": N + 1, the last above 0)
    timesteps   time of each sigma above 0 on the table's scale: round(999 t) for 1000 entries, else (T - 1) t
    lambdas     half-log-SNR of the optimised times (finite also where a flow model's first sigma is 1)
    rho, t_min, t_max
                psi, the best that the upper level found
    objective   J, the Midpoint Error Proxy
    penalty     the spacing penalty; spacing_met: whether every step keeps its distance d_min
    noise       fingerprint, family and length of the model's noise schedule
    elapsed_ms  duration of the search (of the first one, where the result was remembered)
    """

    sigmas: tuple[float, ...]
    timesteps: tuple[float, ...]
    lambdas: tuple[float, ...]
    rho: float
    t_min: float
    t_max: float
    objective: float
    penalty: float
    spacing_met: bool
    d_min: float
    steps: int
    settings: Settings
    fingerprint: str
    family: str
    table_length: int
    backend: str
    generations: int
    elapsed_ms: float

    @property
    def fitness(self) -> float:
        """F = J + penalty (paper, SPF)."""
        return self.objective + self.penalty

    def to_tensor(self) -> Tensor:
        """The sigmas as a fresh float32 tensor on the CPU."""
        return torch.tensor(self.sigmas, dtype=torch.float32, device="cpu")

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON, psi as one entry."""
        values = asdict(self)
        values["psi"] = {name: values.pop(name) for name in ("rho", "t_min", "t_max")}
        return values

    def summary(self) -> str:
        """A report to read, in Markdown: the sigmas (exact when read back), a table of the steps, how it was found."""
        spacing = "kept" if self.spacing_met else "not kept: at so many steps no schedule that was found can"
        rows = zip(self.sigmas, [*self.timesteps, 0], strict=False)
        return "\n".join(
            [
                f"{self.steps} steps, made for this model.",
                "",
                f"sigmas: {print_sigmas(self.to_tensor())}",
                "",
                "| step | sigma | timestep |",
                "|---|---|---|",
                *(f"| {i} | {sigma:.5g} | {t:.5g} |" for i, (sigma, t) in enumerate(rows)),
                "",
                f"Distance between steps, at least {self.d_min:.4f} in t: {spacing}.",
                "",
                f"rho {self.rho:.2f}, t_min {self.t_min:.4f}, t_max {self.t_max:.4f}, "
                f"midpoint error {self.objective:.5f}",
                "",
                f"Noise schedule {self.fingerprint} ({self.family}, {self.table_length} levels); "
                f"{self.backend}, {self.generations} generations, {self.elapsed_ms:.0f} ms",
            ]
        )
