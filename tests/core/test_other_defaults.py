"""Torch's default dtype and device are the process's: other nodes leave theirs, and no number may depend on them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import workbench
from hso_core import Settings, named_schedule, optimize_schedule
from hso_core.calibration.reference import reference_sigmas
from hso_core.method import optimizer
from hso_core.schedule.baselines import describe_mismatch, table_sigmas
from hso_core.schedule.sigmas import describe_low_start, parse_sigmas, print_sigmas, resample_sigmas
from hso_core.schedule.tools import blend, pin_sigma, split_at_sigma, start_at_denoise

DEFAULTS = [(torch.bfloat16, "cpu"), (torch.float16, "cpu"), (torch.float64, "cpu"), (torch.float32, "meta")]
NAMES = ("sd15", "flow:3", "edm:0.002:80")
# Functions that make a tensor out of nothing, and whether a dtype decides what it holds.
MAKERS = {
    **dict.fromkeys(("tensor", "zeros", "ones", "full", "empty", "arange", "linspace", "logspace", "eye"), True),
    **dict.fromkeys(("rand", "randn", "normal", "scalar_tensor"), True),
    **dict.fromkeys(("randperm", "randint", "as_tensor", "asarray", "Generator"), False),
}


@contextmanager
def defaults(dtype: torch.dtype, device: str) -> Iterator[None]:
    """Torch's defaults, put back afterwards."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def numbers_of_the_core() -> list[object]:
    """What the core computes, by every way into it, nothing remembered."""
    optimizer._memory.clear()
    found: list[object] = []
    for name in NAMES:
        noise = named_schedule(name)
        found += [noise.fingerprint, noise.sigma_of_denoise(0.4), len(noise.up_to(0.5 * noise.sigma_max))]
        for steps, settings in ((1, Settings()), (5, Settings()), (9, Settings(denoise=0.5, start="sigma_max"))):
            schedule = optimize_schedule(noise, steps, settings)
            sigmas = schedule.to_tensor()
            assert sigmas.dtype == torch.float32 and sigmas.device.type == "cpu"
            found += [schedule.sigmas, schedule.lambdas, schedule.timesteps, schedule.objective, print_sigmas(sigmas)]
        found += [reference_sigmas(noise, 20).tolist(), start_at_denoise(sigmas, noise, 0.2).tolist()]
        found += [describe_low_start(sigmas * 0.01, noise), describe_mismatch("AYS SDXL", noise)]
    sigmas = parse_sigmas("14.6, 6.47, 3.3, 0.9004, 0.03, 0")
    found += [part.tolist() for part in split_at_sigma(sigmas, 0.9)]
    found += [part.tolist() for part in split_at_sigma(sigmas, 99.9)]
    found += [pin_sigma(sigmas, 0.9001)[0].tolist(), blend(sigmas, sigmas / 3, 0.3)[0].tolist()]
    found += [resample_sigmas(sigmas, 7, method).tolist() for method in ("log-linear", "monotone")]
    return [*found, table_sigmas("AYS SDXL", 7)[0].tolist()]


@pytest.mark.parametrize(("dtype", "device"), DEFAULTS, ids=str)
def test_the_core_gives_the_same_numbers_under_other_defaults(dtype, device):
    expected = numbers_of_the_core()
    with defaults(dtype, device):
        found = numbers_of_the_core()
    assert found == expected


def test_every_tensor_names_its_dtype_and_device():
    wrong, calls = [], 0
    for package in ("hso_core", "nodes"):
        for file in Path(workbench.REPOSITORY / package).rglob("*.py"):
            for call in ast.walk(ast.parse(file.read_text("utf-8"))):
                if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                    continue
                if not (isinstance(call.func.value, ast.Name) and call.func.value.id == "torch"):
                    continue
                if call.func.attr not in MAKERS:
                    continue
                calls += 1
                needed = {"device", "dtype"} if MAKERS[call.func.attr] else {"device"}
                if missing := needed - {word.arg for word in call.keywords}:
                    wrong.append(f"{file.name}:{call.lineno} torch.{call.func.attr} lacks {sorted(missing)}")
    assert calls > 30 and not wrong
