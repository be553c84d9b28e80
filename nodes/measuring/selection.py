"""What Compare Schedulers compares: schedules, each with the sampler of the run or one of its own."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from torch import Tensor

from ...hso_core.schedule.baselines import TABLES
from ...hso_core.schedule.sigmas import check_sigmas
from .. import host
from ..sampling.fitted_sampler import solver_of
from ..sampling.notes import name_of
from .inputs import ksampler_form, selectable_schedules
from .run import SamplingRun
from .sampler_traits import check_sampler, shares_its_limit

ALL = "all"


@dataclass
class Selection:
    """Schedules by the names that they are shown under.

    run: with the sampler of all that bring none. schedules: sigmas (n + 1,). runs: of those with a sampler of their
    own. left_out: names of schedulers that make no schedule of so many steps for this model and sampler. warnings: of
    schedules that are odd, but may be meant.
    """

    run: SamplingRun
    schedules: dict[str, Tensor] = field(default_factory=dict)
    runs: dict[str, SamplingRun] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def usual_sampler(self) -> str:
        """For people."""
        name = name_of(self.run.sampler)
        return f"{name} where no other sampler is named" if self.runs else name

    def sampler_of(self, name: str) -> Any:
        return self.runs.get(name, self.run).sampler

    def add_named(self, text: str, steps: int, denoise: float) -> None:
        """Take in what a text names: schedulers, and samplers with a scheduler behind, as "dpmpp_2m karras"."""
        schedulers = host.scheduler_names()
        known = {*schedulers, *map(ksampler_form, schedulers), *TABLES, ALL}
        runs = {"": self.run}

        @cache
        def selectable(sampler: str) -> dict[str, Tensor]:
            if sampler:
                runs[sampler] = self.run.with_sampler(host.sampler(sampler))
            return selectable_schedules(self.run.guider.model_patcher, steps, runs[sampler].sampler, denoise)

        for name in filter(None, map(str.strip, re.split(r"[,;\n]", text))):
            sampler, scheduler = ("", name) if name in known else _sampler_in_front(name)
            found = selectable(sampler)
            if scheduler not in known:
                raise ValueError(
                    f"schedulers: there is no {scheduler[:60]!r}; choose from {', '.join(found)}, or {ALL}. Another "
                    "sampler than the node's goes in front: dpmpp_2m karras"
                )
            if scheduler != ALL and scheduler not in found:
                self.left_out.append(name)
            for each in found if scheduler == ALL else found.keys() & {scheduler}:
                shown = f"{sampler} {each}".strip()
                self.schedules[shown] = found[each]
                if sampler:
                    self.runs[shown] = runs[sampler]

    def add_connected(self, name: str, sigmas: Tensor | None, sampler: Any = None) -> None:
        """Take in a connected schedule, a fitted sampler with its own, or both; numbered where the name is taken."""
        solver = solver_of(sampler)
        if sigmas is None:
            if solver is None:
                raise ValueError(f"{name}: only a fitted sampler brings its schedule; connect the sigmas for this one")
            sigmas = solver.sigmas
        try:
            values = check_sigmas(sigmas.detach().cpu().float().clone())
            # A schedule that changes a picture is there to be compared with others.
            odd = host.check_schedule(values, self.run.guider.model_patcher, changes_picture=True)
            if solver is not None:
                solver.on(values)
        except ValueError as error:  # of the sigmas, or of the solver
            raise type(error)(f"{name}: {error}") from error
        if odd:
            self.warnings.append(f"{name}: {odd}")
        numbered = (name if k == 1 else f"{name} ({k})" for k in itertools.count(1))
        free = next(free for free in numbered if free not in self.schedules)
        self.schedules[free] = values
        if sampler is not None:
            self.runs[free] = self.run.with_sampler(sampler)

    def check(self) -> None:
        """Raises SamplerError for a sampler without a converged picture, ValueError for one with another's."""
        runs = {id(run.sampler): run for run in [self.run, *self.runs.values()]}.values()
        for run in runs:
            if run is self.run or solver_of(run.sampler) is None:
                check_sampler(run)
            if self.runs and not shares_its_limit(run.sampler):
                raise ValueError(
                    f"the sampler {name_of(run.sampler)} has a converged picture of its own, or none, so it cannot be "
                    "compared with other samplers; compare schedules for it alone"
                )


def _sampler_in_front(name: str) -> tuple[str, str]:
    """The sampler that a name begins with, "" if it does not, and the rest."""
    first, _, rest = name.partition(" ")
    return (first, rest.strip()) if first in host.sampler_names() and rest.strip() else ("", name)
