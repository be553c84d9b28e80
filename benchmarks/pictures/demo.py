"""What few steps cost on a real network: galaxies with every scheduler, against the converged picture.

    .venv/bin/python -P benchmarks/pictures/demo.py [--folder docs] [--no-table]

Starts ComfyUI with the demonstration network and samples it through KSampler, so every scheduler runs as users run it.
Writes two grids of pictures, a column for each seed: before_after.png has the scheduler of a fresh KSampler and hso,
galaxies.png hso and the built-in schedulers that come closest. Prints Markdown tables of the distance (RMSE over a
latent) to the converged picture: 100 steps of dpmpp_2m with karras.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import torch  # noqa: E402
from PIL import Image, ImageDraw, ImageFont  # noqa: E402
from torch import Tensor  # noqa: E402

import demo_prompts  # noqa: E402
import workbench  # noqa: E402
from comfy_server import ComfyServer  # noqa: E402

OWN, BUILT_INS_SHOWN = "hso", 4
FRESH = "simple"  # what a new KSampler has
SHOWN_SAMPLER, SHOWN_STEPS, COLUMNS = "dpmpp_2m", 5, 6
SAMPLERS, STEPS = ("dpmpp_2m", "euler"), (4, 5, 6, 8)
CONVERGED = ("dpmpp_2m", "karras", 100)
PICTURES = 64
SEED = 1

TILE, GAP, LABEL, HEAD = 128, 6, 176, 58
BACKGROUND, TEXT, FAINT = (16, 17, 24), (235, 235, 240), (150, 152, 165)

Row = tuple[tuple[str, str], Sequence[Image.Image]]  # its name and a line below it, its pictures


def start_server() -> ComfyServer:
    return ComfyServer(
        workbench.node_packs(),
        environment={workbench.WEIGHTS_VARIABLE: str(workbench.demo_weights()), "OMP_NUM_THREADS": "1"},
    )


def schedulers(server: ComfyServer) -> list[str]:
    """The scheduler list of KSampler."""
    definition = server.object_info("KSampler")["input"]["required"]["scheduler"]
    return definition[0] if isinstance(definition[0], list) else definition[1]["options"]


def sample(server: ComfyServer, sampler: str, scheduler: str, steps: int) -> Tensor:
    """Latents (PICTURES, 1, 32, 32), each from its own noise; the same noise for every scheduler."""
    prompt = demo_prompts.ksampler_prompt(sampler, scheduler, steps, seed=SEED, batch_size=PICTURES)
    return demo_prompts.sample(server, prompt)


def draw(server: ComfyServer, sampler: str, scheduler: str, steps: int) -> list[Image.Image]:
    """The first COLUMNS of those latents as pictures, coloured by the demonstration's own node."""
    prompt = demo_prompts.ksampler_prompt(sampler, scheduler, steps, seed=SEED, batch_size=PICTURES)
    del prompt["save"]
    prompt["picture"] = demo_prompts.node("HSODemoImage", samples=["sample", 0])
    prompt["few"] = demo_prompts.node("ImageFromBatch", image=["picture", 0], batch_index=0, length=COLUMNS)
    prompt["show"] = demo_prompts.node("PreviewImage", images=["few", 0])
    return [Image.open(io.BytesIO(server.fetch(file))) for file in server.files(server.run(prompt))]


def distances(pictures: Tensor, converged: Tensor) -> Tensor:
    """RMSE of each picture (n,)."""
    return (pictures - converged).square().mean(dim=(1, 2, 3)).sqrt()


def measure(server: ComfyServer, converged: Tensor, sampler: str, steps: int) -> dict[str, Tensor]:
    """The distances (n,) of every scheduler, the smallest mean first."""
    errors = {name: distances(sample(server, sampler, name, steps), converged) for name in schedulers(server)}
    return dict(sorted(errors.items(), key=lambda item: float(item[1].mean())))


def write_grids(server: ComfyServer, converged: Tensor, folder: Path) -> None:
    """Rows for the converged pictures and for some schedulers with their mean distances."""
    errors = measure(server, converged, SHOWN_SAMPLER, SHOWN_STEPS)
    truth = (("converged", f"{CONVERGED[2]} steps"), draw(server, *CONVERGED))

    def row(name: str, label: str | None = None) -> Row:
        label = label or f"mean RMSE {errors[name].mean():.3f}"
        return (name, label), draw(server, SHOWN_SAMPLER, name, SHOWN_STEPS)

    built_ins = [name for name in errors if name != OWN][:BUILT_INS_SHOWN]
    heading = f"{SHOWN_STEPS} steps of {SHOWN_SAMPLER}, the same {COLUMNS} seeds with each scheduler"
    note = f"RMSE to the converged picture, mean over {PICTURES} seeds; smaller is better"
    closest = [row(name) for name in errors if name == OWN or name in built_ins]
    write(grid(heading, note, [truth, *closest]), folder / "galaxies.png")
    before, after = (row(name, f"{SHOWN_STEPS} steps") for name in (FRESH, OWN))
    heading = f"The same {COLUMNS} pictures, before and after"
    note = f"Distance to the one of {CONVERGED[2]} steps: {errors[FRESH].mean():.3f} with the scheduler of a new "
    note += f"KSampler, {errors[OWN].mean():.3f} with hso (mean RMSE over {PICTURES} seeds, {SHOWN_SAMPLER})"
    write(grid(heading, note, [before, after, truth]), folder / "before_after.png")


def write(picture: Image.Image, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"Wrote {file} ({file.stat().st_size / 1024:.0f} kB).")


def grid(heading: str, note: str, rows: Sequence[Row]) -> Image.Image:
    """Rows of pictures, each with a name and a line below it at its left; one heading for all."""
    size = LABEL + COLUMNS * (TILE + GAP) + GAP, HEAD + len(rows) * (TILE + GAP) + GAP
    canvas = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    large, small = ImageFont.load_default(20), ImageFont.load_default(14)
    pen.text((14, 10), heading, TEXT, large)
    pen.text((14, 36), note, FAINT, small)
    for i, ((name, line), pictures) in enumerate(rows):
        top = HEAD + GAP + i * (TILE + GAP)
        pen.text((14, top + TILE // 2 - 24), name, TEXT, large)
        pen.text((14, top + TILE // 2 + 4), line, FAINT, small)
        for j, picture in enumerate(pictures):
            tile = picture.convert("RGB").resize((TILE, TILE), Image.Resampling.LANCZOS)
            canvas.paste(tile, (LABEL + GAP + j * (TILE + GAP), top))
    return canvas


def print_tables(server: ComfyServer, converged: Tensor) -> None:
    """Mean and median distance for each scheduler and number of steps; one table for each sampler."""
    print(
        f"RMSE to the converged picture ({' '.join(map(str, CONVERGED))} steps) over {PICTURES} seeds: mean / median."
    )
    print("KSampler runs 7 steps where ddim_uniform is asked for 6.")
    for sampler in SAMPLERS:
        print(f"\n### {sampler}\n\n| scheduler | {' | '.join(f'{n} steps' for n in STEPS)} |")
        print("|---" * (len(STEPS) + 1) + "|")
        columns = [measure(server, converged, sampler, n) for n in STEPS]
        for scheduler in schedulers(server):
            cells = [cell(errors[scheduler], scheduler == next(iter(errors))) for errors in columns]
            print(f"| {scheduler} | {' | '.join(cells)} |", flush=True)


def cell(errors: Tensor, is_best: bool) -> str:
    text = f"{errors.mean():.3f} / {torch.quantile(errors, 0.5):.3f}"
    return f"**{text}**" if is_best else text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "docs")
    parser.add_argument("--no-table", action="store_true", help="only the pictures")
    options = parser.parse_args()
    with start_server() as server:
        converged = sample(server, *CONVERGED)
        write_grids(server, converged, options.folder)
        if not options.no_table:
            print_tables(server, converged)


if __name__ == "__main__":
    main()
