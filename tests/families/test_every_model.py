"""Every noise schedule that ComfyUI makes, from every model class and every node that patches one, at every step count.

Equal tables are computed once, but every class and node is held to have been met.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
import torch

import host_import
from hso_core import NoiseSchedule, Schedule, Settings, optimize_schedule
from hso_core.method import optimizer
from hso_core.method.edm_start import edm_start
from hso_core.method.midpoint_error import midpoint_error
from hso_core.method.problem import Problem
from hso_core.method.trust_region import Refined

host_import.import_host()

import comfy.model_sampling as model_sampling  # noqa: E402

import host_models  # noqa: E402

STEPS = (*range(1, 31), 50, 100)
DENOISE = (1.0, 0.9, 0.5, 0.1, 0.01)
FEW_STEPS, FEW_DENOISE = (1, 2, 5, 9, 20), (1.0, 0.5)
MOST_ITERATIONS = 1_000  # of Newton's method in one search, each for all members at once; some 300 are the most

SAMPLINGS = dict(host_models.class_samplings())
CLASSES = {name: sampling for name, sampling in SAMPLINGS.items() if host_models.is_diffusion(sampling)}
SD15 = host_models.model_with(CLASSES["SD15"])
BY_NODES = {
    name: host_models.patch(node, SD15, values).get_model_object("model_sampling")
    for name, (node, values) in host_models.PATCHES.items()
}
PATCHED = {name: sampling for name, sampling in BY_NODES.items() if host_models.is_diffusion(sampling)}
ALL = [*SAMPLINGS.values(), *BY_NODES.values()]
del SD15  # a ModelPatcher that lives until the interpreter ends complains then that its modules are gone


def noise_of(sampling: Any) -> NoiseSchedule:
    """As nodes/host.py reads it, which the tests below hold it to."""
    return NoiseSchedule(sampling.sigmas, "flow" if isinstance(sampling, model_sampling.CONST) else "vp")


def distinct(samplings: dict[str, Any]) -> dict[str, NoiseSchedule]:
    """One entry for each different noise schedule, by the first name that has it."""
    found: dict[NoiseSchedule, str] = {}
    for name, sampling in samplings.items():
        found.setdefault(noise_of(sampling), name)
    return {name: noise for noise, name in found.items()}


TABLES = distinct({**CLASSES, **{f"node: {name}": sampling for name, sampling in PATCHED.items()}})


def assert_contract(found: Schedule, noise: NoiseSchedule, steps: int, denoise: float) -> None:
    sigmas = found.to_tensor()
    assert sigmas.shape == (steps + 1,) and sigmas.dtype == torch.float32 and sigmas.device.type == "cpu"
    assert bool(sigmas.isfinite().all()) and bool((sigmas[1:] < sigmas[:-1]).all()) and float(sigmas[-1]) == 0
    assert float(sigmas[0]) <= torch.tensor(noise.sigma_max).float()
    if denoise == 1 and noise.family == "flow":
        assert float(sigmas[0]) == torch.tensor(noise.sigma_max).float()
    assert sigmas is not found.to_tensor() and sigmas.data_ptr() != found.to_tensor().data_ptr()


def assert_no_worse_than_its_start(found: Schedule, noise: NoiseSchedule) -> None:
    """The midpoint error of what the search found against that of the EDM formula with the same psi."""
    problem = Problem(noise, found.steps, found.settings)
    psi = torch.tensor([[found.rho], [found.t_min], [found.t_max]], dtype=torch.float64)
    last, first = noise.lambda_of_t(psi[1:])
    start = edm_start(psi[0], first, last, problem.intervals)
    at_start = float(midpoint_error(start, found.settings.exponent, noise.snr_power))
    assert found.objective <= at_start * (1 + 1e-12)


@pytest.fixture
def iterations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The work of the searches: the iterations of every refinement."""
    made: list[int] = []
    refine = optimizer.minimise_midpoint_error

    def counted(*arguments: Any) -> Refined:
        refined = refine(*arguments)
        made.append(refined.iterations)
        return refined

    monkeypatch.setattr(optimizer, "minimise_midpoint_error", counted)
    return made


def sweep(
    noise: NoiseSchedule, steps: tuple[int, ...], denoise: tuple[float, ...], iterations: list[int], figure: Any
) -> None:
    most = 0
    for d in denoise:
        for n in steps:
            iterations.clear()
            found = optimize_schedule(noise, n, Settings(denoise=d))
            most = max(most, sum(iterations))
            assert_contract(found, noise, n, d)
            assert_no_worse_than_its_start(found, noise)
    optimizer._memory.clear()
    assert most < MOST_ITERATIONS
    figure("families: searches", len(steps) * len(denoise))
    figure("families: Newton iterations of one search, max", most)


def test_every_class_and_every_patching_node_is_met(figure):
    import comfy_extras.nodes_lt as lt
    import comfy_extras.nodes_model_advanced as advanced

    assert {name.split()[0] for name in SAMPLINGS} == {c.__name__ for c in host_models.model_classes()}
    nodes = {*advanced.NODE_CLASS_MAPPINGS, *(name for name in vars(lt) if name.startswith("ModelSampling"))}
    patching = {name for name in nodes if name.startswith("ModelSampling")}
    assert patching == {node for node, _ in host_models.PATCHES.values()}
    met = {noise_of(sampling) for sampling in (*CLASSES.values(), *PATCHED.values())}
    assert met == set(TABLES.values())
    figure("families: model classes", len(host_models.model_classes()))
    figure("families: patching nodes", len(patching))
    figure("families: different noise schedules", len(TABLES))


@pytest.mark.parametrize("name", TABLES)
def test_contract_at_every_step_count_and_denoise(name, iterations, figure):
    sweep(TABLES[name], STEPS, DENOISE, iterations, figure)


def test_every_model_type_with_every_models_settings(iterations, figure):
    """Combinations that no model has now, but a later one may."""
    samplings = dict(host_models.kind_samplings())
    combinations = distinct({name: s for name, s in samplings.items() if host_models.is_diffusion(s)})
    others = set(combinations.values()) - set(TABLES.values())
    for noise in sorted(others, key=lambda noise: noise.fingerprint):
        sweep(noise, FEW_STEPS, FEW_DENOISE, iterations, figure)
    figure("families: further combinations", len(others))


def test_the_pack_reads_exactly_these_schedules(pack):
    host = sys.modules[pack.__name__ + ".nodes.host"]
    for name, sampling in {**CLASSES, **PATCHED}.items():
        read = host.noise_schedule_of_sampling(sampling)
        assert (read.fingerprint, read.family) == (noise_of(sampling).fingerprint, noise_of(sampling).family), name
        assert math.isclose(read.sigma_max, float(sampling.sigma_max), rel_tol=1e-5), name


def test_models_that_do_not_diffuse_are_refused_by_name(pack):
    host = sys.modules[pack.__name__ + ".nodes.host"]
    refused = [sampling for sampling in ALL if not host_models.is_diffusion(sampling)]
    assert refused
    for sampling in refused:
        with pytest.raises(ValueError, match=r"^this model \(IMG_TO_IMG\w*\) turns one picture into another in a"):
            host.noise_schedule_of_sampling(sampling)


def test_rescale_cfg_and_clones_leave_the_schedule_as_it_is(pack):
    host = sys.modules[pack.__name__ + ".nodes.host"]
    model = host_models.model_with(CLASSES["SDXL v zsnr"])
    for node, values in host_models.WITHOUT_OWN_SCHEDULE.items():
        rescaled = host_models.patch(node, model, values)
        assert host.noise_schedule(rescaled) == host.noise_schedule(model)
        patched = host_models.patch("ModelSamplingSD3", rescaled, {"shift": 3.0})
        assert host.noise_schedule(patched).family == "flow"
        assert host.noise_schedule(rescaled).family == "vp"
