"""The emoji networks as generators: what they draw at guidance 1, 3 and 7.5, and how far that is from real pictures.

    .venv/bin/python -m benchmarks.studies.emoji_networks [--samples 400] [--grid-only]

Writes docs/sd_unet.png and docs/sd_unet.md. The Frechet distance needs the packages that measures/features.py names.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors import safe_open
from torch import Tensor

from .. import REPOSITORY
from ..measures.distances import frechet_distance, principal_features
from ..measures.features import Extractor, extractor
from ..models import sd_unet
from ..models.catalogue import SD_GUIDANCE, sd_network
from ..models.emoji import as_latents, emoji_table
from ..models.reference import SOLVER, fine_sigmas
from ..models.solvers import SolverRun
from ..report.page import markdown

PICTURE = REPOSITORY / "docs" / "sd_unet.png"
PAGE = PICTURE.with_suffix(".md")
GUIDANCES = (1.0, 3.0, SD_GUIDANCE)
STEPS = 40
GRID_SEEDS, FIRST_SEED = range(400_000, 400_003), 410_000
SCALE, GAP, TITLE = 2, 4, 14
FEATURES, FEATURE_SIDE, COMPONENTS = "efficientnet-lite0", 64, 64
NOISE = 0.1
"""Of the training pictures in the row that gives the distances a scale, in grey levels of 0..1."""
PREDICTIONS = {"eps": "noise prediction", "v": "velocity prediction, terminal SNR zero"}


def drawn(prediction: str, label: int, guidance: float, seeds: Sequence[int]) -> Tensor:
    """Pictures (n, 32, 32, 3) in 0..1 of one class, after so many steps that more would change little."""
    model = sd_network("emoji", prediction, label, guidance, "")
    return sd_unet.pictures(SolverRun(model, SOLVER)(fine_sigmas(model.noise, STEPS), seeds).latents)


def trained() -> list[str]:
    """The predictions whose weights are there."""
    return [name for name, file in sd_unet.WEIGHTS.items() if file.is_file()]


# -- the picture -------------------------------------------------------------------------------------------------------


def grid(predictions: Sequence[str]) -> Image.Image:
    """A block of pictures for each network and guidance: a column for each class, a row for each seed."""
    side, rows = SCALE * sd_unet.SIDE, len(GRID_SEEDS)
    blocks = [(prediction, guidance) for prediction in predictions for guidance in GUIDANCES]
    width, height = len(sd_unet.CLASSES) * side, rows * side + TITLE + GAP
    page = Image.new("RGB", (width, TITLE + len(blocks) * height), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(10)
    for column, name in enumerate(sd_unet.CLASSES):
        pen.text((column * side + 4, 1), name, "black", font)
    for block, (prediction, guidance) in enumerate(blocks):
        top = TITLE + block * height
        pen.text((4, top + 1), f"{PREDICTIONS[prediction]}, guidance {guidance:g}", "black", font)
        for label in range(len(sd_unet.CLASSES)):
            for row, picture in enumerate(drawn(prediction, label, guidance, GRID_SEEDS)):
                small = Image.fromarray((255 * picture).round().byte().numpy())
                page.paste(
                    small.resize((side, side), Image.Resampling.NEAREST), (label * side, top + TITLE + row * side)
                )
    return page


# -- the distances -----------------------------------------------------------------------------------------------------


def real_pictures() -> tuple[Tensor, Tensor, Tensor]:
    """The pictures as the network knows them (n, 32, 32, 3) in 0..1, their labels, and which are held out."""
    pictures, labels, held_out = emoji_table()
    return sd_unet.pictures(as_latents(pictures.float() / 255)), labels, held_out


def like_the_training_pictures(prediction: str, guidance: float, labels: Tensor, count: int) -> Tensor:
    """About `count` pictures, of every class the same share as among `labels`."""
    parts, seed = [], FIRST_SEED
    for label, known in enumerate(labels.bincount(minlength=len(sd_unet.CLASSES)).tolist()):
        wanted = math.ceil(count * known / len(labels))
        parts.append(drawn(prediction, label, guidance, range(seed, seed + wanted)))
        seed += wanted
    return torch.cat(parts)


def nearest(pictures: Tensor, training: Tensor) -> float:
    """Median RMSE to the nearest of the training pictures and their mirror images; 0 would be copies."""
    known = torch.cat([training, training.flip(2)]).flatten(1)
    return float(torch.cdist(pictures.flatten(1), known).min(1).values.median() / math.sqrt(known.shape[1]))


def distances(extract: Extractor, predictions: Sequence[str], count: int) -> list[tuple[str, str, str, str]]:
    """Rows: what, how many, Frechet distance to the held-out pictures, distance to the nearest training picture."""
    real, labels, held_out = real_pictures()
    training, others = real[~held_out], real[held_out]

    def features(pictures: Tensor) -> Tensor:
        return torch.cat([extract(part) for part in pictures.split(32)])

    leading = principal_features(features(training), COMPONENTS)
    of_others = leading(features(others))

    def row(what: str, pictures: Tensor) -> tuple[str, str, str, str]:
        found = frechet_distance(leading(features(pictures)), of_others)
        near = "–" if pictures is some else f"{nearest(pictures, training):.3f}"
        print(what, f"{found:.1f}", near, flush=True)
        return what, f"{len(pictures)}", f"{found:.1f}", near

    generator = torch.Generator().manual_seed(1)
    some = training[torch.randperm(len(training), generator=generator)[:count]]
    noise = torch.randn(some.shape, generator=generator)
    rows = [row("training pictures (the floor)", some)]
    rows += [row(f"the same with noise of {NOISE:g}", (some + NOISE * noise).clamp(0, 1))]
    for prediction in predictions:
        for guidance in GUIDANCES:
            pictures = like_the_training_pictures(prediction, guidance, labels[~held_out], count)
            rows.append(row(f"{PREDICTIONS[prediction]}, guidance {guidance:g}", pictures))
    return [*rows, ("held-out pictures", f"{len(others)}", "0", f"{nearest(others, training):.3f}")]


# -- the page ----------------------------------------------------------------------------------------------------------


def page(predictions: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    sizes = ", ".join(f"{sd_unet.WEIGHTS[name].stat().st_size / 1e6:.1f} MB" for name in predictions)
    table = markdown(("pictures", "number", "Frechet distance", "to the nearest training picture"), rows)
    facts = "\n".join(f"- {PREDICTIONS[name]}: {_training(sd_unet.WEIGHTS[name])}" for name in predictions)
    parts = (f"{TEXT.format(sizes=sizes)}\n{facts}", f"![Samples of every class]({PICTURE.name})", SEEN, FOUND, table)
    return "\n\n".join(parts) + "\n"


def _training(weights: Path) -> str:
    with safe_open(weights, "pt") as file:
        about = file.metadata()
    return "seed {seed}, {steps} steps, {date}, mean squared error of the velocity {loss}".format(**about)


TEXT = """# The emoji networks

Two small U-Nets that this repository trained itself, for a benchmark in the regime of Stable Diffusion: pictures in
colour, 32 x 32; betas of Stable Diffusion; a class as the prompt, and no particular class as the empty one, for
classifier-free guidance. `benchmarks/models/train_sd_unet.py` trains them on Google's emoji (Apache-2.0) as the
package emoji-datasource-google 16.0.0 has them, one in ten held out. The weights lie beside it ({sizes}, float16):
"""
FOUND = f"""`python -m benchmarks.studies.emoji_networks` writes this page. Pictures after {STEPS} steps of {SOLVER},
every class as often as among the training pictures. Frechet distance to the held-out pictures, in the {COMPONENTS}
leading principal components of {FEATURES}'s features (at {FEATURE_SIDE} pixels) of the training pictures. Last column:
the median RMSE (in grey levels of 0..1) to the nearest training picture or its mirror image."""
SEEN = """What the eye sees: faces, people, hands, hearts, clocks, symbols and flags can be told, nearly always from a
guidance of 3 on; food, clothes, objects, vehicles and places are blots of the right colours. Detail is missing, and
specks of noise are left on the white page. The networks are small and were trained for about an hour on half a CPU
core: they serve to compare schedules, not to make emoji. (The picture has 256 colours; its greens are duller than
those that are drawn.)"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=400, help="pictures a network and guidance")
    parser.add_argument("--grid-only", action="store_true", help="only docs/sd_unet.png")
    return parser.parse_args(arguments)


def main(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    predictions = trained()
    grid(predictions).quantize(256, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    print(f"Wrote {PICTURE}.", flush=True)
    if not options.grid_only:
        rows = distances(extractor(FEATURES, FEATURE_SIDE), predictions, options.samples)
        PAGE.write_text(page(predictions, rows), "utf-8")
        print(f"Wrote {PAGE}.")


if __name__ == "__main__":
    main(parse())
