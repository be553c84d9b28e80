"""A comparison of schedules as pictures: ranked bars, and the samples side by side. Drawn with Pillow alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from .drawing import OVERSAMPLING, THEMES, Theme, font_for, shortened

LEAST_TILE, LARGEST_TILE = 128, 384  # pixels of the longer side of a picture in the grid
GAP = 8
MARGIN, LETTERS = 14, 18  # of the grid's words
LEAST_LABEL = 230  # width of the names beside the grid


@dataclass(frozen=True)
class Bar:
    """One line of the ranking: mean, median and worst distance."""

    name: str
    mean: float
    median: float
    worst: float


def draw_bars(bars: Sequence[Bar], *, title: str, note: str, width: int = 1024, theme: str = "dark") -> Image.Image:
    """Horizontal bars of the mean, in the order given, with a line at the median and a whisker to the worst."""
    em = round(width / 52) * OVERSAMPLING
    row = 2 * em
    size = (width * OVERSAMPLING, (len(bars) * row) + 6 * em)
    colours = THEMES[theme]
    picture = Image.new("RGB", size, colours.ground)
    pen = _Pen(ImageDraw.Draw(picture), colours)
    pen.text((em, 1.2 * em), title, "lm", 1.15 * em)
    names = [shortened(bar.name) for bar in bars]
    left = 2 * em + max(pen.width(name, em) for name in names)
    right = size[0] - 2 * em - max(pen.width(f"{bar.mean:.4f}", em) for bar in bars)
    longest = _finite_max([value for bar in bars for value in (bar.mean, bar.worst)])
    for place, (bar, name) in enumerate(zip(bars, names, strict=True)):
        _draw_bar(pen, bar, name, 2.6 * em + place * row + row / 2, left, (right - left) / longest, em, place == 0)
    pen.text((em, size[1] - 1.6 * em), note, "lm", 0.85 * em)
    return picture.resize((width, size[1] // OVERSAMPLING), Image.Resampling.LANCZOS)


def _draw_bar(pen: _Pen, bar: Bar, name: str, y: float, left: float, scale: float, em: float, best: bool) -> None:
    colour = pen.theme.curves[0 if best else -1]
    pen.text((left - 0.6 * em, y), name, "rm", em)
    if not math.isfinite(bar.mean):
        pen.text((left + 0.4 * em, y), "not a picture", "lm", em)
        return
    end, worst, median = (left + scale * value for value in (bar.mean, bar.worst, bar.median))
    pen.draw.rectangle((left, y - 0.62 * em, end, y + 0.62 * em), colour)
    pen.draw.line((end, y, worst, y), pen.theme.text, max(1, round(em / 10)))
    pen.draw.line((worst, y - 0.3 * em, worst, y + 0.3 * em), pen.theme.text, max(1, round(em / 10)))
    for colour, thickness in ((pen.theme.ground, em / 3), (pen.theme.text, em / 9)):
        pen.draw.line((median, y - 0.62 * em, median, y + 0.62 * em), colour, max(1, round(thickness)))
    pen.text((worst + 0.5 * em, y), f"{bar.mean:.4f}", "lm", em)


def draw_grid(
    rows: Sequence[tuple[str, str, Sequence[Image.Image]]], *, title: str, theme: str = "dark"
) -> Image.Image:
    """(name, line below it, pictures) as rows of a grid; all rows have as many pictures, all pictures one size."""
    tile = _tile_size(rows[0][2][0].size)
    columns = len(rows[0][2])
    head = 40
    names = [shortened(name) for name, _, _ in rows]
    words = [*((name, LETTERS) for name in names), *((line, LETTERS - 4) for _, line, _ in rows)]
    label = max(LEAST_LABEL, *(round(font_for(text, em).getlength(text)) + 2 * MARGIN for text, em in words))
    width = max(label + columns * (tile[0] + GAP) + GAP, round(font_for(title, LETTERS).getlength(title)) + 2 * MARGIN)
    size = (width, head + len(rows) * (tile[1] + GAP) + GAP)
    canvas = Image.new("RGB", size, THEMES[theme].ground)
    pen = _Pen(ImageDraw.Draw(canvas), THEMES[theme])
    pen.text((MARGIN, head / 2), title, "lm", LETTERS)
    for i, (name, (_, line, pictures)) in enumerate(zip(names, rows, strict=True)):
        top = head + GAP + i * (tile[1] + GAP)
        pen.text((MARGIN, top + tile[1] / 2 - 12), name, "lm", LETTERS)
        pen.text((MARGIN, top + tile[1] / 2 + 12), line, "lm", LETTERS - 4)
        for j, picture in enumerate(pictures):
            small = picture.convert("RGB").resize(tile, Image.Resampling.LANCZOS)
            canvas.paste(small, (label + GAP + j * (tile[0] + GAP), top))
    return canvas


class _Pen:
    def __init__(self, draw: ImageDraw.ImageDraw, theme: Theme) -> None:
        self.draw = draw
        self.theme = theme

    def text(self, place: tuple[float, float], text: str, anchor: str, em: float) -> None:
        self.draw.text(place, text, self.theme.text, font_for(text, em), anchor)

    def width(self, text: str, em: float) -> float:
        return font_for(text, em).getlength(text)


def _tile_size(size: tuple[int, int]) -> tuple[int, int]:
    longest = max(size)
    factor = min(max(longest, LEAST_TILE), LARGEST_TILE) / longest
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _finite_max(values: Sequence[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=1.0) or 1.0
