"""The paper's table in small: its schedules on a guided network in Stable Diffusion's regime (docs/paper_table.md).

    .venv/bin/python -m benchmarks.studies.paper_table [--steps 4 5] [--solvers ddim uni_pc] [--samples 5000] [--page]

Pictures of all classes of `sd-unet`, each as often as among the real ones, at Stable Diffusion's guidance of 7.5. What
was measured is kept in benchmarks/paper_table.json, and not measured again. The Frechet distances need the packages
that measures/features.py names.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from hso_core import NoiseSchedule, Settings, named_schedule, optimize_schedule
from hso_core.schedule.baselines import table_sigmas

from .. import REPOSITORY
from ..measures.distances import frechet_distance, principal_features
from ..measures.features import Extractor, extractor
from ..models import sd_unet
from ..models.catalogue import SD_GUIDANCE, TestModel, load_model, sd_network
from ..models.emoji import as_latents, emoji_table
from ..models.reference import distances, fine_sigmas
from ..models.solvers import SolverRun
from ..report.page import markdown
from ..rivals.calibrated import calibrated_schedule
from ..rivals.dm_nonuniform import dm_nonuniform_lambdas
from ..rivals.fitted import fitted_sampler

RESULTS = REPOSITORY / "benchmarks" / "paper_table.json"
PAGE = REPOSITORY / "docs" / "paper_table.md"
MODEL = "sd-unet-guided"
SOLVERS = {"ddim": "euler", "uni_pc": "uni_pc"}
"""The paper's names of them, and the host's."""
FIRST_SEED, OTHER_SEEDS, CALIBRATION_SEED = 500_000, 600_000, 10_000
COMPARED = 1024
"""Of so many seeds the converged picture is made, for the RMSE; as many others are the set to be near to."""
REFERENCE_STEPS, REFERENCE = 30, "uni_pc"
FEATURES, SIDE, COMPONENTS = "efficientnet-lite0", 64, 64
BATCH = 250
STEPS = (4, 5, 6, 8, 10)
MEASURES = {"real": "to real pictures", "converged": "to converged ones", "rmse": "RMSE"}


# -- schedules ---------------------------------------------------------------------------------------------------------


PAPER = {"t_min": (0.01, 0.03), "t_max": (0.96, 1.0)}
"""The paper's bounds of t."""


def _with_zero(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas.double(), torch.zeros(1, dtype=torch.float64)]).float()


def _at(noise: NoiseSchedule, times: Tensor) -> Tensor:
    return _with_zero(noise.sigma_of_t(times))


def uniform(model: TestModel, steps: int) -> Tensor:
    """Even steps in t, from the last entry of the table: what DDIM and UniPC do with Stable Diffusion by default."""
    return _at(model.noise, torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1])


def quadratic(model: TestModel, steps: int) -> Tensor:
    """Even steps in the root of t (DDIM, Song et al. 2021, appendix D.2)."""
    return _at(model.noise, torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1] ** 2)


def dm_nonuniform(model: TestModel, steps: int) -> Tensor:
    """Xue et al. 2024, on the model's own table; its last value is followed by 0."""
    return _with_zero(model.noise.sigma_of_lambda(torch.from_numpy(dm_nonuniform_lambdas(model.noise, steps)))[:steps])


def hso(model: TestModel, steps: int, **settings: Any) -> Tensor:
    return optimize_schedule(model.noise, steps, Settings(**PAPER, **settings)).to_tensor()


def hso_ddpm(model: TestModel, steps: int) -> Tensor:
    """The times that HSO finds for DDPM's betas, as the schedule is that the paper prints, on the model's table."""
    other = named_schedule("ddpm")
    sigmas = optimize_schedule(other, steps, Settings(**PAPER)).to_tensor()[:-1].double()
    return _at(model.noise, other.t_of_lambda(other.lambda_of_sigma(sigmas)))


def host(name: str) -> Callable[[TestModel, int], Tensor]:
    return lambda model, steps: model.host_sigmas(name, steps).float()


SCHEDULES: dict[str, Callable[[TestModel, int], Tensor]] = {
    "uniform in t": uniform,
    "quadratic": quadratic,
    "karras": host("karras"),
    "DM-NonUniform": dm_nonuniform,
    "HSO": hso,
    "HSO, DDPM's betas": hso_ddpm,
    "HSO without the penalty": functools.partial(hso, gamma=0.0),
    "AYS": lambda _, steps: table_sigmas("AYS SD 1.5", steps)[0],
}
LEFT = "HSO, left at t_min"
"""As the paper has it for UniPC: all steps above t_min, and none to 0."""
CALIBRATED, FITTED = "calibrated", "fitted"


# -- pictures ----------------------------------------------------------------------------------------------------------


@functools.cache
def of_class(label: int) -> TestModel:
    return sd_network("emoji", "eps", label, SD_GUIDANCE, "")


def shares(count: int) -> list[int]:
    """How many of `count` pictures are of each class: as among the real ones."""
    known = emoji_table()[1].bincount(minlength=len(sd_unet.CLASSES)).double()
    wanted = count * known / known.sum()
    whole = wanted.floor().long()
    for label in (wanted - whole).argsort(descending=True)[: count - int(whole.sum())].tolist():
        whole[label] += 1
    return whole.tolist()


def drawn(sample: Callable[[TestModel, Sequence[int]], Tensor], count: int, first_seed: int) -> Tensor:
    """Latents (count, ...): the classes spread evenly over the seeds, so that the first few are like all."""
    labels = torch.cat([torch.full((n,), label) for label, n in enumerate(shares(count))])
    labels = labels[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
    latents = torch.empty(count, *of_class(0).shape)
    for label in labels.unique().tolist():
        places = (labels == label).nonzero()[:, 0]
        latents[places] = sample(of_class(label), (first_seed + places).tolist())
    return latents


def sampled(solver: str, sigmas: Tensor) -> Callable[[TestModel, Sequence[int]], Tensor]:
    return lambda model, seeds: SolverRun(model, solver, BATCH)(sigmas, seeds).latents


def fitted(steps: int) -> tuple[Tensor, Callable[[TestModel, Sequence[int]], Tensor]]:
    """Schedule and sampler that are calibrated on one class."""
    solver = fitted_sampler(load_model(MODEL), steps, "normal", CALIBRATION_SEED)

    def sample(model: TestModel, seeds: Sequence[int]) -> Tensor:
        starts = (solver.sigmas[0] * SolverRun(model, "euler").start_noise(seeds)).split(BATCH)
        with torch.inference_mode():
            parts = [solver.sample(lambda x, sigma: model.denoise(x, float(sigma[0])), start) for start in starts]
        return torch.cat(parts)

    return solver.sigmas, sample


# -- measures ----------------------------------------------------------------------------------------------------------


class Measure:
    """Frechet distances of pictures in the leading components of a network's features, and RMSE."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._extract: Extractor = extractor(FEATURES, SIDE)
        real = self._raw(as_latents(emoji_table()[0].float() / 255))
        self._leading = principal_features(real, COMPONENTS)
        self._real = self._leading(real)
        fine = sampled(REFERENCE, fine_sigmas(of_class(0).noise, REFERENCE_STEPS))
        self._converged = drawn(fine, count, FIRST_SEED) if count <= COMPARED else self._first(fine)
        self._others = self._features(drawn(fine, min(count, 2 * COMPARED), OTHER_SEEDS))

    def _first(self, fine: Callable[[TestModel, Sequence[int]], Tensor]) -> Tensor:
        """The converged pictures of the first seeds of a larger set, whose classes they keep."""
        chosen = set(range(FIRST_SEED, FIRST_SEED + COMPARED))
        shape = of_class(0).shape

        def some(model: TestModel, seeds: Sequence[int]) -> Tensor:
            wanted = [k for k, seed in enumerate(seeds) if seed in chosen]
            latents = torch.zeros(len(seeds), *shape)
            if wanted:
                latents[wanted] = fine(model, [seeds[k] for k in wanted])
            return latents

        return drawn(some, self.count, FIRST_SEED)[:COMPARED]

    def __call__(self, sample: Callable[[TestModel, Sequence[int]], Tensor]) -> dict[str, float]:
        latents = drawn(sample, self.count, FIRST_SEED)
        features = self._features(latents)
        found = {"real": frechet_distance(features, self._real), "converged": frechet_distance(features, self._others)}
        return {**found, "rmse": float(distances(latents[:COMPARED], self._converged).mean())}

    def floors(self) -> dict[str, float]:
        """real: of two halves of the real pictures; converged: of the converged set to the real pictures, and of two
        converged sets."""
        order = torch.randperm(len(self._real), generator=torch.Generator().manual_seed(0))
        first, second = self._real[order[::2]], self._real[order[1::2]]
        own = self._features(self._converged)
        return {
            "halves": frechet_distance(first, second),
            "network": frechet_distance(self._others, self._real),
            "sets": frechet_distance(own, self._others),
        }

    def _features(self, latents: Tensor) -> Tensor:
        return self._leading(self._raw(latents))

    def _raw(self, latents: Tensor) -> Tensor:
        return torch.cat([self._extract(sd_unet.pictures(part)) for part in latents.split(64)])


# -- the table ---------------------------------------------------------------------------------------------------------


def samplers(solver: str, steps: int) -> Iterator[tuple[str, Tensor, Callable[[TestModel, Sequence[int]], Tensor]]]:
    """Of one solver and number of steps: name, sigmas (steps + 1,) and what samples."""
    model, own = load_model(MODEL), SOLVERS[solver]
    for name, make in SCHEDULES.items():
        sigmas = make(model, steps)
        yield name, sigmas, sampled(own, sigmas)
    sigmas = calibrated_schedule(model, own, steps, "normal", CALIBRATION_SEED)
    yield CALIBRATED, sigmas, sampled(own, sigmas)
    if solver == "uni_pc":
        sigmas = hso(model, steps, mapping="unipc")
        yield LEFT, sigmas, sampled(own, sigmas)
        yield FITTED, *fitted(steps)  # it belongs to none of them; once is enough


def read_results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {"rows": []}


def measured(step_counts: Sequence[int], solvers: Sequence[str], count: int) -> None:
    results, measure = read_results(), None
    known = {(row["solver"], row["steps"], row["schedule"], row["samples"]) for row in results["rows"]}
    for steps in step_counts:
        for solver in solvers:
            for name, sigmas, sample in samplers(solver, steps):
                if (solver, steps, name, count) in known:
                    continue
                row = {"solver": solver, "steps": steps, "schedule": name, "samples": count}
                row["sigmas"] = [float(f"{s:.6g}") for s in sigmas.tolist()]
                twin = next((other for other in results["rows"] if _is_twin(other, row)), None)
                measure = measure or Measure(count)
                row |= {key: twin[key] for key in MEASURES} if twin else measure(sample)
                print(json.dumps(row), flush=True)
                results["rows"].append(row)
                results |= {"date": str(datetime.date.today()), "floors": results.get("floors") or measure.floors()}
                results.pop("since", None)  # written by hand, of cells that this run replaces
                results["machine"] = f"{os.cpu_count()} CPU cores, torch {torch.__version__}"
                RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


def _is_twin(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether they are the same schedule under two names."""
    same = all(row[key] == other[key] for key in ("solver", "samples", "sigmas"))
    return same and FITTED not in (row["schedule"], other["schedule"])


def page(results: dict[str, Any]) -> str:
    rows = results["rows"]
    places = sorted({(row["solver"], row["steps"]) for row in rows})
    by = {(row["solver"], row["steps"], row["schedule"]): row for row in rows}
    names = [*SCHEDULES, LEFT, CALIBRATED, FITTED]
    parts: list[str] = []
    for measure, said in MEASURES.items():
        table = [
            (name, *(_cell(by.get((*place, name)), measure, rows, place) for place in places))
            for name in names
            if any((*place, name) in by for place in places)
        ]
        head = ("schedule", *(f"{solver}, {steps} steps" for solver, steps in places))
        title = f"### {said[0].upper()}{said[1:]}" if measure == "rmse" else f"### Frechet distance {said}"
        parts.append(f"{title}\n\n{markdown(head, table)}")
    floors = results["floors"]
    count = max(row["samples"] for row in rows)
    return TEXT.format(
        date=results["date"], machine=results["machine"], count=count, compared=COMPARED, **floors,
        network_to_real=floors["network"], tables="\n\n".join(parts), findings=findings(by, places),
        missing=_missing(by.keys()), since=f"**Changed since:** {results['since']}\n\n" if "since" in results else "",
    )  # fmt: skip


def _missing(known: Iterable[tuple[str, int, str]]) -> str:
    wanted = [(solver, steps, name) for solver in SOLVERS for steps in STEPS for name in (*SCHEDULES, CALIBRATED)]
    wanted += [("uni_pc", steps, name) for steps in STEPS for name in (LEFT, FITTED)]
    missing = len(set(wanted) - set(known))
    return f" Not measured yet: {missing} of {len(wanted)} cells, which the command adds." if missing else ""


def _cell(row: dict[str, Any] | None, measure: str, rows: list[dict[str, Any]], place: tuple[str, int]) -> str:
    if row is None:
        return ""
    least = min(other[measure] for other in rows if (other["solver"], other["steps"]) == place)
    said = f"{row[measure]:.3f}" if measure == "rmse" else f"{row[measure]:.0f}"
    return f"**{said}**" if math.isclose(row[measure], least) else said


def findings(by: dict[tuple[str, int, str], dict[str, Any]], places: Sequence[tuple[str, int]]) -> str:
    """Whether the order of the paper's table comes out, place by place."""

    def counts(better: str, worse: str, measure: str) -> str:
        both = [place for place in places if {(*place, better), (*place, worse)} <= by.keys()]
        ahead = [place for place in both if by[(*place, better)][measure] < by[(*place, worse)][measure]]
        return f"{len(ahead)} of {len(both)}"

    pairs = (("HSO", "DM-NonUniform"), ("DM-NonUniform", "uniform in t"), ("HSO", "uniform in t"))
    pairs += ((LEFT, "DM-NonUniform"), (LEFT, "uniform in t"))
    pairs += (("HSO", "HSO without the penalty"), ("HSO", "HSO, DDPM's betas"), (CALIBRATED, "HSO"))
    lines = [
        (f"{better} ahead of {worse}", *(counts(better, worse, measure) for measure in MEASURES))
        for better, worse in pairs
    ]
    return markdown(
        ("", *(f"by the distance {said}" if key != "rmse" else "by RMSE" for key, said in MEASURES.items())), lines
    )


TEXT = """# The paper's table, in small

The paper reports Frechet distances of Stable Diffusion 2.1 at guidance 7.5. Here the same schedules are on `sd-unet`
([the network](sd_unet.md): emoji of 32 x 32 on Stable Diffusion's table), at guidance 7.5 and with all of its classes,
each as often as among the real pictures. {count} pictures a cell; `python -m benchmarks.studies.paper_table`, {date},
{machine}.{missing}
Smaller is better; the least of a column is bold.

- *DDIM* is the host's euler, which is the same. Every schedule ends with a step to 0, also for UniPC; *left at t_min*
  is the paper's own way with UniPC, all steps above t_min and none to 0.
- *uniform in t* is the default of both samplers with Stable Diffusion. *HSO* has the paper's bounds, on the network's
  own table; *DDPM's betas* the times that the paper's printed schedule has. *calibrated* and *fitted* were calibrated
  once, with the budget normal, on one class, so that a little of it is luck; *fitted* has a sampler of its own, and
  stands in the columns of uni_pc.
- Frechet distances are those of 64 leading components of efficientnet-lite0's features at 64 pixels, and not
  comparable to those of others. Two halves of the real pictures are {halves:.0f} apart, the network's converged
  pictures and the real ones {network_to_real:.0f}, two converged sets {sets:.0f}. RMSE is to the converged picture of
  the same seed, of {compared} seeds.

{since}## Does the order of the paper come out?

{findings}

**With DDIM mostly yes.** HSO is ahead of DM-NonUniform by every measure with 4, 5 and 6 steps and by two of three
with 10 (with 8 the two are level), and from 5 steps on ahead of even steps in t by every measure. But DM-NonUniform
is behind even steps up to 6 steps.

**With UniPC no**, where the last step goes to 0: HSO is behind both by every measure, and even steps are ahead of
DM-NonUniform. The paper's own way, left at t_min, is much nearer: picture by picture ahead of DM-NonUniform from 5
steps on, and ahead of all other schedules with 8, the calibrated one among them (with 10 steps that is ahead); as a set
only ahead of DM-NonUniform, with 8 and 10 steps.

**Nothing collapses without the penalty.** Up to 6 steps the lower level, which is solved exactly here, finds the same
schedule ([the method](method.md)). From 8 steps on the penalty moves it: with DDIM for the better by every measure
(RMSE with 8 steps 0.325, without 0.373), with UniPC mostly for the worse.

What knows the network is nearest to converged pictures. With DDIM the calibrated schedule has the least RMSE with every
number of steps; as a set it is ahead of HSO with 4 and 5 steps, and behind it from 6 on, by little. With UniPC the
fitted sampler is nearest picture by picture with every number of steps, as a set from 5 on, and from 8 on its set is no
further from converged pictures than two sets of these are apart.

To real pictures many cells are nearer than the network's own converged pictures, so that this distance says little of
how well a schedule follows its network.

Not made on flow-unet-guided: its digits are grey, and features of photographs say little of them; DDPM's betas, AYS
and DM-NonUniform are for variance-preserving models. Its distances picture by picture are in
[the benchmark](benchmark.md).

## The tables

{tables}

## Its open questions and next checks

1. *Schedule and solver in one frame*: yes, see [fitted samplers](fitted_samplers.md).
2. *Samplers that draw noise*: see [open questions](open_questions.md).
3. *Another spacing penalty*: see the same page.

The next checks were the table itself, without the penalty, and another solver; all three stand above.
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS, default=list(SOLVERS))
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--page", action="store_true", help="only write the page again")
    return parser.parse_args(arguments)


def main(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    if not options.page:
        measured(options.steps, options.solvers, options.samples)
    PAGE.write_text(page(read_results()), "utf-8")
    print(f"Wrote {PAGE}.")


if __name__ == "__main__":
    main(parse())
