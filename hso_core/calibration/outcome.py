"""What a calibration found: how much nearer it comes, how sure that is, and the report that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from .reference_runs import ReferenceRuns
from .search import Search, Trial
from .statistics import paired_ratio

FITTED, EARLIER = "calibrated", "earlier result"  # what the report calls what the user could not select
SHOWN = 12  # rows of the report
CAUTION = 1.0  # deviations of what the seeds can tell, by which the loss of a winner has to be lower
NOTHING = 1e-3  # of the loss: less is no gain


@dataclass(frozen=True)
class Judgement:
    """Which of two trials it is to be, and how it compares with the second of them: see Outcome."""

    winner: Trial
    gain: float
    typical_gain: float
    interval: tuple[float, float]
    seeds: int


@dataclass(frozen=True)
class Expected:
    """By how much a winner's loss is usually lower than its rival's on other networks, and how much that differs."""

    gain: float
    spread: float


def judged(search: Search, winner: Trial, rival: Trial, expected: Expected | None = None) -> Judgement:
    """`winner`, unless the rival, the best that the user could select, may well be as good.

    It is as good where the other's loss is lower by less than the seeds can tell, or if by both of the means that the
    report names the other measured no better. Where it is known what is to be `expected`, that counts as one more
    measurement of the difference, and the better one wins by both together, each weighted with its certainty.
    """
    comparison, chance = paired_ratio(winner.distances, rival.distances), search.bench.chance
    # Where the user ended it early, the rival may have run on fewer seeds, which may be easier or harder ones.
    shared = min(len(winner.distances), len(rival.distances))
    weighed = min(winner.met, rival.met) > 0 and shared == len(winner.distances)
    gain = mean_of(winner, chance) / mean_of(rival, chance) if weighed else comparison.of_means
    promised = search.loss(rival, shared) - search.loss(winner, shared)
    if expected is not None:
        as_good = promised + expected.gain * (comparison.doubt / expected.spread) ** 2 <= NOTHING
    else:
        as_good = min(gain, comparison.geometric) >= 1 or promised <= CAUTION * comparison.doubt
    if as_good:
        winner, gain, comparison = rival, 1.0, paired_ratio(rival.distances, rival.distances)
    low, high = (end * gain / comparison.of_means for end in comparison.interval)
    return Judgement(winner, gain, comparison.geometric, (low, high), comparison.seeds)


@dataclass(frozen=True)
class Row:
    """The distances of what was tried to the converged latents: RMSE over `seeds` seeds.

    name: that of a candidate, or EARLIER, or of the rule that found it. shown_as: what a user calls it.
    """

    name: str
    shown_as: str
    mean: float
    median: float
    worst: float
    seeds: int
    sigmas: Tensor

    def __str__(self) -> str:
        return f"| {self.shown_as} | {self.mean:.4g} | {self.median:.4g} | {self.worst:.4g} | {self.seeds} |"


@dataclass(frozen=True)
class Outcome:
    """What all kinds of calibrations put out.

    name            of the winner: that of a candidate, or EARLIER, or the rule that found it
    shown_as        what the report calls it: the candidate's name, or FITTED
    best_candidate  of those that were tried
    gain            the winner's mean distance over the best candidate's, on the same seeds; 1 if that is the winner
    typical_gain    the same of geometric means, which a few seeds that end in another picture do not rule
    interval        90 %, of the `gain` on all seeds; of no width where there are fewer than three
    seeds           over which `gain` was measured; some of them took part in the search
    evaluations     of one latent, all of them, whether made or remembered
    remembered      how many of them were not made, but remembered
    rows            what was measured on as many seeds as the winner, which comes first
    references      the reference runs that are finished, which later searches need not make again; None without any

    made, at_hand   the words of the report: for what is found, how; for what the user could select
    """

    name: str
    shown_as: str
    best_candidate: str
    gain: float
    typical_gain: float
    interval: tuple[float, float]
    seeds: int
    evaluations: int
    remembered: int
    rows: tuple[Row, ...]
    references: ReferenceRuns | None

    made: ClassVar[tuple[str, str]]
    at_hand: ClassVar[str]

    @property
    def steps(self) -> int:
        raise NotImplementedError

    def report(self) -> str:
        """What was found, in Markdown."""
        remembered = f", {self.remembered} of them remembered from an earlier search" if self.remembered else ""
        lines = [
            " ".join(part for part in (self._verdict(), self._caveat()) if part),
            "",
            f"| {self.made[0]} | mean | median | worst | seeds |",
            "|---|---|---|---|---|",
            *(str(row) for row in self.rows),
            "",
            f"RMSE of the latents to those of the converged picture; {self.evaluations} evaluations in all"
            f"{remembered}.",
        ]
        return "\n".join(lines)

    def _caveat(self) -> str:
        """What else makes it uncertain; mostly nothing."""
        return ""

    def _verdict(self) -> str:
        (what, how), tried = self.made, f"the best {self.at_hand} that was tried"
        if not self.rows:
            return f"Nothing could be measured within the budget; this is {self.shown_as} as it is."
        if self.name == self.best_candidate:
            return (
                f"**Nothing is better than {self.name}**, {tried}: no other {what} of {self.steps} steps promises to "
                f"come closer to the converged picture on other seeds ({counted(self.seeds, 'seed')})."
            )
        low, high = self.interval
        rival, sure = f"{self.best_candidate}, {tried}", self.seeds >= 3
        span = f" ({_percent(1 - high)} to {_percent(1 - low)} %)" if sure else ""
        by_mean = f"{_percent(1 - self.gain)} % closer to the converged picture than {rival}{span}."
        typically = f"Typically {_percent(1 - self.typical_gain)} % closer to the converged picture than {rival}."
        unsettled = (
            f"Probably closer to the converged picture than {rival}, though not on these seeds: so few tell less than "
            "what was learnt on other networks, where it usually is."
        )
        said = [
            f"**{by_mean if self.gain < 1 else typically if self.typical_gain < 1 else unsettled}**",
            *(["The earlier result is still the best that was found."] if self.name == EARLIER else []),
            f"This is a {what} of {self.steps} steps, {how}: the first row of the table. Over "
            f"{counted(self.seeds, 'seed')} its mean distance is {self.gain:.2f} of that with {self.best_candidate},",
        ]
        if not sure:
            return " ".join([*said, "but these are too few seeds to say how sure that is."])
        said += [
            f"90 % interval {low:.2f} to {high:.2f}; its typical distance (geometric mean) is {self.typical_gain:.2f} "
            "of that.",
            *(["The interval reaches 1: by their means the two may be equally good on other seeds."] * (high >= 1)),
            "Some of these seeds took part in the search, so on new ones the gain may be a little smaller.",
        ]
        return " ".join(said)


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shown_names(rows: Sequence[Trial], own: Sequence[Trial]) -> list[str]:
    """What a user calls the schedules: candidates by their names, a fitted winner FITTED, other fitted ones by number.

    rows: the winner first.
    """
    names, fitted = [], 0
    for place, trial in enumerate(rows):
        if trial in own or (trial.name == EARLIER and place):
            names.append(trial.name)
        else:
            fitted += 1
            names.append(FITTED if place == 0 else f"fitted {fitted}")
    return names


def mean_of(trial: Trial, chance: float = 0.0) -> float:
    """Of its distances; with the larger pictures that it was run on, in their share."""
    mean = float(trial.first().mean())
    return (1 - chance) * mean + chance * trial.met if trial.met else mean


def row_of(trial: Trial, shown_as: str, chance: float = 0.0) -> Row:
    """chance: of larger pictures, see `mean_of`."""
    distances = trial.first()
    return Row(
        trial.name,
        shown_as,
        mean_of(trial, chance),
        float(np.median(distances)),
        max(float(distances.max()), trial.met),
        len(distances),
        trial.sigmas.clone(),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}".replace("-0", "0")
