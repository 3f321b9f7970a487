"""Small pictures as the numbers of SVG, so that they need no script and no style of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

WIDTH: Final = 1000
"""Units of a picture from its left to its right; the browser fits them to the place there is."""

HEIGHT: Final = 100


def line(values: Sequence[float | None]) -> str:
    """The path of a line through these values, from 0 at the bottom to the greatest at the top; a gap for None."""
    top, step = max((value for value in values if value is not None), default=0.0), WIDTH / max(1, len(values) - 1)
    parts, pen = [], "M"
    for place, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        height = HEIGHT * (1 - value / top) if top else HEIGHT
        parts.append(f"{pen}{place * step:.0f} {height:.0f}")
        if pen == "M" and (place + 1 == len(values) or values[place + 1] is None):
            parts.append("h1")  # a value alone is a dot
        pen = "L"
    return "".join(parts)


class Bar(NamedTuple):
    """A part of a row, in units of `WIDTH`."""

    x: float
    width: float


def bar(begin: float, end: float, whole: float) -> Bar:
    """The part from `begin` to `end` of a row that stands for 0 to `whole`; never too small to be seen."""
    if whole <= 0:
        return Bar(0, WIDTH)
    x = min(max(0.0, begin / whole), 1.0) * WIDTH
    width = max(4.0, min(1.0, (end - begin) / whole) * WIDTH)
    return Bar(round(min(x, WIDTH - width), 1), round(width, 1))
