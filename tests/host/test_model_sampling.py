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


class Const:
    """What the host's CONST does, by a pack that does not derive from it."""

    def calculate_input(self, sigma, noise):
        return noise

    def calculate_denoised(self, sigma, model_output, model_input):
        return model_input - model_output * sigma.view(sigma.shape[:1] + (1,) * (model_output.ndim - 1))

    def noise_scaling(self, sigma, noise, latent_image, max_denoise=False):
        return sigma * noise + (1.0 - sigma) * latent_image

    def inverse_noise_scaling(self, sigma, latent):
        return latent / (1.0 - sigma)


class FromPictureToNoise(Const):
    """As the reverse and outward classes of ComfyUI-Fluxtapoz: no noise is added, and the end is scaled back."""

    def noise_scaling(self, sigma, noise, latent_image, max_denoise=False):
        return latent_image


class Inverse(FromPictureToNoise):
    """As the inverse class there and in packs for videos: nothing is scaled, and the velocity is put out."""

    def calculate_denoised(self, sigma, model_output, model_input):
        return model_output

    def inverse_noise_scaling(self, sigma, latent):
        return latent


class OnlyForLargeLatents(Const):
    def noise_scaling(self, sigma, noise, latent_image, max_denoise=False):
        raise RuntimeError("Expected all tensors to be on the same device")


class NoisyConst(Const):
    """As models whose noise is larger than 1: the host's noise_scale."""

    def noise_scaling(self, sigma, noise, latent_image, max_denoise=False):
        return super().noise_scaling(sigma, 8 * noise, latent_image)


class RawVelocity(model_sampling.EPS):
    """As the host's class for CogVideoX: the network is given what the sampler has, but noise is added as usual."""

    def calculate_input(self, sigma, noise):
        return noise

    def calculate_denoised(self, sigma, model_output, model_input):
        return (model_input - model_output * sigma.view(())) / (sigma.view(()) ** 2 + 1) ** 0.5


class VariancePreserving(model_sampling.EPS):
    """x = alpha picture + sigma_vp noise, for a pack's own sampler; the table is the host's."""

    def noise_scaling(self, sigma, noise, latent_image, max_denoise=False):
        return (latent_image + sigma * noise) / (1 + sigma**2) ** 0.5


FLOWS = (Const, FromPictureToNoise, Inverse, OnlyForLargeLatents, NoisyConst)


@pytest.mark.parametrize("prediction", FLOWS)
def test_a_class_that_does_what_the_hosts_flow_class_does_is_a_flow_model(host, prediction):
    """From what it does, not from what it derives from; also where it adds no noise, or fails on small tensors."""
    ms = model_sampling
    wanted = host.noise_schedule_of_sampling(sampling(ms.ModelSamplingDiscreteFlow, ms.CONST, shift=3.0))
    found = host.noise_schedule_of_sampling(sampling(ms.ModelSamplingDiscreteFlow, prediction, shift=3.0))
    assert found == wanted and found.family == "flow"
    assert optimize_schedule(found, 8).sigmas == optimize_schedule(wanted, 8).sigmas


@pytest.mark.parametrize(
    ("table", "prediction"),
    [
        ("ModelSamplingDiscrete", RawVelocity),
        ("ModelSamplingDiscrete", VariancePreserving),
        ("ModelSamplingDiscrete", model_sampling.X0),
        ("ModelSamplingCosmosRFlow", model_sampling.COSMOS_RFLOW),
        ("ModelSamplingContinuousEDM", model_sampling.EDM),
        ("ModelSamplingContinuousV", model_sampling.V_PREDICTION),
        *(
            ("ModelSamplingDiscrete", getattr(model_sampling, name))
            for name in ["V_PREDICTION_DDPM"]
            if hasattr(model_sampling, name)  # newer hosts
        ),
    ],
)
def test_a_class_that_adds_noise_to_the_whole_picture_is_none(host, table, prediction):
    found = host.noise_schedule_of_sampling(sampling(getattr(model_sampling, table), prediction))
    assert found.family == "vp"


class IMG_TO_IMG_VELOCITY(model_sampling.CONST):  # noqa: N801  as the host calls it
    """As the host's class for Marigold."""

    def calculate_denoised(self, sigma, model_output, model_input):
        return model_input - model_output

    def noise_scaling(self, sigma, noise, latent_image, max_denoise=False):
        return latent_image


@pytest.mark.parametrize(
    ("table", "prediction"),
    [
        ("ModelSamplingDiscreteFlow", IMG_TO_IMG_VELOCITY),
        *(
            ("ModelSamplingDiscrete", kind)
            for name, kind in vars(model_sampling).items()
            if name.startswith("IMG_TO_IMG")
        ),
    ],
)
def test_models_that_turn_a_picture_into_another_in_one_go_are_refused(host, table, prediction):
    own = sampling(getattr(model_sampling, table), prediction)
    with pytest.raises(ValueError, match=rf"^this model \({prediction.__name__}\) turns one picture into another in a"):
        host.noise_schedule_of_sampling(own)


@pytest.mark.parametrize("zeros", [[0.0], [0.0, 0.0], [-0.0], [-3e-8, 0.0]])
@pytest.mark.parametrize("family", ["flow", "vp"])
def test_zeros_in_front_of_a_table_are_dropped(host, zeros, family):
    """As SenseNova-U1.5 has one: the host's schedulers never come to it. The rest begins at time 1 / T as usual."""
    ms = model_sampling
    kinds = {"flow": (ms.ModelSamplingDiscreteFlow, ms.CONST), "vp": (ms.ModelSamplingDiscrete, ms.EPS)}
    own, plain = sampling(*kinds[family]), sampling(*kinds[family])
    own.sigmas = torch.cat([torch.tensor(zeros), plain.sigmas])
    assert host.noise_schedule_of_sampling(own) == host.noise_schedule_of_sampling(plain)


class NoTable:
    sigma_min, sigma_max = 0.1, 1.0


class Falling:
    sigmas = torch.tensor([3.0, 2.0, 1.0])


class Below:
    sigmas = torch.tensor([-0.1, 1.0, 3.0])


class NothingLeft:
    sigmas = torch.tensor([0.0, 0.0, 3.0])


class Empty:
    sigmas = torch.zeros(0)


class Infinite:
    sigmas = torch.tensor([1.0, 2.0, float("inf")])


class NotNumbers:
    sigmas = torch.tensor([1.0, float("nan"), 3.0])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (NoTable(), r"\(NoTable\) has no table of sigmas, so there is nothing to optimise for; use"),
        (Falling(), r"\(Falling\) cannot be used: the noise schedule must increase, but entry 1 \(2\)"),
        (Below(), r"\(Below\) cannot be used: entry 0 of the noise schedule is -0.1; every sigma must be above 0"),
        (
            NothingLeft(),
            r"\(NothingLeft\) cannot be used: entry 0 of the noise schedule is 0; every sigma must be above",
        ),
        (Empty(), r"\(Empty\) cannot be used: .* at least 2 sigmas; this one has the shape \(0,\)"),
        (Infinite(), r"\(Infinite\) cannot be used: entry 2 .* is not a finite number"),
        (NotNumbers(), r"\(NotNumbers\) cannot be used: entry 1 .* is not a finite number"),
    ],
)
def test_models_without_a_usable_table_are_refused_by_name(host, table, message):
    with pytest.raises(ValueError, match=message):
        host.noise_schedule_of_sampling(table)
