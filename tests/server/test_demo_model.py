"""The demonstration network behaves as a checkpoint does: every core way of sampling it gives galaxies."""

from __future__ import annotations

import asyncio
import io
import struct

import aiohttp
import pytest
import torch
from PIL import Image

import demo_prompts
from comfy_server import PATIENCE, ComfyServer, PromptFailed, PromptRejected

PREVIEW_IMAGE, JPEG = 1, 1


def assert_galaxies(latents: torch.Tensor) -> None:
    """Dark sky at the border, a source in the middle of each picture, and the brightness of the training data.

    A wrong network, schedule or sampler fails: noise has a bright border, a constant has no centre.
    """
    assert torch.isfinite(latents).all()
    border = torch.cat([latents[:, 0, :3].flatten(1), latents[:, 0, -3:].flatten(1)], dim=1)
    centre = latents[:, 0, 10:22, 10:22]
    assert border.abs().mean() < 0.1
    assert (centre.amax(dim=(1, 2)) > 1.5).all()
    assert 0.3 < latents.std() < 1.2
    assert latents.amax() < 12


def test_ksampler_gives_galaxies(server: ComfyServer) -> None:
    latents = demo_prompts.sample(server, demo_prompts.ksampler_prompt(batch_size=16))

    assert latents.shape == (16, 1, 32, 32)
    assert_galaxies(latents)
    assert torch.pdist(latents.flatten(1)).min() > 1  # sixteen different ones


@pytest.mark.parametrize("scheduler", ["normal", "simple", "exponential", "sgm_uniform", "beta", "kl_optimal"])
def test_every_kind_of_core_scheduler_reads_the_networks_table(server: ComfyServer, scheduler: str) -> None:
    assert_galaxies(demo_prompts.sample(server, demo_prompts.ksampler_prompt("euler", scheduler, 25)))


def test_guidance_between_equal_conditionings_changes_nothing(server: ComfyServer) -> None:
    plain = demo_prompts.sample(server, demo_prompts.ksampler_prompt(cfg=1.0))
    guided = demo_prompts.sample(server, demo_prompts.ksampler_prompt(cfg=7.5))

    torch.testing.assert_close(guided, plain, rtol=1e-3, atol=1e-3)


def test_the_three_core_samplers_agree(server: ComfyServer) -> None:
    sigmas = demo_prompts.basic_scheduler()
    ksampler = demo_prompts.sample(server, demo_prompts.ksampler_prompt())
    custom = demo_prompts.sample(server, demo_prompts.sampler_custom_prompt(sigmas))
    advanced = demo_prompts.sample(server, demo_prompts.guider_prompt(sigmas))

    torch.testing.assert_close(custom, ksampler)
    torch.testing.assert_close(advanced, ksampler)


def test_denoise_keeps_a_picture_and_its_neighbourhood(server: ComfyServer) -> None:
    """Half-way noise on a finished galaxy gives a galaxy again, closer to the first than another one is."""
    prompt = demo_prompts.ksampler_prompt(batch_size=4)
    first = demo_prompts.sample(server, prompt)
    again = demo_prompts.ksampler_prompt(denoise=0.3, seed=2)["sample"]
    again["inputs"]["latent_image"] = ["sample", 0]
    second = demo_prompts.sample(server, {**prompt, "again": again, **demo_prompts.save_latent("again")})

    assert_galaxies(second)
    change = (second - first).flatten(1).norm(dim=1)
    other = (first.roll(1, dims=0) - first).flatten(1).norm(dim=1)
    assert (change > 1e-2).all()
    assert change.mean() < other.mean()


def test_core_empty_latent_image_of_the_right_size_is_taken(server: ComfyServer) -> None:
    prompt = demo_prompts.ksampler_prompt()
    prompt["latent"] = demo_prompts.node("EmptyLatentImage", width=256, height=256, batch_size=4)

    assert_galaxies(demo_prompts.sample(server, prompt))


def test_another_size_is_refused_with_advice(server: ComfyServer) -> None:
    prompt = demo_prompts.ksampler_prompt()
    prompt["latent"] = demo_prompts.node("EmptyLatentImage", width=512, height=512, batch_size=1)

    with pytest.raises(PromptFailed, match="1 x 32 x 32, and got 1 x 64 x 64: use HSO Demo Latent") as failure:
        server.run(prompt)
    assert failure.value.node_id == "sample"


def test_validation_names_the_node_and_the_input(server: ComfyServer) -> None:
    prompt = demo_prompts.ksampler_prompt()
    prompt["latent"]["inputs"]["batch_size"] = 0

    with pytest.raises(PromptRejected, match="batch_size") as refusal:
        server.queue(prompt)
    assert set(refusal.value.node_errors) == {"latent"}


def test_image_node_shows_each_galaxy_enlarged_on_a_dark_sky(server: ComfyServer) -> None:
    prompt = demo_prompts.ksampler_prompt(batch_size=3)
    prompt["image"] = demo_prompts.node("HSODemoImage", samples=["sample", 0])
    prompt["picture"] = demo_prompts.node("SaveImage", images=["image", 0], filename_prefix="test")
    entry = server.run(prompt)
    pictures = [Image.open(io.BytesIO(server.fetch(file))) for file in server.files(entry)]

    assert [picture.size for picture in pictures] == [(256, 256)] * 3
    for picture in pictures:
        brightness = picture.convert("L")
        assert brightness.getpixel((4, 4)) < 20
        assert brightness.crop((80, 80, 176, 176)).getextrema()[1] > 100


@pytest.mark.parametrize(
    "prompt",
    [
        demo_prompts.ksampler_prompt(seed=11, batch_size=1),
        demo_prompts.hso_ksampler_prompt(demo_prompts.optimize_schedule(8), seed=11, batch_size=1),
    ],
    ids=["KSampler", "KSampler (HSO)"],
)
def test_previews_become_the_galaxy(server: ComfyServer, prompt: demo_prompts.Prompt) -> None:
    """Latent2RGB previews arrive while sampling; the last one is dark at the corner and bright in the middle."""
    previews = asyncio.run(_previews(server, prompt))

    assert len(previews) >= 2
    last = previews[-1].convert("L")
    width, height = last.size
    middle = last.crop((width // 3, height // 3, 2 * width // 3, 2 * height // 3))
    assert last.getpixel((1, 1)) < 40
    assert middle.getextrema()[1] > 80


async def _previews(server: ComfyServer, prompt: demo_prompts.Prompt) -> list[Image.Image]:
    """The preview pictures that a connected page is sent while the prompt runs."""
    pictures = []
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.url}/ws?clientId=test") as socket:
        prompt_id = await asyncio.to_thread(lambda: server.queue(prompt, client_id="test"))
        while True:
            message = await socket.receive(timeout=PATIENCE)
            if message.type is aiohttp.WSMsgType.BINARY:
                kind, picture_format = struct.unpack(">II", message.data[:8])
                if (kind, picture_format) == (PREVIEW_IMAGE, JPEG):
                    pictures.append(Image.open(io.BytesIO(message.data[8:])))
            elif _is_end(message.json(), prompt_id):
                return pictures


def _is_end(message: dict, prompt_id: str) -> bool:
    data = message.get("data", {})
    return message["type"] == "executing" and data.get("node") is None and data.get("prompt_id") == prompt_id
