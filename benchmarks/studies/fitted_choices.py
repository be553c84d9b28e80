"""Four questions about fitted samplers (docs/fitted_samplers.md).

    .venv/bin/python -m benchmarks.studies.fitted_choices [trajectories | references | guard | refinements]

trajectories: is the calibration's own reference good enough to be followed on the way? Its distance to where a run of
200 steps passes, beside that of the two ends. references: which solver the reference had best be run with. guard: what
it gains to go over to a known solver where a sample's predictions are larger than any that the calibration saw.
refinements: what each way to refine a fit is worth, and what it takes.
"""

from __future__ import annotations

import argparse
import itertools
from statistics import geometric_mean

import numpy as np
import torch
from torch import Tensor

from hso_core.calibration.compare import REFERENCE_STEPS
from hso_core.calibration.profile import ProfileRecorder
from hso_core.calibration.reference import Reference, reference_sigmas, reference_steps
from hso_core.calibration.refine_solver import evaluations_of, ways_to_try
from hso_core.calibration.search import Trial
from hso_core.calibration.solver_bench import SolverBench
from hso_core.calibration.trajectory import Trajectory
from hso_core.solvers import LinearMultistep, known_solver

from ..measures.cells import test_seeds
from ..measures.distances import frechet_distance, principal_features, sliced_wasserstein
from ..models.catalogue import NETWORKS, TestModel, load_model
from ..models.reference import converged, distances, fine_sigmas
from ..models.solvers import REFERENCE_SOLVER, SolverRun, SteppedSolverRun
from ..report.page import markdown
from ..rivals.calibrated import FIRST_SEEDS
from ..rivals.fitted import fitted_sampler
from .fitted_samplers import MEASURES, PairBench, best_pair

SEEDS, FINE_STEPS = 8, 200
PASSED = {"vp": (10.0, 3.0, 1.0, 0.3), "flow": (0.9, 0.75, 0.5, 0.2)}  # sigmas at which the two are compared
REFERENCES = ("uni_pc", "dpmpp_2m", "dpmpp_3m", "ipndm")
GUARDED = (("ztf32", 6), ("hsc32", 8))
REFINED = ("hsc32", "LogNet32", "flow-unet-guided", "sd-unet", "sd-unet-guided")
REFINED_FROM = 40_000  # a seed that no search has seen
SPAN = 0.3  # of the largest size seen, over which the weights go over


def trajectories() -> str:
    rows = []
    for name in NETWORKS:
        model = load_model(name)
        for steps in (4, 6, 10):
            own = Reference(SolverRun(model, REFERENCE_SOLVER), own_sigmas(model, steps), FIRST_SEEDS[0])
            own.extend(range(SEEDS))
            ends, passed = _apart(model, own)
            rows.append((name, str(steps), str(len(own.sigmas) - 1), *(f"{value:.3f}" for value in (*passed, ends))))
    return markdown(("network", "for N", "its steps", "early", "", "", "late", "end"), rows)


def references() -> str:
    """Mean RMSE to a run of many steps, of the schedules of references with each solver."""
    rows, seeds = [], range(FIRST_SEEDS[0], FIRST_SEEDS[0] + 2 * SEEDS)
    for name in NETWORKS:
        model = load_model(name)
        fine = SolverRun(model, "dpmpp_2m")(fine_sigmas(model.noise, FINE_STEPS), seeds).latents
        own = {f"Calibrate, N = {steps}": own_sigmas(model, steps) for steps in (4, 6)}
        for node, sigmas in {**own, "Compare": reference_sigmas(model.noise, REFERENCE_STEPS)}.items():
            means = []
            for solver in REFERENCES:
                known = known_solver(solver, sigmas.float(), model.noise)
                ends = SteppedSolverRun(model)(sigmas, seeds, known.stepper).latents
                means.append(f"{float(distances(ends, fine).mean()):.3f}")
            rows.append((name, node, str(len(sigmas) - 1), *means))
    return markdown(("network", "of", "its steps", *REFERENCES), rows)


def own_sigmas(model: TestModel, steps: int) -> Tensor:
    return reference_sigmas(model.noise, reference_steps(steps, model.noise.family))


def _apart(model: TestModel, own: Reference) -> tuple[float, list[float]]:
    """Mean RMSE between the ends of the two, and between what passes at each of the sigmas PASSED."""
    seeds = range(FIRST_SEEDS[0], FIRST_SEEDS[0] + SEEDS)
    choose, seen = ProfileRecorder().choose, list[tuple[float, Tensor]]()
    run = SolverRun(model, "dpmpp_2m")
    sigmas = fine_sigmas(model.noise, FINE_STEPS)
    fine = run(sigmas, seeds, observe=lambda s, x, d: seen.append((s, choose(x).double()))).latents
    noise, paths = choose(run.start_noise(seeds)).double(), own.trajectories().double()[:, :-1]
    runs = own.runs()
    trajectory = Trajectory(runs.levels) if runs else None
    passed = []
    for wanted in PASSED[model.noise.family]:
        level, x = min(seen, key=lambda pair: abs(np.log(pair[0] / wanted)))
        weights = torch.from_numpy(trajectory.travelled(np.array([level]))[0]) if trajectory else torch.zeros(0)
        passed.append(float((level * (noise + weights @ paths) - x).square().mean(1).sqrt().mean()))
    return float(own.distances(fine, range(SEEDS)).mean()), passed


def guard() -> str:
    rows = []
    for name, steps in GUARDED:
        model = load_model(name)
        solver = fitted_sampler(model, steps, "normal", FIRST_SEEDS[0])
        best, truth = best_pair(PairBench(model), steps, ()), converged(model, test_seeds(model))
        features = principal_features(truth)
        run = SolverRun(model, "euler")
        _, seen = _guarded(model, solver, run.start_noise(range(FIRST_SEEDS[0], FIRST_SEEDS[0] + 20)), None, None)
        for other in ("none", "uni_pc", "dpmpp_2m", "euler"):
            known = None if other == "none" else known_solver(other, solver.sigmas, model.noise)
            latents, _ = _guarded(model, solver, run.start_noise(test_seeds(model)), known, seen.max(0).values)
            errors = distances(latents, truth)
            measures = (
                float(errors.mean()),
                float(errors.median()),
                sliced_wasserstein(latents, truth),
                frechet_distance(features(latents), features(truth)),
            )
            ratios = (f"{value / best[by]:.2f}" for value, by in zip(measures, MEASURES, strict=True))
            rows.append((f"{name}, {steps} steps", other, *ratios))
    return markdown(("network", "goes over to", *MEASURES.values()), rows)


def _guarded(
    model: TestModel, solver: LinearMultistep, noise: Tensor, other: LinearMultistep | None, largest: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Latents, and the RMS (seeds, N) of the predictions; with the other's weights where these are beyond `largest`."""
    x, seen, sizes = float(solver.sigmas[0]) * noise, list[Tensor](), list[Tensor]()
    share = torch.zeros(len(noise)).double()
    for i in range(solver.steps):
        with torch.inference_mode():
            seen.append(model.denoise(x, float(solver.sigmas[i])))
        sizes.append(seen[-1].flatten(1).square().mean(1).sqrt())
        rows = solver.coefficients[i].expand(len(noise), -1)
        if other is not None and largest is not None and i:
            share = torch.maximum(share, ((sizes[i] / largest[i] - 1) / SPAN).clamp(0, 1).double())
            rows = torch.lerp(rows, other.coefficients[i].expand_as(rows), share[:, None])
        parts = zip(rows.unbind(1), [x, *seen], strict=False)
        x = sum(row.float().view(-1, 1, 1, 1) * part for row, part in parts)
    return x, torch.stack(sizes, 1)


def refinements() -> str:
    """On the schedules of quick fitted samplers, with as many seeds as a small and a larger budget have."""
    gains: dict[tuple[int, tuple[int, ...]], dict[int, list[float]]] = {}
    for name in REFINED:
        model = load_model(name)
        judge = PairBench(model)
        for steps, seeds in itertools.product((6, 8), (4, 12)):
            schedule = fitted_sampler(model, steps, "quick", FIRST_SEEDS[0]).sigmas
            lambdas = model.noise.lambda_of_sigma(schedule[:-1].double()).numpy()
            reference = Reference(SolverRun(model, REFERENCE_SOLVER), own_sigmas(model, steps), REFINED_FROM)
            bench = SolverBench(SteppedSolverRun(model), reference, REFINED_FROM, 10**7, model.noise)
            fit = Trial("fit", schedule, lambdas, 0.0, is_fit=True)
            bench.measure(fit, range(seeds))
            before = judge.measure("fitted", _run_with(fit)).error_tensor.mean()
            for tried in ways_to_try(steps):
                found = next(bench.refined(fit, range(seeds), reference.profile().data_scale, tried), fit)
                best = min(fit, found, key=lambda trial: trial.first(seeds).mean())
                after = judge.measure("fitted", _run_with(best)).error_tensor.mean()
                gains.setdefault((steps, tried), {}).setdefault(seeds, []).append(float(after / before))
    rows = []
    for (steps, tried), by in sorted(gains.items(), key=lambda item: (item[0][0], -evaluations_of(item[0][1]))):
        means = (f"{geometric_mean(ratios):.3f}" for ratios in by.values())
        rows.append((str(steps), ", ".join(map(str, tried)), str(evaluations_of(tried)), *means))
    return markdown(("N", "changes tried of each step", "evaluations a seed", "4 seeds", "12 seeds"), rows)


def _run_with(trial: Trial) -> LinearMultistep:
    if trial.solver is None:
        raise ValueError("the trial was not run")
    return trial.solver


QUESTIONS = {"trajectories": trajectories, "references": references, "guard": guard, "refinements": refinements}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", nargs="?", choices=list(QUESTIONS))
    torch.set_num_threads(1)
    asked = parser.parse_args().question
    for name, answer in QUESTIONS.items():
        if asked in (None, name):
            print(f"{name}:\n\n{answer()}\n", flush=True)


if __name__ == "__main__":
    main()
