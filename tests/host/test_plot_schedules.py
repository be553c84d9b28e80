"""The picture and the table of Plot Sigmas."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

import host_import

host_import.import_host()

import comfy.model_sampling as model_sampling  # noqa: E402

import host_models  # noqa: E402

EIGHT = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0])
TURBO = torch.tensor([1.0, 0.6509, 0.4374, 0.2932, 0.1893, 0.1108, 0.0495, 0.00031, 0.0])


@pytest.fixture
def plot(node_classes):
    """plot(prompt=None, **inputs): execute the node as node "p" of a workflow."""
    cls = node_classes["HSOPlotSchedules"]

    def execute(prompt=None, **inputs):
        values = {"names": "", "axis": "log sigma", "theme": "dark", "width": 512, "height": 320, **inputs}
        import comfy_api.latest._io as io

        hidden = {io.Hidden.prompt: prompt, io.Hidden.unique_id: "p"}
        return host_import.with_hidden(cls, hidden).execute(**values)

    return execute


@pytest.fixture
def plot_image(pack):
    return sys.modules[pack.__name__ + ".nodes.pictures.drawing"]


def pixels_of(image: torch.Tensor, colour: str, size: tuple[int, int] | None = None) -> int:
    """How many pixels are nearly of a colour, in the picture or in its thumbnail."""
    picture = Image.fromarray((image[0].numpy() * 255).round().astype(np.uint8))
    if size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    distance = np.abs(np.asarray(picture, dtype=int) - ImageColor.getrgb(colour)).max(-1)
    return int((distance < 30).sum())


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_schedule_can_be_seen_in_its_colour_also_in_a_thumbnail(plot, plot_image, theme):
    sockets = {f"schedule_{k}": EIGHT * k for k in range(1, 9)}
    image = plot(theme=theme, width=1024, height=640, **sockets).args[0]
    assert image.shape == (1, 640, 1024, 3) and image.dtype == torch.float32
    assert float(image.min()) >= 0 and float(image.max()) <= 1
    colours = plot_image.THEMES[theme]
    assert len(set(colours.curves)) == 8
    for colour in colours.curves:
        assert pixels_of(image, colour) > 400, colour
        assert pixels_of(image, colour, (256, 160)) > 15, colour
    assert pixels_of(image, colours.ground) > image[0, :, :, 0].numel() / 2


def test_a_point_lies_where_its_value_is(plot_image):
    """On the linear axis: equal differences of the values are equal distances in the picture."""
    colour = plot_image.THEMES["light"].curves[0]
    heights = []
    for middle in (3.0, 2.0, 1.0):
        curve = plot_image.Curve("", [4.0, middle, 0.0])
        picture = np.asarray(
            plot_image.draw_curves([curve], title="", logarithmic=False, size=(600, 400), theme="light"), dtype=int
        )
        near = np.abs(picture - ImageColor.getrgb(colour)).max(-1) < 30
        near[:60] = False  # the legend
        columns = np.nonzero(near.any(0))[0]
        centre = (columns.min() + columns.max()) // 2
        heights.append(np.nonzero(near[:, centre])[0].mean())
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=3)
    assert heights[0] < heights[1] < heights[2]


def test_schedules_are_named_after_what_made_them(plot):
    prompt = {
        "p": {"class_type": "HSOPlotSchedules", "inputs": {f"schedule_{k}": [str(k), 0] for k in range(1, 6)}},
        "1": {"class_type": "BasicScheduler", "inputs": {"scheduler": "beta"}},
        "2": {"class_type": "HSOPresetSchedule", "inputs": {"preset": "AYS SDXL"}},
        "3": {"class_type": "HSOOptimizeSchedule", "inputs": {}, "_meta": {"title": "Mine"}},
        "4": {"class_type": "KarrasScheduler", "inputs": {"steps": ["9", 0]}},
        "5": {"class_type": "BasicScheduler", "inputs": {"scheduler": "beta"}},
    }
    sockets = {f"schedule_{k}": EIGHT for k in range(1, 6)}
    names = [name for name, _ in plot(prompt, **sockets).args[2]]
    assert names == ["beta", "AYS SDXL", "Mine", "KarrasScheduler", "beta (2)"]
    names = [name for name, _ in plot(prompt, names="first\n\nthird", **sockets).args[2]]
    assert names == ["first", "AYS SDXL", "third", "KarrasScheduler", "beta"]
    assert [name for name, _ in plot(schedule_3=EIGHT).args[2]] == ["schedule 1"]


def test_nodes_in_a_row_have_no_end(plot):
    schedules = None
    for row in range(3):
        sockets = {f"schedule_{k}": EIGHT * (row + 1) for k in range(1, 9)}
        output = plot(more=schedules, **sockets)
        schedules = output.args[2]
    assert len(schedules) == 24 and len({name for name, _ in schedules}) == 24
    assert [float(sigmas[0]) for _, sigmas in schedules[::8]] == [8, 16, 24]
    assert len(output.ui["hso_plot"][0]["schedules"]) == 24


def test_the_table_has_all_values(plot):
    table = plot(schedule_1=EIGHT, schedule_2=TURBO, names="eight | steps\nturbo").args[1].splitlines()
    assert table[:3] == ["| step | eight / steps | turbo |", "| --- | --- | --- |", "| 0 | 8 | 1 |"]
    assert table[9:] == ["| 7 |  | 0.00031 |", "| 8 |  | 0 |"]


@pytest.mark.parametrize(
    "sigmas",
    [
        EIGHT,
        torch.tensor([1.0, 0.0]),
        torch.tensor([1e-7, 1e7]),
        torch.tensor([2.0, 2.0]),
        torch.zeros(3),
        torch.linspace(700, 0, 10_001),
        torch.tensor([0.0, 1.0, 5.0]),  # what FlipSigmas gives
    ],
)
@pytest.mark.parametrize("axis", ["log sigma", "sigma"])
def test_whatever_is_finite_can_be_plotted(plot, sigmas, axis):
    assert plot(schedule_1=sigmas, axis=axis).args[0].shape == (1, 320, 512, 3)


def test_axes_that_depend_on_the_model(plot):
    sampling = type("ModelSampling", (model_sampling.ModelSamplingDiscreteFlow, model_sampling.CONST), {})()
    model = host_models.model_with(sampling)
    pictures = [plot(schedule_1=TURBO, axis=axis, model=model).args[0] for axis in ("lambda", "timestep", "sigma")]
    assert not torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[1], pictures[2])
    with pytest.raises(ValueError, match="^Plot Sigmas .HSO.: the axis lambda depends on the model; connect it"):
        plot(schedule_1=TURBO, axis="lambda")


@pytest.mark.parametrize(
    ("sigmas", "message"),
    [
        (torch.tensor([1.0]), "schedule_2: a schedule is a list of at least 2"),
        (torch.tensor([1.0, float("nan")]), "schedule_2: value 2 is nan"),
        (torch.tensor([1.0, -1.0]), "schedule_2: value 2 is -1"),
    ],
)
def test_what_cannot_be_plotted_is_named(plot, sigmas, message):
    with pytest.raises(ValueError, match=f"^Plot Sigmas .HSO.: {message}"):
        plot(schedule_1=EIGHT, schedule_2=sigmas)
    with pytest.raises(ValueError, match="there is nothing to plot; connect at least one schedule"):
        plot()
