"""Reference runs that an earlier calibration made: they spare evaluations, and change nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gaussian_run import GaussianRun
from hso_core import named_schedule, optimize_schedule
from hso_core.calibration import BudgetSpent, ReferenceRuns, calibrate
from hso_core.calibration.generators import compact_schedule
from hso_core.calibration.profile import MOST_VALUES
from hso_core.calibration.reference import PIECE, Reference, reference_sigmas, reference_steps
from hso_core.files.safe_file import read_tensors, write_tensors

SD15 = named_schedule("sd15")
SCALES = torch.logspace(-1, 0.5, 48)
EACH = reference_steps(5, "vp")
SIGMAS = reference_sigmas(SD15, EACH)


def search(solver="euler", steps=5, budget=900, reference=None, **options):
    """A calibration, and the evaluations that it made."""
    run, reference = GaussianRun(SCALES, solver), reference or GaussianRun(SCALES, "dpmpp_2m")
    candidates = {
        "hso": optimize_schedule(SD15, steps).to_tensor(),
        "karras": compact_schedule(SD15, steps, 7.0, 1.0, SD15.sigma_min),
        "even": compact_schedule(SD15, steps, 1.0, 1.0, SD15.sigma_min),
    }
    found = calibrate(run, reference, candidates, steps, SD15, budget, **options)
    return found, run.evaluations + reference.evaluations


def finished(count, sigmas=SIGMAS, values=SCALES):
    """The runs of the first so many seeds."""
    reference = Reference(GaussianRun(values, "dpmpp_2m"), sigmas)
    reference.extend(range(count))
    return reference.runs()


@pytest.fixture(scope="module")
def quick():
    return search(budget=300)[0].references


@pytest.mark.slow
@pytest.mark.parametrize(
    "later",
    [{"budget": 300}, {"budget": 2000}, {"solver": "dpmpp_2m"}, {"solver": "twice"}, {"steps": 4}, {"steps": 3}],
    ids=str,
)
def test_a_later_search_finds_the_same_with_fewer_evaluations(quick, later):
    anew, all_made = search(**later)

    found, made = search(**later, remembered=quick)

    assert found.sigmas.equal(anew.sigmas) and found.rows[0].mean == anew.rows[0].mean
    assert (found.name, found.gain, found.interval, found.seeds) == (anew.name, anew.gain, anew.interval, anew.seeds)
    assert found.evaluations == anew.evaluations == all_made <= later.get("budget", 900) and anew.remembered == 0
    used = min(len(quick.by_place), len(anew.references.by_place))
    assert found.remembered == all_made - made == EACH * used > 0
    assert found.report() == anew.report().replace(
        "evaluations in all", f"evaluations in all, {found.remembered} of them remembered from an earlier search"
    )


def test_what_is_remembered_and_not_needed_is_kept():
    known = finished(60)

    found, _ = search(budget=300, remembered=known)

    assert found.references.by_place.keys() == known.by_place.keys()
    assert found.remembered < sum(run.evaluations for run in known.by_place.values())


def test_only_what_is_missing_is_run():
    run = GaussianRun(SCALES, "dpmpp_2m")
    reference = Reference(run, SIGMAS, 0, finished(10))

    assert reference.price(range(16)) == 16 * EACH
    reference.extend(range(16))

    assert [seeds for _, seeds in run.calls] == [[10, 11, 12, 13, 14, 15]]
    assert (reference.evaluations, reference.remembered, run.evaluations) == (16 * EACH, 10 * EACH, 6 * EACH)
    together = Reference(GaussianRun(SCALES, "dpmpp_2m"), SIGMAS)
    together.extend(range(16))
    assert reference.trajectories().equal(together.trajectories())
    assert reference.profile().gram.equal(together.profile().gram)


@pytest.mark.parametrize("limit", [0, 100, 16 * EACH - 1, 16 * EACH])
def test_the_budget_ends_where_it_would_without_memory(limit):
    ends = []
    for known in (None, finished(10), finished(16)):
        reference = Reference(GaussianRun(SCALES, "dpmpp_2m"), SIGMAS, 0, known)
        try:
            reference.extend(range(16), limit)
        except BudgetSpent:
            ends.append(True)
        else:
            ends.append(False)
        assert reference.evaluations <= limit

    assert ends == [limit < 16 * EACH] * 3


def test_a_reference_that_is_stopped_keeps_the_pieces_that_are_finished():
    run = GaussianRun(SCALES, "dpmpp_2m")
    reference = Reference(run, SIGMAS)

    with pytest.raises(BudgetSpent):
        reference.extend(range(3 * PIECE), (2 * PIECE + 1) * EACH)

    assert list(reference.runs().by_place) == list(range(2 * PIECE))
    assert reference.evaluations == run.evaluations <= (2 * PIECE + 1) * EACH
    later = Reference(GaussianRun(SCALES, "dpmpp_2m"), SIGMAS, 0, reference.runs())
    later.extend(range(3 * PIECE))
    assert later.remembered == 2 * PIECE * EACH


@pytest.mark.parametrize("budget", [20, 50, 100, 300, 777])
def test_with_memory_too_the_budget_is_never_exceeded(budget):
    anew, _ = search(budget=budget)

    found, made = search(budget=budget, remembered=finished(40))

    assert found.sigmas.equal(anew.sigmas) and made + found.remembered == found.evaluations <= budget


def test_a_search_that_is_stopped_keeps_its_finished_reference():
    asked = iter(range(10))
    stopped, _ = search(should_stop=lambda: next(asked) >= 2)

    assert len(stopped.references.by_place) > 1
    assert search(should_stop=lambda: True)[0].references is None
    assert search(remembered=stopped.references)[0].remembered == EACH * len(stopped.references.by_place)


def test_progress_counts_what_is_remembered(quick):
    seen = []

    found, made = search(remembered=quick, on_progress=lambda done, total, stage: seen.append((done, total)))

    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done) and done[-1] == found.evaluations == made + found.remembered
    assert set(totals) == {900}


def test_runs_that_share_what_they_took_are_counted_in_whole(quick):
    """As where memory was short for a part of them."""

    class Uneven(GaussianRun):
        def __call__(self, sigmas, seeds, **options):
            result = super().__call__(sigmas, seeds, **options)
            return replace(result, evaluations=result.evaluations + 2)

    reference = Reference(Uneven(SCALES, "dpmpp_2m"), SIGMAS)
    reference.extend(range(3))

    assert reference.evaluations == 3 * EACH + 2
    assert [run.evaluations for run in reference.runs().by_place.values()] == [EACH + 1, EACH + 1, EACH]


@pytest.mark.parametrize("values", [4, 3 * MOST_VALUES])
def test_they_survive_a_file_exactly(tmp_path, values):
    runs = finished(3, values=torch.linspace(0.1, 2, values))
    write_tensors(tmp_path / "a.safetensors", runs.to_tensors(), {})

    read = ReferenceRuns.from_tensors(read_tensors(tmp_path / "a.safetensors", 1 << 24)[0])

    assert read.levels.equal(runs.levels) and list(read.by_place) == [0, 1, 2]
    for place, run in runs.by_place.items():
        other = read.by_place[place]
        assert other.latents.equal(run.latents) and other.predictions.equal(run.predictions)
        assert type(other.evaluations) is int and other.evaluations == run.evaluations == EACH


def test_as_many_are_kept_as_there_is_room_for():
    runs = finished(5)
    size = 4 * 48 * (EACH + 1)

    assert [list(runs.within(most).by_place) for most in (5 * size, 5 * size - 1, size, size - 1)] == [
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3],
        [0],
        [],
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"levels": torch.tensor(3.0)},
        {"levels": SIGMAS[: EACH - 1]},
        {"levels": SIGMAS[:EACH].flip(0)},
        {"levels": SIGMAS[1:]},
        {"levels": torch.zeros(0)},
        {"places": torch.tensor([0, 1, 1])},
        {"places": torch.tensor([0, 1])},
        {"places": torch.tensor([-1, 0, 1])},
        {"places": torch.tensor([0.0, 1.0, 2.0])},
        {"places": torch.tensor(0)},
        {"places": torch.zeros(0, dtype=torch.int64)},
        {"latents": torch.zeros(3)},
        {"latents": torch.zeros(2, 48)},
        {"latents": torch.zeros(3, 47)},
        {"latents": torch.full((3, 48), torch.nan)},
        {"latents": torch.zeros(3, 48, dtype=torch.float64)},
        {"predictions": torch.zeros(3, EACH - 1, 48)},
        {"predictions": torch.zeros(EACH, 48)},
        {"predictions": torch.full((3, EACH, 48), torch.inf)},
        {"evaluations": torch.tensor([EACH, EACH])},
        {"evaluations": torch.tensor([EACH, EACH, 0])},
        {"evaluations": torch.tensor([float(EACH)] * 3)},
    ],
    ids=lambda change: f"{next(iter(change))} {tuple(next(iter(change.values())).shape)}",
)
def test_tensors_that_are_no_runs_are_refused(change):
    tensors = finished(3).to_tensors()
    ReferenceRuns.from_tensors(tensors)
    with pytest.raises(ValueError, match="reference runs"):
        ReferenceRuns.from_tensors({**tensors, **change})
    with pytest.raises(KeyError):
        ReferenceRuns.from_tensors({name: value for name, value in tensors.items() if name not in change})


def test_a_budget_that_ends_within_the_remembered_runs_counts_alike():
    anew, _ = search(budget=EACH - 1)
    found, _ = search(budget=EACH - 1, remembered=finished(5))

    assert found.name == anew.name and found.evaluations == anew.evaluations == found.remembered == EACH - 1
