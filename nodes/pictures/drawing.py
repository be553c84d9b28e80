"""Schedules as a picture, drawn with Pillow alone: readable at the size of a thumbnail, on dark and on light ground."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

OVERSAMPLING = 2  # Pillow draws lines without smoothing: draw larger, then shrink
MOST_MARKERS = 60  # steps; with more the dots would be one thick line
LONGEST_NAME = 26
# For names that the built-in font has no letters for; Pillow looks for them in the system's folders.
OTHER_FONTS = ("NotoSansCJK-Regular.ttc", "msyh.ttc", "msgothic.ttc", "PingFang.ttc", "DejaVuSans.ttf", "arial.ttf")


@dataclass(frozen=True)
class Theme:
    ground: str
    text: str
    grid: str
    curves: tuple[str, ...]


# After Okabe and Ito, whose colours can be told apart with any kind of colour vision.
THEMES = {
    "dark": Theme(
        "#1d1e21",
        "#e8e8e8",
        "#3c3e43",
        ("#5bbcf2", "#f0a500", "#33c9a0", "#f2e750", "#e08cc0", "#ff7f45", "#a99cff", "#c4c4c4"),
    ),
    "light": Theme(
        "#ffffff",
        "#1f1f1f",
        "#dcdcdc",
        ("#0072b2", "#d55e00", "#009e73", "#b4488d", "#a67c00", "#3a9bd9", "#5b3fbf", "#5a5a5a"),
    ),
}


@dataclass(frozen=True)
class Curve:
    """One schedule: its name, and the value on the y axis for each step; None where there is none (ln 0)."""

    name: str
    values: Sequence[float | None]


def draw_curves(
    curves: Sequence[Curve], *, title: str, logarithmic: bool, size: tuple[int, int], theme: str = "dark"
) -> Image.Image:
    """A picture of `size` (width, height) with the curves over the step index, a legend, and `title` on the y axis.

    logarithmic: the y axis is. A last value of None is then drawn on a line "0" below the axis, where ln 0 would be.
    """
    width, height = (OVERSAMPLING * length for length in size)
    picture = Image.new("RGB", (width, height), THEMES[theme].ground)
    canvas = _Canvas(ImageDraw.Draw(picture), width, height, THEMES[theme])
    legend = _Legend(canvas, [shortened(curve.name) for curve in curves])
    finite = [value for curve in curves for value in curve.values if value is not None] or [1.0]
    zero_line = logarithmic and any(curve.values[-1] is None for curve in curves)
    steps = max(len(curve.values) - 1 for curve in curves)
    frame = _Frame(canvas, legend.bottom, finite, steps, logarithmic, zero_line)
    legend.draw()
    frame.draw(title)
    for place, curve in reversed(list(enumerate(curves))):  # the first lies on top
        frame.draw_curve(curve, place)
    return picture.resize(size, Image.Resampling.LANCZOS)


class _Canvas:
    """What is drawn on, with lengths that follow its size."""

    def __init__(self, draw: ImageDraw.ImageDraw, width: int, height: int, theme: Theme) -> None:
        self.draw = draw
        self.width = width
        self.height = height
        self.theme = theme
        self.em = min(width / 27, height / 15)  # so that a thumbnail of 256 pixels can still be read

    def text(self, place: tuple[float, float], text: str, anchor: str, em: float | None = None) -> None:
        self.draw.text(place, text, self.theme.text, font_for(text, em or self.em), anchor)

    def text_width(self, text: str, em: float | None = None) -> float:
        return font_for(text, em or self.em).getlength(text)

    def style(self, place: int) -> tuple[str, bool]:
        """Colour of a curve, and whether it is dashed (as the second round of colours is)."""
        colours = self.theme.curves
        return colours[place % len(colours)], place // len(colours) % 2 == 1

    def marker(self, x: float, y: float, place: int) -> None:
        """A dot whose shape differs from curve to curve, for those who cannot tell the colours."""
        colour, _ = self.style(place)
        r = 0.27 * self.em
        if place % 4 == 0:
            self.draw.ellipse((x - r, y - r, x + r, y + r), colour)
        elif place % 4 == 1:
            self.draw.rectangle((x - 0.85 * r, y - 0.85 * r, x + 0.85 * r, y + 0.85 * r), colour)
        elif place % 4 == 2:
            self.draw.polygon(((x, y - 1.2 * r), (x - 1.1 * r, y + 0.8 * r), (x + 1.1 * r, y + 0.8 * r)), colour)
        else:
            self.draw.polygon(((x, y - 1.25 * r), (x + 1.25 * r, y), (x, y + 1.25 * r), (x - 1.25 * r, y)), colour)

    def line(self, points: Sequence[tuple[float, float]], place: int) -> None:
        colour, dashed = self.style(place)
        thickness = max(2, round(0.13 * self.em))
        for start, end in itertools.pairwise(points):  # one by one: Pillow thins a line of many pieces here and there
            for piece in _dashes(start, end, 0.4 * self.em) if dashed else [(start, end)]:
                self.draw.line(piece, colour, thickness)
        for x, y in points[1:-1]:
            r = thickness / 2
            self.draw.ellipse((x - r, y - r, x + r, y + r), colour)


class _Legend:
    """The names above the axes, in as many rows as they need; `bottom` is where the axes may begin."""

    ROW, GAP, SAMPLE = 1.4, 1.2, 2.1  # height of a row, space after a name, room for the piece of line; in em

    def __init__(self, canvas: _Canvas, names: Sequence[str]) -> None:
        self.canvas = canvas
        self.names = names
        for part in (0.9, 0.75, 0.6, 0.5, 0.4, 0.3):  # smaller until half of the picture is left for the curves
            self.em = part * canvas.em
            self.places = self._lay_out()
            self.bottom = self.places[-1][1] + self.ROW / 2 * self.em
            if self.bottom < 0.4 * canvas.height:
                break

    def _lay_out(self) -> list[tuple[float, float]]:
        em, left = self.em, 0.5 * self.canvas.em
        places, x, y = [], left, 0.4 * self.canvas.em + self.ROW / 2 * self.em
        for name in self.names:
            width = self.SAMPLE * em + self.canvas.text_width(name, em)
            if x > left and x + width > self.canvas.width - left:
                x, y = left, y + self.ROW * em
            places.append((x, y))
            x += width + self.GAP * em
        return places

    def draw(self) -> None:
        em, canvas = self.em, self.canvas
        for place, (name, (x, y)) in enumerate(zip(self.names, self.places, strict=True)):
            canvas.line([(x, y), (x + 1.6 * em, y)], place)
            canvas.marker(x + 0.8 * em, y, place)
            canvas.text((x + self.SAMPLE * em, y), name, "lm", em)


class _Frame:
    """The axes: where a step and a value lie in the picture."""

    def __init__(
        self, canvas: _Canvas, top: float, values: Sequence[float], steps: int, logarithmic: bool, zero_line: bool
    ) -> None:
        self.canvas = canvas
        self.steps = max(steps, 1)
        self.scale = math.log if logarithmic else float
        self.low, self.high = _with_margin([self.scale(value) for value in values])
        self.ticks = (_log_ticks if logarithmic else _even_ticks)(min(values), max(values))
        em = canvas.em
        labels = [_number(tick) for tick in self.ticks] + ["0"] * zero_line
        self.left = max(2.7 * em, 1.1 * em + max(canvas.text_width(label) for label in labels))
        self.right, self.top = canvas.width - em, top + 1.7 * em
        self.floor = canvas.height - 2.2 * em  # the x axis
        self.bottom = self.floor - (1.3 * em if zero_line else 0)  # the lowest place for values above 0
        self.zero_line = zero_line

    def x(self, step: int) -> float:
        return self.left + (self.right - self.left) * step / self.steps

    def y(self, value: float) -> float:
        part = (self.scale(value) - self.low) / (self.high - self.low)
        return self.bottom - (self.bottom - self.top) * part

    def draw(self, title: str) -> None:
        canvas, em = self.canvas, self.canvas.em
        rows = [(self.y(tick), _number(tick)) for tick in self.ticks] + [(self.floor, "0")] * self.zero_line
        for y, label in rows:
            canvas.draw.line((self.left, y, self.right, y), canvas.theme.grid, max(1, round(em / 16)))
            canvas.text((self.left - 0.4 * em, y), label, "rm")
        for step in _whole_ticks(self.steps):
            x = self.x(step)
            canvas.draw.line((x, self.top, x, self.floor), canvas.theme.grid, max(1, round(em / 16)))
            canvas.text((x, self.floor + 0.4 * em), str(step), "ma")
        canvas.text((0.5 * em, self.top - 0.6 * em), title, "ls", 0.9 * em)
        canvas.text((0.4 * em, self.floor + 0.55 * em), "step", "la", 0.8 * em)

    def draw_curve(self, curve: Curve, place: int) -> None:
        points = [(self.x(step), self.y(value)) for step, value in enumerate(curve.values) if value is not None]
        if self.zero_line and curve.values[-1] is None:
            points.append((self.x(len(curve.values) - 1), self.floor))
        self.canvas.line(points, place)
        if len(points) <= MOST_MARKERS:
            for x, y in points:
                self.canvas.marker(x, y, place)


def _with_margin(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def _log_ticks(low: float, high: float) -> list[float]:
    """Values 1, 2, 5 times powers of ten between low and high; only the powers where these are many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**decade for decade in decades for factor in factors]
        ticks = [tick for tick in ticks if 0.999 * low <= tick <= 1.001 * high]
        if len(ticks) <= 7:
            break
    else:
        ticks = ticks[:: math.ceil(len(ticks) / 7)]
    return ticks or [low]


def _even_ticks(low: float, high: float) -> list[float]:
    step = _round_step((high - low) / 5) if high > low else 1.0
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)] or [low]


def _whole_ticks(steps: int) -> list[int]:
    step = max(1, round(_round_step(steps / 10)))
    return list(range(0, steps + 1, step))


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.999 * least)


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.0e}"


def _dashes(
    start: tuple[float, float], end: tuple[float, float], length: float
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    count = max(1, round(math.dist(start, end) / length / 2)) * 2 - 1

    def at(part: float) -> tuple[float, float]:
        return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part

    return [(at(k / count), at((k + 1) / count)) for k in range(0, count, 2)]


def shortened(name: str) -> str:
    """A name in one line, cut to what a legend has room for."""
    name = " ".join(name.split())
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..."


def font_for(text: str, size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font of `size` pixels that has the letters of `text`, where this computer has one."""
    return _font(round(size), all(ord(letter) < 0x180 for letter in text))


@functools.cache
def _font(size: int, latin: bool) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for name in () if latin else OTHER_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
