"""Compare Schedulers: how far the pictures of several schedules are from the converged one, on the user's own model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from comfy_api.v0_0_2 import io
from PIL import Image
from torch import Tensor

from ...hso_core.calibration.compare import REFERENCE_STEPS, Comparison, compare
from .. import host
from ..pictures.comparison import Bar, draw_bars, draw_grid
from ..pictures.drawing import THEMES
from ..pictures.latents import pictures
from ..pictures.plot_data import plot_ui
from ..pictures.plot_node import Schedules
from .inputs import (
    check_guider,
    denoise_widget,
    distilled_warning,
    limits,
    open_run,
    picture_start,
    sampling_sockets,
    sampling_widgets,
    seed_widget,
    widget_numbers,
)
from .run import cancelled_as_comfyui_does
from .sampler_traits import reference_for
from .selection import ALL, Selection

logger = logging.getLogger(__name__)

NAME = "Compare Schedulers (HSO)"
SCHEDULES, SAMPLERS = tuple(f"schedule_{k}" for k in range(1, 5)), ("sampler_1", "sampler_2")
MOST_COLUMNS, MOST_ROWS, MOST_CURVES = 6, 24, 8


class CompareSchedules(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="HSOCompareSchedules",
            name=NAME,
            category=host.category_of("SplitSigmas"),
            description="Samples the same seeds with several schedulers on your model, and measures how far each "
            "picture is from the converged one: a table, a ranking and the pictures side by side. Plot Sigmas (HSO) "
            "only draws the values.",
            aliases=["compare schedulers", "benchmark sigmas", "best scheduler", "xy plot"],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
            inputs=[
                *sampling_widgets(steps=6),
                io.String.Input(
                    "schedulers",
                    default="hso, karras, exponential, simple, beta",
                    tooltip="Names, separated by commas: hso, simple, sgm_uniform, karras, exponential, ddim_uniform, "
                    "beta, normal, linear_quadratic, kl_optimal, those that other packs add, and those of Preset "
                    f"Sigmas (HSO). {ALL}: every one that fits the model. With another sampler: dpmpp_2m karras. May "
                    "be empty if schedules are connected.",
                ),
                io.Int.Input(
                    "pictures",
                    default=4,
                    **limits("pictures"),
                    tooltip="How many seeds. From 16 on the ranking is steady.",
                ),
                seed_widget("The first seed; the others follow it."),
                io.Combo.Input("theme", options=list(THEMES), default="dark", tooltip="Colours of the two images."),
                *sampling_sockets(),
                io.Vae.Input("vae", optional=True, tooltip="Decodes the pictures. Without it they are rough previews."),
                *(
                    io.Sigmas.Input(name, optional=True, tooltip=f"Schedule {k} to compare, of any number of steps.")
                    for k, name in enumerate(SCHEDULES, start=1)
                ),
                Schedules.Input("more", optional=True, tooltip="Any number of schedules, from 'more' of Plot Sigmas."),
                denoise_widget(),
                *(
                    io.Sampler.Input(
                        name,
                        optional=True,
                        tooltip=f"A sampler for schedule {k} in place of sampler_name. A fitted sampler needs no "
                        f"schedule {k}: it brings its own.",
                    )
                    for k, name in enumerate(SAMPLERS, start=1)
                ),
            ],
            outputs=[
                io.String.Output(display_name="table", tooltip="The distances in Markdown, best first."),
                io.Image.Output("ranking", display_name="ranking", tooltip="The distances as bars, best first."),
                io.Image.Output("grid", display_name="pictures", tooltip="The pictures of the first seeds in a grid."),
                io.Sigmas.Output(display_name="best", tooltip="The schedule with the least mean distance."),
                io.Sampler.Output(
                    "best_sampler", display_name="best sampler", tooltip="The sampler that goes with it."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        steps: int,
        cfg: float,
        sampler_name: str,
        schedulers: str,
        pictures: int,
        seed: int,
        theme: str,
        latent_image: dict[str, Any],
        vae: Any = None,
        more: Sequence[tuple[str, Tensor]] | None = None,
        denoise: float = 1.0,
        **sockets: Any,
    ) -> io.NodeOutput:
        with host.named_errors(NAME), cancelled_as_comfyui_does():
            host.check_choice("theme", theme, THEMES)
            given = widget_numbers(steps=steps, pictures=pictures, seed=seed, denoise=denoise)
            steps, pictures, seed, denoise = given
            connected = {socket: sockets.pop(socket, None) for socket in (*SCHEDULES, *SAMPLERS)}
            run = open_run(latent_image, cfg, sampler_name, **sockets)
            model = run.guider.model_patcher
            check_guider(run.guider, steps, REFERENCE_STEPS)
            start = picture_start(model, denoise, latent_image)
            chosen = Selection(run)
            chosen.add_named(schedulers, steps, denoise)
            for pair in zip_longest(SCHEDULES, SAMPLERS):
                given = [socket for socket in pair if connected.get(socket) is not None]
                if given:
                    name = next(filter(None, map(cls._short_name, reversed(given))), given[0])
                    chosen.add_connected(name, *map(connected.get, pair))
            for name, sigmas in more or ():
                chosen.add_connected(name, sigmas)
            for odd in chosen.warnings:
                logger.warning("%s: %s", NAME, odd)
            left_out = chosen.left_out
            if not chosen.schedules:
                unfit = f"{', '.join(left_out)}: {_makes_none(steps)}; name others" if left_out else "name schedulers"
                raise ValueError(f"there is nothing to compare; {unfit}, or connect schedules")
            found = _compare(chosen, start, [seed + k for k in range(pictures)])
        ranked, remarks = found.rows, [*([_unfit(left_out, steps)] if left_out else []), *found.remarks]
        schedules, best = chosen.schedules, ranked[0].name
        grid, failure = _grid(found, chosen, vae, theme)
        remarks += [failure] if failure else []
        return io.NodeOutput(
            _table(found, chosen, remarks),
            _as_image(_ranking(found, chosen, theme)),
            _as_image(grid),
            host.sigmas_output(schedules[best]),
            chosen.sampler_of(best),
            ui=plot_ui(
                [(row.name, schedules[row.name]) for row in ranked[:MOST_CURVES]],
                noise=host.readable_noise_schedule(model),
                facts=[(row.name, f"{row.mean:.4f}") for row in ranked[:MOST_CURVES]],
                note=" ".join([distilled_warning(model), *remarks]).strip(),
            ),
        )

    @classmethod
    def _short_name(cls, socket: str) -> str:
        hidden = cls.hidden
        return host.short_name(hidden.prompt, hidden.unique_id, socket) if hidden else ""


def _unfit(names: Sequence[str], steps: int) -> str:
    return f"Left out: {', '.join(names)} ({_makes_none(steps)})."


def _makes_none(steps: int) -> str:
    return f"no schedule of {steps} steps for this model and sampler"


def _compare(chosen: Selection, start: float | None, seeds: Sequence[int]) -> Comparison:
    chosen.check()
    run = chosen.run
    return compare(
        run,
        reference_for(run),
        chosen.schedules,
        seeds,
        host.noise_schedule(run.guider.model_patcher),
        runs=chosen.runs,
        start=start,
        kept=MOST_COLUMNS,
        on_progress=host.progress_bar(),
    )


def _table(found: Comparison, chosen: Selection, remarks: Sequence[str]) -> str:
    warning = distilled_warning(chosen.run.guider.model_patcher)
    lines = [f"**{warning}**", ""] if warning else []
    lines += ["| schedule | mean | median | worst | seconds | evaluations |", "|---" * 6 + "|"]
    lines += [
        f"| {row.name.replace('|', '/')} | {row.mean:.4f} | {row.median:.4f} | {row.worst:.4f} | {row.seconds:.3g} "
        f"| {row.evaluations:g} |"
        for row in found.rows
    ]
    said = [_note(found, chosen), "Seconds and evaluations are for one picture.", *remarks]
    return "\n".join([*lines, "", " ".join(said)])


def _note(found: Comparison, chosen: Selection) -> str:
    return (
        f"RMSE of the latents to the converged picture ({found.reference_steps} steps), {chosen.usual_sampler}, "
        f"{len(found.seeds)} {'seed' if len(found.seeds) == 1 else 'seeds'}; smaller is better."
        f"{chosen.run.note}"
    )


def _ranking(found: Comparison, chosen: Selection, theme: str) -> Image.Image:
    bars = [Bar(row.name, row.mean, row.median, row.worst) for row in found.rows]
    return draw_bars(bars, title="Distance to the converged picture", note=_note(found, chosen), theme=theme)


def _grid(found: Comparison, chosen: Selection, vae: Any, theme: str) -> tuple[Image.Image, str]:
    """The pictures of the first seeds: the converged ones, then a row for each of the best schedules.

    And a sentence if the VAE fails, which is no reason to lose what was measured: previews take their place.
    """
    run, columns = chosen.run, min(len(found.seeds), MOST_COLUMNS)
    shown = [("converged", f"{found.reference_steps} steps", run.picture_of(found.reference))]
    shown += [(row.name, f"RMSE {row.mean:.4f}", run.picture_of(row.latents)) for row in found.rows[:MOST_ROWS]]
    model, failure = run.guider.model_patcher, ""
    try:
        rows = [(name, line, pictures(model, latents, vae)) for name, line, latents in shown]
    except host.CANCELLED:
        raise
    except Exception as error:
        if vae is None:
            raise
        failure = f"The vae could not decode these latents, so the pictures are rough previews: {str(error)[:200]}"
        logger.warning("%s: %s", NAME, failure)
        rows = [(name, line, pictures(model, latents)) for name, line, latents in shown]
    seeds = "the same seed" if columns == 1 else f"the same {columns} seeds"
    return draw_grid(rows, title=f"{chosen.usual_sampler}, {seeds} with each schedule", theme=theme), failure


def _as_image(picture: Image.Image) -> Tensor:
    """An IMAGE (1, height, width, 3)."""
    return torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255)[None]
