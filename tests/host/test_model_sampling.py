"""The noise schedule that is read from real model_sampling objects of ComfyUI."""

from __future__ import annotations

import math
import sys

import pytest
import torch

import host_import
from hso_core import named_schedule, optimize_schedule

host_import.import_host()

import comfy.model_sampling as model_sampling  # noqa: E402


@pytest.fixture(scope="module")
def host(pack):
    return sys.modules[pack.__name__ + ".nodes.host"]


def sampling(schedule, prediction, **settings):
    """An object such as comfy.model_base.model_sampling makes for a model with these sampling settings."""

    class Config:
        sampling_settings = settings

    return type("ModelSampling", (schedule, prediction), {})(Config())


def test_named_schedules_are_the_hosts_tables_bit_for_bit(host):
    ms = model_sampling
    tables = {  # ComfyUI calls scaled-linear betas "linear", and linear ones "sqrt_linear"
        "sd15": sampling(ms.ModelSamplingDiscrete, ms.EPS),
        "ddpm": sampling(
            ms.ModelSamplingDiscrete, ms.EPS, beta_schedule="sqrt_linear", linear_start=1e-4, linear_end=0.02
        ),
        "flow:3": sampling(ms.ModelSamplingDiscreteFlow, ms.CONST, shift=3.0),
        "flow:1": sampling(ms.ModelSamplingDiscreteFlow, ms.CONST, shift=1.0),
        "flow:1.73": sampling(ms.ModelSamplingDiscreteFlow, ms.CONST, shift=1.73),
        "edm:0.002:80": sampling(ms.ModelSamplingContinuousEDM, ms.EDM, sigma_min=0.002, sigma_max=80.0),
    }
    for name, table in tables.items():
        assert host.noise_schedule_of_sampling(table).fingerprint == named_schedule(name).fingerprint, name


def test_zero_terminal_snr_is_finite(host):
    ms = sampling(model_sampling.ModelSamplingDiscrete, model_sampling.V_PREDICTION, zsnr=True)
    noise = host.noise_schedule_of_sampling(ms)
    assert noise.sigma_max > 4000
    assert all(math.isfinite(x) for x in optimize_schedule(noise, 5).lambdas)


def test_lambda_is_the_hosts_own_half_log_snr(host):
    """comfy.k_diffusion.sampling.sigma_to_half_log_snr is what core's samplers use."""
    from comfy.k_diffusion.sampling import sigma_to_half_log_snr

    for ms in (
        sampling(model_sampling.ModelSamplingDiscrete, model_sampling.EPS),
        sampling(model_sampling.ModelSamplingDiscreteFlow, model_sampling.CONST, shift=3.0),
        sampling(model_sampling.ModelSamplingContinuousEDM, model_sampling.EDM),
    ):
        noise = host.noise_schedule_of_sampling(ms)
        inner = noise.sigmas[:-1]
        torch.testing.assert_close(noise.lambda_of_sigma(inner), sigma_to_half_log_snr(inner, ms))


class NoTable:
    sigma_min, sigma_max = 0.1, 1.0


class Falling:
    sigmas = torch.tensor([3.0, 2.0, 1.0])


class NotNumbers:
    sigmas = torch.tensor([1.0, float("nan"), 3.0])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (NoTable(), r"\(NoTable\) has no table of sigmas, so there is nothing to optimise for; use"),
        (Falling(), r"\(Falling\) cannot be used: the noise schedule must increase, but entry 1 \(2\)"),
        (NotNumbers(), r"\(NotNumbers\) cannot be used: entry 1 .* is not a finite number"),
    ],
)
def test_models_without_a_usable_table_are_refused_by_name(host, table, message):
    with pytest.raises(ValueError, match=message):
        host.noise_schedule_of_sampling(table)
