"""Compare Schedulers: how far the pictures of several schedules are from the converged one, on the user's own model."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from comfy_api.v0_0_2 import io
from PIL import Image
from torch import Tensor

from ...hso_core.calibration.compare import REFERENCE_STEPS, ComparedSchedule, Comparison, compare
from ...hso_core.schedule.baselines import TABLES
from ...hso_core.schedule.sigmas import SigmasError, check_sigmas
from .. import host
from ..pictures.comparison import Bar, draw_bars, draw_grid
from ..pictures.drawing import THEMES
from ..pictures.latents import pictures
from ..pictures.plot_data import plot_ui
from ..pictures.plot_node import Schedules
from ..sampling.notes import name_of
from .inputs import (
    check_guider,
    denoise_widget,
    distilled_warning,
    ksampler_form,
    limits,
    open_run,
    picture_start,
    sampling_sockets,
    sampling_widgets,
    seed_widget,
    selectable_schedules,
    widget_numbers,
)
from .run import SamplingRun, cancelled_as_comfyui_does
from .sampler_traits import check_sampler, reference_for

logger = logging.getLogger(__name__)

NAME = "Compare Schedulers (HSO)"
SOCKETS = tuple(f"schedule_{k}" for k in range(1, 5))
ALL = "all"
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
                    f"Sigmas (HSO). {ALL}: every one that fits the model. May be empty if schedules are connected.",
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
                    for k, name in enumerate(SOCKETS, start=1)
                ),
                Schedules.Input("more", optional=True, tooltip="Any number of schedules, from 'more' of Plot Sigmas."),
                denoise_widget(),
            ],
            outputs=[
                io.String.Output(display_name="table", tooltip="The distances in Markdown, best first."),
                io.Image.Output("ranking", display_name="ranking", tooltip="The distances as bars, best first."),
                io.Image.Output("grid", display_name="pictures", tooltip="The pictures of the first seeds in a grid."),
                io.Sigmas.Output(display_name="best", tooltip="The schedule with the least mean distance."),
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
            connected = {socket: sockets.pop(socket) for socket in SOCKETS if sockets.get(socket) is not None}
            run = open_run(latent_image, cfg, sampler_name, **{k: v for k, v in sockets.items() if k not in SOCKETS})
            model = run.guider.model_patcher
            check_guider(run.guider, steps, REFERENCE_STEPS)
            start = picture_start(model, denoise, latent_image)
            schedules, left_out = _selected(schedulers, selectable_schedules(model, steps, run.sampler, denoise))
            for socket, sigmas in connected.items():
                _add(schedules, cls._short_name(socket) or socket, sigmas, model)
            for name, sigmas in more or ():
                _add(schedules, name, sigmas, model)
            if not schedules:
                unfit = f"{', '.join(left_out)}: {_makes_none(steps)}; name others" if left_out else "name schedulers"
                raise ValueError(f"there is nothing to compare; {unfit}, or connect schedules")
            found = _compare(run, schedules, start, [seed + k for k in range(pictures)])
        ranked, remarks = found.rows, [*([_unfit(left_out, steps)] if left_out else []), *found.remarks]
        grid, failure = _grid(ranked, found, run, vae, theme)
        remarks += [failure] if failure else []
        return io.NodeOutput(
            _table(ranked, found, run, remarks),
            _as_image(_ranking(ranked, found, run, theme)),
            _as_image(grid),
            host.sigmas_output(schedules[ranked[0].name]),
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


def _selected(names: str, selectable: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The schedules that the text names, and those of the names that make no schedule here."""
    wanted = [name.strip() for name in re.split(r"[,;\n]", names) if name.strip()]
    if ALL in wanted:
        return dict(selectable), []
    left_out = [name for name in wanted if name not in selectable]
    known = {*host.scheduler_names(), *(ksampler_form(name) for name in host.scheduler_names()), *TABLES}
    for name in left_out:
        if name not in known:
            raise ValueError(f"schedulers: there is no {name[:60]!r}; choose from {', '.join(selectable)}, or {ALL}")
    return {name: selectable[name] for name in wanted if name in selectable}, left_out


def _unfit(names: Sequence[str], steps: int) -> str:
    return f"Left out: {', '.join(names)} ({_makes_none(steps)})."


def _makes_none(steps: int) -> str:
    return f"no schedule of {steps} steps for this model and sampler"


def _add(schedules: dict[str, Tensor], name: str, sigmas: Tensor, model: Any) -> None:
    """Add a connected schedule under `name`, or a numbered one if that is taken."""
    try:
        values = check_sigmas(sigmas.detach().cpu().float().clone())
        odd = host.check_schedule(values, model, changes_picture=True)  # it is there to be compared with others
    except SigmasError as error:
        raise ValueError(f"{name}: {error}") from error
    if odd:
        logger.warning("%s: %s: %s", NAME, name, odd)
    numbered = (name if k == 1 else f"{name} ({k})" for k in itertools.count(1))
    schedules[next(free for free in numbered if free not in schedules)] = values


def _compare(run: SamplingRun, schedules: dict[str, Tensor], start: float | None, seeds: Sequence[int]) -> Comparison:
    check_sampler(run)
    noise = host.noise_schedule(run.guider.model_patcher)
    return compare(
        run,
        reference_for(run),
        schedules,
        seeds,
        noise,
        start=start,
        kept=MOST_COLUMNS,
        on_progress=host.progress_bar(),
    )


def _table(ranked: Sequence[ComparedSchedule], found: Comparison, run: SamplingRun, remarks: Sequence[str]) -> str:
    warning = distilled_warning(run.guider.model_patcher)
    lines = [f"**{warning}**", ""] if warning else []
    lines += ["| schedule | mean | median | worst | seconds | evaluations |", "|---" * 6 + "|"]
    lines += [
        f"| {row.name.replace('|', '/')} | {row.mean:.4f} | {row.median:.4f} | {row.worst:.4f} | {row.seconds:.3g} "
        f"| {row.evaluations:g} |"
        for row in ranked
    ]
    said = [_note(found, run), "Seconds and evaluations are for one picture.", *remarks]
    return "\n".join([*lines, "", " ".join(said)])


def _note(found: Comparison, run: SamplingRun) -> str:
    return (
        f"RMSE of the latents to the converged picture ({found.reference_steps} steps), {name_of(run.sampler)}, "
        f"{len(found.seeds)} {'seed' if len(found.seeds) == 1 else 'seeds'}; smaller is better."
        f"{run.note}"
    )


def _ranking(ranked: Sequence[ComparedSchedule], found: Comparison, run: SamplingRun, theme: str) -> Image.Image:
    bars = [Bar(row.name, row.mean, row.median, row.worst) for row in ranked]
    return draw_bars(bars, title="Distance to the converged picture", note=_note(found, run), theme=theme)


def _grid(
    ranked: Sequence[ComparedSchedule], found: Comparison, run: SamplingRun, vae: Any, theme: str
) -> tuple[Image.Image, str]:
    """The pictures of the first seeds: the converged ones, then a row for each of the best schedules.

    And a sentence if the VAE fails, which is no reason to lose what was measured: previews take their place.
    """
    columns = min(len(found.seeds), MOST_COLUMNS)
    shown = [("converged", f"{found.reference_steps} steps", run.picture_of(found.reference))]
    shown += [(row.name, f"RMSE {row.mean:.4f}", run.picture_of(row.latents)) for row in ranked[:MOST_ROWS]]
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
    return draw_grid(rows, title=f"{name_of(run.sampler)}, {seeds} with each schedule", theme=theme), failure


def _as_image(picture: Image.Image) -> Tensor:
    """An IMAGE (1, height, width, 3)."""
    return torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255)[None]
