"""The benchmark on a checkpoint of yours, through ComfyUI's own loaders, sampling and VAE.

    HSO_COMFYUI=/path/to/ComfyUI python -P -m benchmarks.quality --checkpoint model.safetensors --prompts prompts.txt \\
        [--steps 4 5 6 8] [--sampler dpmpp_2m] [--cfg 7] [--size 512] [--reference-images FOLDER] [--features inception]

(run with the Python of that ComfyUI, from the folder of this repository). For every line of the text file one picture
is sampled with each schedule that you could select, and with the calibrated one, which is fitted to the first prompt
on other seeds. Measured is the distance to the converged latent. With reference pictures (LAION, COCO ...) also their
Frechet distance to the decoded pictures: the figure that papers publish, from thousands of prompts and `inception`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

import host_import
import workbench
from by_path import import_path

from .features import extractor, features_of, pictures_in
from .measures import frechet_distance, principal_features, sliced_wasserstein
from .report import markdown

REFERENCE_STEPS = 60
CALIBRATION_SEED, FIRST_SEED = 1_000_000, 0
CONVERGED = "converged"


@dataclass(frozen=True)
class Subject:
    """A MODEL with the CONDITIONINGs of the prompts, a negative one, an empty LATENT and a VAE (None: no pictures)."""

    name: str
    model: Any
    positives: Sequence[Any]
    negative: Any
    latent: dict[str, Tensor]
    vae: Any = None


def pack(module: str) -> ModuleType:
    """A module of this node pack beside the host, such as nodes.measured_sampling."""
    import_path(workbench.REPOSITORY, "hso_pack")
    return importlib.import_module(f"hso_pack.{module}")


def load_subject(options: argparse.Namespace) -> Subject:
    """Model, prompts and VAE of a checkpoint, as the loader node of the host loads them."""
    import comfy.sd

    prompts = [line.strip() for line in options.prompts.read_text("utf-8").splitlines() if line.strip()]
    if not prompts:
        raise ValueError(f"{options.prompts} holds no prompts: write one on each line")
    with torch.inference_mode():
        model, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(str(options.checkpoint))
        if clip is None:
            raise ValueError(f"{options.checkpoint.name} holds no text encoder; use a checkpoint that has one")
        positives = [clip.encode_from_tokens_scheduled(clip.tokenize(prompt)) for prompt in prompts]
        negative = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    channels = model.model.latent_format.latent_channels
    side = options.size // 8
    latent = {"samples": torch.zeros(1, channels, side, side)}
    return Subject(options.checkpoint.stem, model, positives, negative, latent, vae)


def run_on(subject: Subject, prompt: int, sampler: str, cfg: float) -> Any:
    """The SamplingRun of one of the subject's prompts."""
    conds = {"positive": subject.positives[prompt], "negative": subject.negative}
    return pack("nodes.measured_sampling").open_run(subject.latent, cfg, sampler, model=subject.model, **conds)


def schedules(subject: Subject, sampler: str, steps: int, cfg: float, budget: int) -> dict[str, Tensor]:
    """All that the user could select, and the calibrated one, fitted to the first prompt."""
    run = run_on(subject, 0, sampler, cfg)
    noise = pack("nodes.host").noise_schedule(subject.model)
    found = pack("nodes.measured_sampling").selectable_schedules(subject.model, steps, run.sampler)
    reference_run = pack("nodes.sampler_traits").reference_for(run)
    calibrate = pack("hso_core.calibration").calibrate
    fitted = calibrate(run, reference_run, found, steps, noise, budget, first_seed=CALIBRATION_SEED)
    return {**found, "calibrated": fitted.sigmas}


def sample(subject: Subject, sampler: str, cfg: float, sigmas: Tensor | None) -> tuple[Tensor, float]:
    """Latents (prompts, ...) of every prompt from its own seed, and evaluations each; None: the converged ones."""
    latents, evaluations = [], 0
    noise = pack("nodes.host").noise_schedule(subject.model)
    many = pack("hso_core.calibration.reference").reference_sigmas(noise, REFERENCE_STEPS)
    for i in range(len(subject.positives)):
        run = run_on(subject, i, sampler, cfg)
        if sigmas is None:
            run = pack("nodes.sampler_traits").reference_for(run)
        result = run(many if sigmas is None else sigmas, [FIRST_SEED + i])
        latents.append(result.latents)
        evaluations += result.evaluations
    return torch.cat(latents), evaluations / len(subject.positives)


def decode(subject: Subject, latents: Tensor) -> list[Tensor]:
    """Pictures (height, width, 3) of latents in the model's own space."""
    outside = subject.model.model.process_latent_out(latents)
    with torch.inference_mode():
        return [subject.vae.decode(latent[None])[0].cpu().clone() for latent in outside]


def benchmark(
    subject: Subject,
    sampler: str,
    steps: int,
    cfg: float,
    budget: int,
    reference_features: Tensor | None = None,
    extract: Any = None,
) -> list[dict[str, Any]]:
    """A row for each schedule, the best mean first, as results.json has them; `fid` with reference features."""
    converged, evaluations = sample(subject, sampler, cfg, None)
    components = principal_features(converged, min(16, len(converged)))
    rows = []
    every = {**schedules(subject, sampler, steps, cfg, budget), CONVERGED: None}
    for name, sigmas in every.items():
        latents, count = (converged, evaluations) if sigmas is None else sample(subject, sampler, cfg, sigmas)
        errors = (latents - converged).flatten(1).double().square().mean(1).sqrt()
        row = {
            "model": subject.name,
            "solver": sampler,
            "steps": steps if sigmas is not None else REFERENCE_STEPS,
            "method": name,
            "rmse_mean": float(errors.mean()),
            "rmse_median": float(errors.quantile(0.5)),
            "rmse_p95": float(errors.quantile(0.95)),
            "swd": sliced_wasserstein(latents, converged),
            "fd": _frechet(components(latents), components(converged)),
            "evaluations": count,
        }
        if reference_features is not None:
            row["fid"] = _frechet(features_of(decode(subject, latents), extract), reference_features)
        rows.append(row)
    return sorted(rows, key=lambda row: row["rmse_mean"])


def _frechet(features: Tensor, others: Tensor) -> float | None:
    return frechet_distance(features, others) if min(len(features), len(others)) > 1 else None


def table(rows: Sequence[dict[str, Any]]) -> str:
    columns = ["method", "rmse_mean", "rmse_median", "rmse_p95", *(["fid"] if "fid" in rows[0] else [])]
    return markdown(columns, [[_shown(row[column]) for column in columns] for row in rows])


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def import_host_for_use() -> None:
    """The host as its owner runs it: on the GPU where there is one, with its own folders."""
    sys.path.insert(0, str(workbench.host_root()))
    host_import.define_missing_torchvision_ops()
    from comfy.cli_args import args

    args.cpu = not (torch.cuda.is_available() or torch.backends.mps.is_available() or torch.xpu.is_available())
    import utils.extra_config  # noqa: F401  as main.py does: later comfy/utils.py would be found under this name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a checkpoint of yours (see checkpoint.py)")
    group.add_argument("--checkpoint", type=Path, help="a checkpoint with text encoder and VAE")
    group.add_argument("--prompts", type=Path, help="a text file, one prompt on each line")
    group.add_argument("--reference-images", type=Path, help="a folder of pictures for a Frechet distance")
    group.add_argument("--features", default="efficientnet-lite0", help="of pictures: efficientnet-lite0 or inception")
    group.add_argument("--steps", type=int, nargs="+", default=[4, 5, 6, 8])
    group.add_argument("--sampler", default="dpmpp_2m")
    group.add_argument("--cfg", type=float, default=7.0)
    group.add_argument("--size", type=int, default=512, help="of the pictures, in pixels")
    group.add_argument("--budget", type=int, default=2000, help="evaluations of the calibration")
    group.add_argument("--output", type=Path, default=Path("output/checkpoint_benchmark.json"))


def main(options: argparse.Namespace) -> int:
    import_host_for_use()
    subject = load_subject(options)
    extract = reference = None
    if options.reference_images:
        extract = extractor(options.features)
        reference = features_of(pictures_in(options.reference_images), extract)
    rows = []
    for steps in options.steps:
        found = benchmark(subject, options.sampler, steps, options.cfg, options.budget, reference, extract)
        print(f"\n### {subject.name}, {options.sampler}, {steps} steps, {len(subject.positives)} prompts\n")
        print(table(found), flush=True)
        rows += found
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    return 0
