"""The numbers are the same wherever and however often they are computed, and obey what the theory says of them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench
from hso_core import NoiseSchedule, Settings, named_schedule, optimize_schedule
from hso_core.method import optimizer
from hso_core.schedule.noise_schedule import shifted_flow

SCHEDULES = ("sd15", "flow:3", "edm:0.002:80")


def fresh(name: str, steps: int, **options: object) -> tuple[float, ...]:
    optimizer._memory.clear()
    return optimize_schedule(named_schedule(name), steps, **options).sigmas


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_hundred_runs_give_the_same_bits(name, figure):
    assert len({fresh(name, 5) for _ in range(100)}) == 1
    figure("numbers: repeated runs with the same bits", 100)


def in_a_process(name: str, steps: int, **environment: str) -> tuple[float, ...]:
    command = [sys.executable, "-m", "hso_core", "optimize", "--schedule", name, "--steps", str(steps), "--json"]
    done = subprocess.run(
        command, cwd=workbench.REPOSITORY, capture_output=True, check=True, env={**os.environ, **environment}
    )
    return tuple(json.loads(done.stdout)["sigmas"])


@pytest.mark.slow
def test_other_processes_and_other_numbers_of_threads_give_the_same_bits(figure):
    """Torch is started with 1 and with 2 threads, and Python with different orders of its sets and dicts."""
    environments = [{"OMP_NUM_THREADS": str(n), "PYTHONHASHSEED": str(n)} for n in (1, 2)]
    for name, steps in (("sd15", 8), ("flow:3", 5)):
        assert {in_a_process(name, steps, **environment) for environment in environments} == {fresh(name, steps)}
    figure("numbers: processes with the same bits", 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_one_and_two_threads_give_the_same_bits(name):
    threads = torch.get_num_threads()
    try:
        results = set()
        for count in (1, 2):
            torch.set_num_threads(count)
            results.add(tuple(fresh(name, n) for n in (4, 8, 100)))
    finally:
        torch.set_num_threads(threads)
    assert len(results) == 1


def test_two_workflows_at_once_get_what_each_would_get_alone():
    """Ten threads in a memory of three entries, so that they throw out what the others look for."""
    work = [(name, steps) for name in SCHEDULES for steps in (2, 3, 4)]
    alone = {(name, steps): fresh(name, steps) for name, steps in work}
    wrong: list[object] = []

    def search(offset: int) -> None:
        try:
            for name, steps in work[offset:] + work[:offset]:
                if optimize_schedule(named_schedule(name), steps).sigmas != alone[name, steps]:
                    wrong.append((name, steps))
        except Exception as error:
            wrong.append(error)

    remembered, optimizer.REMEMBERED = optimizer.REMEMBERED, 3
    try:
        threads = [threading.Thread(target=search, args=(i,)) for i in range(len(work))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        optimizer.REMEMBERED = remembered
    assert not wrong


NO_CUDA = "no CUDA GPU here: CPU and GPU are not compared"


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_CUDA)
@pytest.mark.parametrize("name", SCHEDULES)
def test_cuda_gives_the_numbers_of_the_cpu(name, figure):
    for steps in (1, 2, 4, 8, 20, 50):
        assert fresh(name, steps, device="cuda") == pytest.approx(fresh(name, steps, device="cpu"), rel=1e-9)
    figure("numbers: CPU and CUDA compared", 6)


@settings(max_examples=60)
@given(shift=st.floats(0.05, 50), t=st.floats(0.002, 0.99))
def test_a_shift_of_a_flow_model_is_a_translation_in_lambda(shift, t):
    """sigma = s t / (1 + (s - 1) t) has alpha/sigma = (1 - t) / (s t): lambda moves by -ln s at every t."""
    at = torch.tensor(t, dtype=torch.float64)
    plain, shifted = (schedule.lambda_of_t(at) for schedule in (shifted_flow(1.0), shifted_flow(shift)))
    assert float(shifted) == pytest.approx(float(plain) - math.log(shift), abs=1e-3)  # the tables are float32


@pytest.mark.parametrize("name", ["sd15", "ddpm", "flow:3", "flow:1"])
@pytest.mark.parametrize("finer", [2, 5])
def test_a_finer_table_of_the_same_noise_gives_the_same_sigmas(name, finer):
    coarse = named_schedule(name)
    t = torch.arange(1, finer * len(coarse) + 1, dtype=torch.float64) / (finer * len(coarse))
    fine = NoiseSchedule(coarse.sigma_of_t(t), coarse.family)
    for steps in (3, 5, 9):
        expected = optimize_schedule(coarse, steps).sigmas
        assert optimize_schedule(fine, steps).sigmas == pytest.approx(expected, rel=1e-5)


@settings(max_examples=25)
@given(name=st.sampled_from(SCHEDULES), steps=st.integers(3, 12), denoise=st.floats(0.05, 1))
def test_a_search_never_ends_above_any_member_of_its_grid(name, steps, denoise):
    """Neither seed nor a smaller population finds anything better than the default search, beyond rounding."""
    noise = named_schedule(name)
    default = optimize_schedule(noise, steps, Settings(denoise=denoise))
    other = optimize_schedule(noise, steps, Settings(denoise=denoise, seed=7, population=8))
    assert default.fitness <= other.fitness * (1 + 1e-6)
