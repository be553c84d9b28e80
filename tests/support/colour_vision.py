"""How different two colours look, to people with the usual and with other colour vision.

CIEDE2000: Sharma, Wu and Dalal 2005. Vision without one kind of cone: Machado, Oliveira and Fernandes 2009, severity 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Colour = Sequence[float]  # red, green and blue of sRGB, from 0 to 255
Matrix = Sequence[Sequence[float]]

VISIONS: dict[str, Matrix] = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
XYZ: Matrix = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
WHITE = (0.95047, 1.0, 1.08883)


def difference(one: Colour, other: Colour, vision: str = "usual") -> float:
    """CIEDE2000 of two colours as somebody with this vision sees them; 1 is about the least that can be seen."""
    return ciede2000(_lab(one, VISIONS[vision]), _lab(other, VISIONS[vision]))


def _lab(colour: Colour, vision: Matrix) -> tuple[float, float, float]:
    linear = [_linear(value / 255) for value in colour]
    seen = [min(max(value, 0.0), 1.0) for value in _times(vision, linear)]
    x, y, z = (_cube_root(value / white) for value, white in zip(_times(XYZ, seen), WHITE, strict=True))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _cube_root(value: float) -> float:
    return value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116


def _times(matrix: Matrix, vector: Sequence[float]) -> list[float]:
    return [sum(m * v for m, v in zip(row, vector, strict=True)) for row in matrix]


def ciede2000(one: Sequence[float], other: Sequence[float]) -> float:
    """Of two colours in CIELAB."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * math.sqrt(mean**7 / (mean**7 + 25**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1, h2 = (math.degrees(math.atan2(b, a)) % 360 if a or b else 0.0 for a, b in ((a1, b1), (a2, b2)))
    dl, dc, c = l2 - l1, c2 - c1, (c1 + c2) / 2
    dh, h = 0.0, h1 + h2
    if c1 * c2:
        dh = (h2 - h1 + 180) % 360 - 180
        h = (h1 + h2) / 2 if abs(h1 - h2) <= 180 else ((h1 + h2) / 2 + 180) % 360
    dh = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(dh) / 2)
    t = 1 + sum(
        weight * math.cos(math.radians(times * h - shift))
        for weight, times, shift in ((-0.17, 1, 30), (0.24, 2, 0), (0.32, 3, -6), (-0.20, 4, 63))
    )
    lightness = ((l1 + l2) / 2 - 50) ** 2
    sl, sc, sh = 1 + 0.015 * lightness / math.sqrt(20 + lightness), 1 + 0.045 * c, 1 + 0.015 * c * t
    turn = 60 * math.exp(-(((h - 275) / 25) ** 2))
    rt = -2 * math.sqrt(c**7 / (c**7 + 25**7)) * math.sin(math.radians(turn))
    x, y, z = dl / sl, dc / sc, dh / sh
    return math.sqrt(x * x + y * y + z * z + rt * y * z)
