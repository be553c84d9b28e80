"""Plot Sigmas: any number of schedules in one picture and one table."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core import NoiseSchedule
from ...hso_core.schedule.numbers import whole_number
from .. import host
from .drawing import THEMES, Curve, draw_curves
from .plot_data import Named, plot_ui

NAME = "Plot Sigmas (HSO)"
# Inputs that grow in number need ComfyUI 0.4. Eight sockets are enough for most, and nodes in a row have no end.
SOCKETS = tuple(f"schedule_{k}" for k in range(1, 9))
AXES = ("log sigma", "sigma", "lambda", "timestep")
NEED_MODEL = ("lambda", "timestep")
PIXELS = {"width": (256, 4096), "height": (192, 4096)}


# Schedules with their names, on their way to the next Plot Sigmas.
Schedules = io.Custom("HSO_SCHEDULES")


class PlotSchedules(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="HSOPlotSchedules",
            name=NAME,
            category=host.category_of("SplitSigmas"),
            description="Draws the values of several schedules: a picture, a table, and a plot on the node. Nothing is "
            "sampled; Compare Schedulers (HSO) measures the pictures. For more than eight, connect several of these "
            "nodes in a row through 'more'.",
            aliases=["plot sigmas", "visualize sigmas", "graph sigmas", "plot schedules"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *(
                    io.Sigmas.Input(name, optional=True, tooltip=f"Schedule {k} of the picture.")
                    for k, name in enumerate(SOCKETS, start=1)
                ),
                io.String.Input(
                    "names",
                    default="",
                    multiline=True,
                    placeholder="one name per line",
                    tooltip="Names of the schedules, one per line. Empty: the scheduler or preset that was chosen in "
                    "the connected node, or that node's title.",
                ),
                io.Combo.Input(
                    "axis",
                    options=list(AXES),
                    default=AXES[0],
                    tooltip="What is drawn over the steps. lambda (half the log of signal to noise) and timestep need "
                    "the model.",
                ),
                io.Combo.Input("theme", options=list(THEMES), default="dark", tooltip="Colours of the picture."),
                _pixels("width", 1024),
                _pixels("height", 640),
                io.Model.Input(
                    "model", optional=True, tooltip="Needed for the axes lambda and timestep: they depend on it."
                ),
                Schedules.Input(
                    "more", optional=True, tooltip="The schedules of another Plot Sigmas, drawn before these."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="IMAGE", tooltip="The picture, for Save Image or Preview Image."),
                io.String.Output(display_name="table", tooltip="All values as a table, in Markdown."),
                Schedules.Output("schedules", display_name="more", tooltip="For 'more' of the next Plot Sigmas."),
            ],
        )

    @classmethod
    def execute(
        cls,
        names: str,
        axis: str,
        theme: str,
        width: int,
        height: int,
        model: Any = None,
        more: list[Named] | None = None,
        **sockets: Tensor | None,
    ) -> io.NodeOutput:
        with host.named_errors(NAME):
            host.check_choice("axis", axis, AXES)
            host.check_choice("theme", theme, THEMES)
            size = whole_number("width", width, *PIXELS["width"]), whole_number("height", height, *PIXELS["height"])
            given = {name: sigmas for name in SOCKETS if (sigmas := sockets.get(name)) is not None}
            before = list(more or [])
            new_names = _named(
                [line.strip() for line in names.splitlines()],
                [host.short_name(cls.hidden.prompt, cls.hidden.unique_id, socket) for socket in given],
                [name for name, _ in before],
            )
            values = [_plottable(socket, sigmas) for socket, sigmas in given.items()]
            schedules = [*before, *zip(new_names, values, strict=True)]
            if not schedules:
                raise ValueError("there is nothing to plot; connect at least one schedule")
            noise = host.noise_schedule(model) if model is not None else None
            if axis in NEED_MODEL and noise is None:
                raise ValueError(f"the axis {axis} depends on the model; connect it, or choose another axis")
        curves = [Curve(name, _on_axis(sigmas, axis, noise)) for name, sigmas in schedules]
        picture = draw_curves(
            curves, title=axis.removeprefix("log "), logarithmic=axis == "log sigma", size=size, theme=theme
        )
        image = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None]
        return io.NodeOutput(image, schedule_table(schedules), schedules, ui=plot_ui(schedules, noise=noise))


def _pixels(name: str, default: int) -> io.Input:
    least, most = PIXELS[name]
    return io.Int.Input(name, default=default, min=least, max=most, step=8, tooltip="Of the picture, in pixels.")


def schedule_table(schedules: Sequence[Named]) -> str:
    """The values of all schedules in Markdown, a row per step."""
    names = [" ".join(name.replace("|", "/").split()) for name, _ in schedules]
    rows = [
        [f"{float(sigmas[step]):.5g}" if step < len(sigmas) else "" for _, sigmas in schedules]
        for step in range(max(len(sigmas) for _, sigmas in schedules))
    ]
    lines = [["step", *names], ["---"] * (len(names) + 1), *([str(step), *row] for step, row in enumerate(rows))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _plottable(socket: str, sigmas: Tensor) -> Tensor:
    """Whatever can be drawn: it need not fall, so that one sees what is wrong with it."""
    values = sigmas.detach().to("cpu", torch.float32, copy=True)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"{socket}: a schedule is a list of at least 2 sigmas, not of the shape {tuple(values.shape)}")
    wrong = (~(values.isfinite() & (values >= 0))).nonzero()
    if len(wrong):
        k = int(wrong[0])
        raise ValueError(
            f"{socket}: value {k + 1} is {float(values[k]):g}; every sigma must be a finite number from 0 on"
        )
    return values


def _named(chosen: Sequence[str], found: Sequence[str], taken: Sequence[str]) -> list[str]:
    """A name for each schedule, none alike another or one that is `taken`."""
    names = list(taken)
    for k, default in enumerate(found):
        name = (chosen[k] if k < len(chosen) else "") or default or f"schedule {k + 1}"
        numbered = (f"{name} ({number})" for number in itertools.count(2))
        names.append(name if name not in names else next(other for other in numbered if other not in names))
    return names[len(taken) :]


def _on_axis(sigmas: Tensor, axis: str, noise: NoiseSchedule | None) -> list[float | None]:
    values = sigmas.double()
    if axis == "log sigma":
        values = torch.where(values > 0, values, torch.inf)
    elif axis != "sigma" and noise is not None:
        values = noise.lambda_of_sigma(values)
        if axis == "timestep":
            values = (len(noise) - 1) * noise.t_of_lambda(values)
    return [value if np.isfinite(value) else None for value in values.tolist()]
