"""The MODEL around the emoji network, in a real ComfyUI in this process: schedule, class, guidance, pictures."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch

import host_import
import workbench
from by_path import import_path

SIGMAS = torch.tensor([14.6, 3.0, 0.8, 0.2, 0.0])


@pytest.fixture(scope="module")
def pack() -> ModuleType:
    """The nodes of the demonstration pack, imported beside a real ComfyUI."""
    host_import.import_host()
    demo = import_path(workbench.REPOSITORY / "demo", "hso_demo")
    return sys.modules[demo.__name__ + ".nodes"]


def of(pack: ModuleType, prediction: str = "eps") -> Any:
    with torch.inference_mode():
        return pack.DemoEmojiModel.execute(prediction)[0]


def cond(pack: ModuleType, name: str) -> Any:
    return pack.DemoClass.execute(name)[0]


def network_of(model: Any) -> Any:
    return model.model.diffusion_model.network


def latent(count: int) -> dict[str, torch.Tensor]:
    return {"samples": torch.zeros(count, 1, 32, 32)}


def guided(model: Any, positive: Any, negative: Any, cfg: float, sigmas: torch.Tensor = SIGMAS) -> torch.Tensor:
    """SamplerCustomAdvanced of the host with its CFGGuider, euler: latents (3, 3, 32, 32)."""
    import comfy.samplers
    from comfy_extras import nodes_custom_sampler as core

    with torch.inference_mode():
        guider = core.CFGGuider().execute(model, positive, negative, cfg)[0]
        noise = core.RandomNoise.execute(7)[0]
        sampler = comfy.samplers.sampler_object("euler")
        return core.SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, latent(3))[0]["samples"].float()


def expected(model: Any, start: torch.Tensor, wanted: int, cfg: float) -> torch.Tensor:
    """The same by the formulas, on the network alone: Euler steps of D_u + w (D_c - D_u)."""
    network, x = network_of(model), SIGMAS[0] * start
    for sigma, following in zip(SIGMAS.tolist(), SIGMAS[1:].tolist(), strict=False):
        anything, of_class = network.denoised(x, sigma, 16), network.denoised(x, sigma, wanted)
        denoised = anything + cfg * (of_class - anything)
        x = denoised + (x - denoised) * following / sigma
    return x


def start_noise() -> torch.Tensor:
    import comfy.sample

    return comfy.sample.prepare_noise(torch.zeros(3, 3, 32, 32), 7)


@pytest.mark.parametrize(("prediction", "last"), [("eps", 14.6146), ("v", 4518.76)])
def test_table_is_stable_diffusions(pack: ModuleType, prediction: str, last: float) -> None:
    import comfy.model_sampling

    model = of(pack, prediction)
    sampling = model.get_model_object("model_sampling")

    assert isinstance(sampling, comfy.model_sampling.V_PREDICTION) == (prediction == "v")
    assert sampling.sigma_max.item() == pytest.approx(last, rel=1e-4)
    torch.testing.assert_close(sampling.sigmas.log(), network_of(model).log_sigmas, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prediction", ["eps", "v"])
@pytest.mark.parametrize("sigma", [0.03, 1.0, 12.0])
def test_the_host_denoises_as_the_network_does(pack: ModuleType, prediction: str, sigma: float) -> None:
    model = of(pack, prediction)
    x = sigma * torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    with torch.inference_mode():
        found = model.model.apply_model(
            x, torch.full((2,), sigma), c_crossattn=cond(pack, "food")[0][0].repeat(2, 1, 1)
        )
        wanted = network_of(model).denoised(x, sigma, 6)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cfg", [1.0, 7.5])
def test_the_hosts_guider_guides_towards_the_class(pack: ModuleType, cfg: float) -> None:
    model = of(pack)
    found = guided(model, cond(pack, "flags"), cond(pack, "anything"), cfg)

    with torch.inference_mode():
        wanted = expected(model, start_noise(), 15, cfg)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=2e-3)


def test_both_halves_of_the_hosts_batch_get_their_own_class(pack: ModuleType) -> None:
    """The host puts positive and negative into one batch; without that it is the same."""
    seen: list[list[int]] = []

    def watch(apply: Any, arguments: dict[str, Any]) -> torch.Tensor:
        seen.append(list(arguments["cond_or_uncond"]))
        return apply(arguments["input"], arguments["timestep"], **arguments["c"])

    def alone(apply: Any, arguments: dict[str, Any]) -> torch.Tensor:
        parts = zip(arguments["input"], arguments["timestep"], arguments["c"]["c_crossattn"], strict=True)
        return torch.cat(
            [apply(x[None], t[None], **{**arguments["c"], "c_crossattn": own[None]}) for x, t, own in parts]
        )

    together, apart = of(pack), of(pack)
    together.set_model_unet_function_wrapper(watch)
    apart.set_model_unet_function_wrapper(alone)
    pair = cond(pack, "hearts"), cond(pack, "faces")

    found = guided(together, *pair, 4.0)
    assert all(sorted(halves) == [0, 1] for halves in seen) and len(seen) == len(SIGMAS) - 1
    torch.testing.assert_close(found, guided(apart, *pair, 4.0), rtol=1e-3, atol=2e-3)
    assert not torch.allclose(found, guided(together, *reversed(pair), 4.0), atol=0.5)


def test_ksampler_takes_it_as_any_model(pack: ModuleType) -> None:
    import nodes

    with torch.inference_mode():
        (drawn,) = nodes.common_ksampler(
            of(pack), 1, 12, 5.0, "dpmpp_2m", "karras", cond(pack, "faces"), cond(pack, "anything"), latent(4)
        )
        pictures = pack.DemoImage.execute(drawn)[0]

    assert pictures.shape == (4, 256, 256, 3)
    assert 0 <= pictures.min() < pictures.max() <= 1
    assert (pictures[:, :16, :16].mean((1, 2, 3)) > 0.8).all(), "the page is white"
    red, green, blue = pictures[:, 96:160, 96:160].mean((1, 2)).unbind(1)
    assert (red > blue + 0.2).all() and (green > blue).all(), "and a face is yellow"


def test_an_emptied_conditioning_is_anything(pack: ModuleType) -> None:
    import nodes

    emptied = nodes.ConditioningZeroOut().zero_out(cond(pack, "animals"))[0]
    torch.testing.assert_close(emptied[0][0], cond(pack, "anything")[0][0])


def test_a_mean_of_two_classes_is_between_them(pack: ModuleType) -> None:
    import nodes

    model, x = of(pack), torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    first, second = cond(pack, "plants"), cond(pack, "sky")
    mixed = nodes.ConditioningAverage().addWeighted(first, second, 0.5)[0]

    def denoised(conditioning: Any) -> torch.Tensor:
        with torch.inference_mode():
            return model.model.apply_model(4 * x, torch.tensor([4.0]), c_crossattn=conditioning[0][0])

    ends, middle = (denoised(first), denoised(second)), denoised(mixed)
    assert max((middle - end).norm() for end in ends) < (ends[0] - ends[1]).norm()


def test_another_conditioning_and_another_size_are_refused(pack: ModuleType) -> None:
    network = of(pack).model.diffusion_model
    x, t = torch.zeros(1, 3, 32, 32), torch.tensor([500.0])

    for wrong in (None, torch.zeros(1, 1, 8)):
        with pytest.raises(ValueError, match="draws a class, and got another conditioning: use HSO Demo Class"):
            network(x, t, wrong)
    with pytest.raises(ValueError, match="3 x 32 x 32, and got 3 x 64 x 64: use HSO Demo Latent"):
        network(torch.zeros(1, 3, 64, 64), t, torch.zeros(1, 1, 16))
    with pytest.raises(ValueError, match="the latents have 4 channels"):
        pack.DemoImage.execute({"samples": torch.zeros(1, 4, 32, 32)})


def test_preview_shows_the_picture(pack: ModuleType) -> None:
    from latent_preview import Latent2RGBPreviewer

    latent_format = of(pack).model.latent_format
    previewer = Latent2RGBPreviewer(latent_format.latent_rgb_factors, latent_format.latent_rgb_factors_bias)
    colours = torch.tensor([[1.0, 1.0, 1.0], [0.9, 0.2, 0.1]])
    mean = torch.tensor(sys.modules["hso_demo.emoji_network"].sd_unet.MEAN)
    latents = ((colours - mean) / sys.modules["hso_demo.emoji_network"].sd_unet.DEVIATION).T.reshape(1, 3, 1, 2)

    picture = previewer.decode_latent_to_preview(latents)
    assert min(picture.getpixel((0, 0))) >= 253
    assert picture.getpixel((1, 0)) == pytest.approx((229, 51, 25), abs=2)
