"""API-format workflows on the demonstration network, and the latents that they save.

A workflow is a dict of nodes by id. Every function makes a fresh one, so that a test may change what it gets:
galaxy_nodes() has the network ("model") and the empty latents ("latent"); the other functions add to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_server import ComfyServer

Prompt = dict[str, dict[str, Any]]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """One node of a workflow; a linked input is a list [node id, index of the output]."""
    return {"class_type": class_type, "inputs": inputs}


def galaxy_nodes(batch_size: int = 4) -> Prompt:
    """The network ("model": MODEL, CONDITIONING) and empty latents for it ("latent")."""
    return {"model": node("HSODemoModel"), "latent": node("HSODemoLatent", batch_size=batch_size)}


MEASURED = {
    "model": ["model", 0],
    "positive": ["model", 1],
    "negative": ["model", 1],
    "latent_image": ["latent", 0],
    "cfg": 1.0,
    "sampler_name": "dpmpp_2m",
}
"""What a node that measures schedules takes of `galaxy_nodes`, with cfg and sampler."""


def ksampler_prompt(
    sampler: str = "dpmpp_2m",
    scheduler: str = "karras",
    steps: int = 20,
    *,
    cfg: float = 1.0,
    denoise: float = 1.0,
    seed: int = 1,
    batch_size: int = 4,
) -> Prompt:
    """KSampler ("sample") on the network; the result is saved by "save"."""
    sample = node(
        "KSampler",
        model=["model", 0],
        positive=["model", 1],
        negative=["model", 1],
        latent_image=["latent", 0],
        seed=seed,
        steps=steps,
        cfg=cfg,
        sampler_name=sampler,
        scheduler=scheduler,
        denoise=denoise,
    )
    return {**galaxy_nodes(batch_size), "sample": sample, **save_latent("sample")}


def sampler_custom_prompt(
    sigmas: dict[str, Any], sampler: str = "dpmpp_2m", *, cfg: float = 1.0, seed: int = 1, batch_size: int = 4
) -> Prompt:
    """SamplerCustom ("sample") with the node `sigmas` ("sigmas", output 0), which may use ["model", 0]."""
    sample = node(
        "SamplerCustom",
        model=["model", 0],
        add_noise=True,
        noise_seed=seed,
        cfg=cfg,
        positive=["model", 1],
        negative=["model", 1],
        sampler=["sampler", 0],
        sigmas=["sigmas", 0],
        latent_image=["latent", 0],
    )
    return {
        **galaxy_nodes(batch_size),
        "sampler": node("KSamplerSelect", sampler_name=sampler),
        "sigmas": sigmas,
        "sample": sample,
        **save_latent("sample"),
    }


def guider_prompt(sigmas: dict[str, Any], sampler: str = "dpmpp_2m", *, seed: int = 1, batch_size: int = 4) -> Prompt:
    """SamplerCustomAdvanced ("sample") with the node `sigmas` ("sigmas", output 0), which may use ["model", 0]."""
    sample = node(
        "SamplerCustomAdvanced",
        noise=["noise", 0],
        guider=["guider", 0],
        sampler=["sampler", 0],
        sigmas=["sigmas", 0],
        latent_image=["latent", 0],
    )
    return {
        **galaxy_nodes(batch_size),
        "noise": node("RandomNoise", noise_seed=seed),
        "guider": node("BasicGuider", model=["model", 0], conditioning=["model", 1]),
        "sampler": node("KSamplerSelect", sampler_name=sampler),
        "sigmas": sigmas,
        "sample": sample,
        **save_latent("sample"),
    }


def basic_scheduler(scheduler: str = "karras", steps: int = 20, denoise: float = 1.0) -> dict[str, Any]:
    """Core's BasicScheduler on the network."""
    return node("BasicScheduler", model=["model", 0], scheduler=scheduler, steps=steps, denoise=denoise)


def optimize_schedule(steps: int = 5, denoise: float = 1.0, start: str = "auto", **advanced: Any) -> dict[str, Any]:
    """Scheduler (HSO) on the network."""
    return node("HSOOptimizeSchedule", model=["model", 0], steps=steps, denoise=denoise, start=start, **advanced)


def custom_sigmas(text: str = "", steps: int = 0, resampling: str = "log-linear", **links: Any) -> dict[str, Any]:
    """Custom Sigmas (HSO); links: sigmas, model."""
    return node("HSOCustomSigmas", text=text, steps=steps, resampling=resampling, **links)


def hso_ksampler_prompt(
    sigmas: dict[str, Any], sampler: str = "dpmpp_2m", *, cfg: float = 1.0, seed: int = 1, batch_size: int = 4
) -> Prompt:
    """KSampler (HSO) ("sample") with the node `sigmas` ("sigmas", output 0)."""
    sample = node(
        "HSOKSampler",
        model=["model", 0],
        positive=["model", 1],
        negative=["model", 1],
        latent_image=["latent", 0],
        sigmas=["sigmas", 0],
        seed=seed,
        cfg=cfg,
        sampler_name=sampler,
    )
    return {**galaxy_nodes(batch_size), "sigmas": sigmas, "sample": sample, **save_latent("sample")}


def on_demo_network(prompt: Prompt) -> Prompt:
    """A workflow for a checkpoint with the network in its place, which knows no prompt, no guidance and no VAE."""
    kinds = {number: entry["class_type"] for number, entry in prompt.items()}
    (loader,) = (number for number, kind in kinds.items() if kind == "CheckpointLoaderSimple")
    put = {loader: node("HSODemoModel")}
    for number, entry in prompt.items():
        links = {name: value for name, value in entry["inputs"].items() if isinstance(value, list)}
        values = {**entry["inputs"], **({"cfg": 1.0} if "cfg" in entry["inputs"] else {})}
        for name, link in links.items():
            if kinds[link[0]] == "CLIPTextEncode":
                values[name] = [loader, 1]
            elif link == [loader, 2]:
                del values[name]
        if kinds[number] == "EmptyLatentImage":
            put[number] = node("HSODemoLatent", batch_size=entry["inputs"]["batch_size"])
        elif kinds[number] == "VAEDecode":
            put[number] = node("HSODemoImage", **values)
        elif kinds[number] not in ("CheckpointLoaderSimple", "CLIPTextEncode"):
            put[number] = node(kinds[number], **values)
    return put


def show_text(source: str, output: int = 0) -> dict[str, Any]:
    """Core's Preview as Text; what it shows is in ComfyServer.texts(entry)."""
    return node("PreviewAny", source=[source, output])


def save_latent(source: str) -> Prompt:
    """A node "save" that saves the LATENT of `source` (output 0), to be read by fetch_latents."""
    return {"save": node("SaveLatent", samples=[source, 0], filename_prefix="test")}


def fetch_latents(server: ComfyServer, entry: Mapping[str, Any]) -> Any:
    """Tensor (batch, channels, height, width), float32, that the entry's SaveLatent node wrote."""
    (file,) = server.files(entry, "latents")
    return read_latents(server.fetch(file))


def read_latents(content: bytes) -> Any:
    """The tensor in a file of SaveLatent."""
    import safetensors.torch

    return safetensors.torch.load(content)["latent_tensor"]


def sample(server: ComfyServer, prompt: Prompt) -> Any:
    """Run a workflow that saves one LATENT, and return it."""
    return fetch_latents(server, server.run(prompt))
