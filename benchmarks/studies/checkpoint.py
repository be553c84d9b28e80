"""The benchmark on a checkpoint of yours, through ComfyUI's own loaders, sampling and VAE.

    HSO_COMFYUI=/path/to/ComfyUI python -m benchmarks --checkpoint model.safetensors --prompts prompts.txt \\
        [--steps 4 5 6 8] [--sampler dpmpp_2m] [--cfg 7] [--size 512] [--reference-images FOLDER] [--features inception]

(run with the Python of that ComfyUI, from the folder of this repository). For every line of the text file one picture
is sampled with each schedule that you could select, and with the calibrated one, which is fitted to the first prompt
on other seeds. Measured is the distance to the converged latent; a sampler that draws noise has none and is refused.
With reference pictures (LAION, COCO ...) also their Frechet distance to the decoded pictures: the figure that papers
publish, from thousands of prompts and `inception`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

import host_import
import workbench
from by_path import import_path

from ..measures.distances import frechet_distance, principal_features, sliced_wasserstein
from ..measures.features import EXTRACTORS, PICTURE_ENDINGS, extractor, features_of, picture_files, pictures_in
from ..report.page import markdown

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


def prompts_in(file: Path) -> list[str]:
    """The lines of a text file that are not empty."""
    return [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()]


def load_subject(options: argparse.Namespace) -> Subject:
    """Model, prompts and VAE of a checkpoint, as the loader node of the host loads them."""
    import comfy.sd

    prompts = prompts_in(options.prompts)
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
    return pack("nodes.measuring.inputs").open_run(subject.latent, cfg, sampler, model=subject.model, **conds)


def schedules(subject: Subject, sampler: str, steps: int, cfg: float, budget: int) -> dict[str, Tensor]:
    """All that the user could select, and the calibrated one, fitted to the first prompt."""
    run = run_on(subject, 0, sampler, cfg)
    noise = pack("nodes.host").noise_schedule(subject.model)
    found = pack("nodes.measuring.inputs").selectable_schedules(subject.model, steps, run.sampler)
    reference_run = pack("nodes.measuring.sampler_traits").reference_for(run)
    calibrate = pack("hso_core.calibration").calibrate
    fitted = calibrate(run, reference_run, found, steps, noise, budget, first_seed=CALIBRATION_SEED)
    return {**found, "calibrated": fitted.sigmas}


def check_sampler(subject: Subject, sampler: str, cfg: float) -> None:
    """Raises ValueError for a sampler that the Calibrate node refuses: it draws noise, or chooses its own steps."""
    pack("nodes.measuring.sampler_traits").check_sampler(run_on(subject, 0, sampler, cfg))


def sample(subject: Subject, sampler: str, cfg: float, sigmas: Tensor | None) -> tuple[Tensor, float]:
    """Latents (prompts, ...) of every prompt from its own seed, and evaluations each; None: the converged ones."""
    latents, evaluations = [], 0
    noise = pack("nodes.host").noise_schedule(subject.model)
    many = pack("hso_core.calibration.reference").reference_sigmas(noise, REFERENCE_STEPS)
    for i in range(len(subject.positives)):
        run = run_on(subject, i, sampler, cfg)
        if sigmas is None:
            run = pack("nodes.measuring.sampler_traits").reference_for(run)
        result = run(many if sigmas is None else sigmas, [FIRST_SEED + i])
        latents.append(result.latents)
        evaluations += result.evaluations
    return torch.cat(latents), evaluations / len(subject.positives)


def decode(subject: Subject, latents: Tensor) -> list[Tensor]:
    """Pictures (height, width, 3) of latents in the model's own space."""
    outside = subject.model.model.process_latent_out(latents)
    with torch.inference_mode():
        return [subject.vae.decode(latent[None])[0].cpu().clone() for latent in outside]


class Target:
    """The converged latents of every prompt, which all schedules are measured against, and their features."""

    def __init__(
        self, subject: Subject, sampler: str, cfg: float, reference_features: Tensor | None = None, extract: Any = None
    ) -> None:
        self._subject, self._sampler = subject, sampler
        self._reference, self._extract = reference_features, extract
        self._latents, self._evaluations = sample(subject, sampler, cfg, None)
        self._components = principal_features(self._latents, min(16, len(self._latents)))
        self._features = self._components(self._latents)

    def own_row(self) -> dict[str, Any]:
        return self.row(CONVERGED, REFERENCE_STEPS, self._latents, self._evaluations)

    def row(self, method: str, steps: int, latents: Tensor, evaluations: float) -> dict[str, Any]:
        """What results.json has of a schedule; `fid` with reference features."""
        errors = (latents - self._latents).flatten(1).double().square().mean(1).sqrt()
        row = {
            "model": self._subject.name,
            "solver": self._sampler,
            "steps": steps,
            "method": method,
            "rmse_mean": float(errors.mean()),
            "rmse_median": float(errors.quantile(0.5)),
            "rmse_p95": float(errors.quantile(0.95)),
            "swd": sliced_wasserstein(latents, self._latents),
            "fd": _frechet(self._components(latents), self._features),
            "evaluations": evaluations,
        }
        if self._reference is not None:
            row["fid"] = _frechet(features_of(decode(self._subject, latents), self._extract), self._reference)
        return row


def benchmark(
    subject: Subject,
    sampler: str,
    step_counts: Sequence[int],
    cfg: float,
    budget: int,
    reference_features: Tensor | None = None,
    extract: Any = None,
) -> Iterator[list[dict[str, Any]]]:
    """First the row of the converged pictures alone, then for each number of steps a row of every schedule, the best
    mean first. Raises ValueError for a sampler that the Calibrate node refuses: it has no converged picture.
    """
    check_sampler(subject, sampler, cfg)
    target = Target(subject, sampler, cfg, reference_features, extract)
    yield [target.own_row()]
    for steps in step_counts:
        every = schedules(subject, sampler, steps, cfg, budget)
        rows = [target.row(name, steps, *sample(subject, sampler, cfg, sigmas)) for name, sigmas in every.items()]
        yield sorted(rows, key=lambda row: row["rmse_mean"])


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


DEFAULTS: dict[str, Any] = {
    "reference_images": None,
    "features": "efficientnet-lite0",
    "steps": [4, 5, 6, 8],
    "sampler": "dpmpp_2m",
    "cfg": 7.0,
    "size": 512,
    "budget": 2000,
    "output": Path("output/checkpoint_benchmark.json"),
}


def add_arguments(parser: argparse.ArgumentParser, what: argparse._MutuallyExclusiveGroup) -> None:
    """--checkpoint in the group of what the program can do, and what belongs to it; see check_arguments."""
    what.add_argument("--checkpoint", type=Path, help="a checkpoint with text encoder and VAE; see checkpoint.py")
    group = parser.add_argument_group("with --checkpoint")
    group.add_argument("--prompts", type=Path, help="a text file, one prompt on each line")
    group.add_argument("--reference-images", type=Path, help="a folder of pictures for a Frechet distance")
    group.add_argument("--features", choices=list(EXTRACTORS), help=f"of pictures; default {DEFAULTS['features']}")
    group.add_argument("--steps", type=int, nargs="+", help="default 4 5 6 8")
    group.add_argument("--sampler", help=f"default {DEFAULTS['sampler']}")
    group.add_argument("--cfg", type=float, help=f"default {DEFAULTS['cfg']:g}")
    group.add_argument("--size", type=int, help=f"of the pictures, in pixels; default {DEFAULTS['size']}")
    group.add_argument("--budget", type=int, help=f"evaluations of the calibration; default {DEFAULTS['budget']}")
    group.add_argument("--output", type=Path, help=f"default {DEFAULTS['output']}")


def check_arguments(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Stops the program where options do not belong together or name no file; fills in DEFAULTS."""
    given = [name for name in ("prompts", *DEFAULTS) if getattr(options, name) is not None]
    if options.checkpoint is None:
        if given:
            parser.error(f"--{given[0].replace('_', '-')} belongs to --checkpoint")
        return
    if options.prompts is None:
        parser.error("--checkpoint and --prompts belong together")
    for file in (options.checkpoint, options.prompts):
        if not file.is_file():
            parser.error(f"there is no file {file}")
    if not prompts_in(options.prompts):
        parser.error(f"{options.prompts} holds no prompts: write one on each line")
    if options.reference_images is not None and not picture_files(options.reference_images):
        parser.error(f"{options.reference_images} holds no pictures ({', '.join(sorted(PICTURE_ENDINGS))})")
    for name in DEFAULTS.keys() - set(given):
        setattr(options, name, DEFAULTS[name])
    if min(options.steps) < 1:
        parser.error("--steps must be 1 or more")


def main(options: argparse.Namespace) -> int:
    import_host_for_use()
    extract = reference = None
    if options.reference_images:
        extract = extractor(options.features)
        reference = features_of(pictures_in(options.reference_images), extract)
    subject = load_subject(options)
    try:
        check_sampler(subject, options.sampler, options.cfg)
    except ValueError as error:
        print(f"--sampler {options.sampler}: {error}", file=sys.stderr)
        return 2
    found = []
    for rows in benchmark(subject, options.sampler, options.steps, options.cfg, options.budget, reference, extract):
        steps = f"{rows[0]['steps']} steps"
        print(f"\n### {subject.name}, {options.sampler}, {steps}, {len(subject.positives)} prompts\n")
        print(table(rows), flush=True)
        found += rows
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0
