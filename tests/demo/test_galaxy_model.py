"""The MODEL around the network, in a real ComfyUI in this process: schedule, latent format, previews."""

from __future__ import annotations

import math
import sys
from types import ModuleType

import pytest
import torch

import host_import
import workbench
from by_path import import_path


@pytest.fixture(scope="module")
def demo_pack() -> ModuleType:
    """The demonstration pack, imported as a package beside a real ComfyUI."""
    host_import.import_host()
    return import_path(workbench.REPOSITORY / "demo", "hso_demo")


@pytest.fixture(scope="module")
def galaxy_model(demo_pack: ModuleType) -> ModuleType:
    return sys.modules[demo_pack.__name__ + ".galaxy_model"]


def test_table_runs_from_the_authors_last_time_to_their_first(galaxy_model: ModuleType) -> None:
    sampling = galaxy_model.GalaxySampling()

    assert sampling.sigmas.shape == (1000,)
    assert sampling.sigma_min.item() == pytest.approx(math.sqrt(math.expm1(0.02)), rel=1e-6)
    assert sampling.sigma_max.item() == pytest.approx(math.sqrt(math.expm1(10)), rel=1e-6)
    assert (sampling.sigmas.diff() > 0).all()
    torch.testing.assert_close(sampling.log_sigmas, sampling.sigmas.log())


def test_timestep_is_continuous_and_the_inverse_of_sigma(galaxy_model: ModuleType) -> None:
    sampling = galaxy_model.GalaxySampling()
    times = torch.linspace(0.02, 10, 77)

    torch.testing.assert_close(sampling.timestep(sampling.sigma(times)), times)
    torch.testing.assert_close(sampling.timestep(sampling.sigmas), torch.linspace(0.02, 10, 1000))


@pytest.mark.parametrize(("percent", "time"), [(1e-9, 10.0), (0.25, 7.505), (1 - 1e-9, 0.02)])
def test_percent_is_the_share_of_time_gone(galaxy_model: ModuleType, percent: float, time: float) -> None:
    sampling = galaxy_model.GalaxySampling()

    assert sampling.percent_to_sigma(percent) == pytest.approx(math.sqrt(math.expm1(time)), rel=1e-6)
    assert sampling.percent_to_sigma(0.0) > sampling.sigma_max
    assert sampling.percent_to_sigma(1.0) == 0.0


def test_denoised_picture_is_the_input_at_low_noise(galaxy_model: ModuleType) -> None:
    patcher = galaxy_model.load_galaxy_model(workbench.demo_weights())
    row, column = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    galaxy = 6 * torch.exp(-((row - 15.5) ** 2 + (column - 15.5) ** 2).sqrt() / 3)[None, None]
    noise = torch.randn(galaxy.shape, generator=torch.Generator().manual_seed(0))
    sigma = patcher.model.model_sampling.sigma_min

    denoised = patcher.model.apply_model(galaxy + sigma * noise, sigma.repeat(1))
    assert (denoised - galaxy).norm() < 0.6 * (sigma * noise).norm()


def test_schedule_is_read_and_replaced_as_in_any_model(galaxy_model: ModuleType) -> None:
    import comfy.model_sampling

    patcher = galaxy_model.load_galaxy_model(workbench.demo_weights())
    own = patcher.get_model_object("model_sampling")
    assert isinstance(own, comfy.model_sampling.EPS)
    assert not isinstance(own, comfy.model_sampling.CONST)

    patched, other = patcher.clone(), comfy.model_sampling.ModelSamplingDiscrete()
    patched.add_object_patch("model_sampling", other)
    assert patched.get_model_object("model_sampling") is other
    assert patcher.get_model_object("model_sampling") is own


def test_preview_maps_the_sky_to_black_and_a_bright_centre_to_white(galaxy_model: ModuleType) -> None:
    from latent_preview import Latent2RGBPreviewer

    latent_format = galaxy_model.GalaxyLatent()
    previewer = Latent2RGBPreviewer(latent_format.latent_rgb_factors, latent_format.latent_rgb_factors_bias)
    latents = torch.zeros(1, 1, 32, 32)
    latents[..., 16, 16] = 7.0
    picture = previewer.decode_latent_to_preview(latents)

    assert picture.getpixel((0, 0)) == (0, 0, 0)
    assert min(picture.getpixel((16, 16))) > 150


def test_missing_weights_are_an_error_that_says_what_to_do(
    demo_pack: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_node = sys.modules[demo_pack.__name__ + ".nodes"].DemoModel

    monkeypatch.delenv(workbench.WEIGHTS_VARIABLE, raising=False)
    with pytest.raises(RuntimeError, match="HSO_DEMO_WEIGHTS is not set. Start the server with 'python3 dev.py run'"):
        model_node.execute()
    monkeypatch.setenv(workbench.WEIGHTS_VARIABLE, "/nowhere/network.eqx")
    with pytest.raises(RuntimeError, match="names /nowhere/network.eqx, and there is no such file"):
        model_node.execute()
