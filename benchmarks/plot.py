"""A plot of numbers over time, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TypeAlias

Series: TypeAlias = Sequence[tuple[float, float]]
"""Seconds, and a number."""

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 760, 300, 60, 50, 40
_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")


def plot(file: Path, title: str, series: Mapping[str, Series]) -> None:
    """Draw the series over one axis of time, from 0 to the largest number."""
    right = max((x for each in series.values() for x, _ in each), default=1.0) or 1.0
    top = max((y for each in series.values() for _, y in each), default=1.0) or 1.0
    parts = [_text(_LEFT, 20, title, "font-weight='bold'")]
    for tick in range(5):
        x, y = _place(right * tick / 4, top * tick / 4, right, top)
        parts.append(f"<line x1='{_LEFT}' y1='{y:.1f}' x2='{_WIDTH - 20}' y2='{y:.1f}' stroke='#d0d7de'/>")
        parts.append(_text(_LEFT - 6, y + 4, f"{top * tick / 4:.4g}", "text-anchor='end'"))
        parts.append(_text(x, _HEIGHT - _BOTTOM + 18, f"{right * tick / 4:.4g} s", "text-anchor='middle'"))
    for number, (name, each) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join("{:.1f},{:.1f}".format(*_place(x, y, right, top)) for x, y in each)
        parts.append(f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.5'/>")
        parts.append(_text(_LEFT + 175 * (number % 4), 36 + 12 * (number // 4), name, f"fill='{colour}'"))
    box = f"viewBox='0 0 {_WIDTH} {_HEIGHT}' font-family='sans-serif' font-size='11'"
    lines = "\n".join(["<rect width='100%' height='100%' fill='#fff'/>", *parts])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"<svg xmlns='http://www.w3.org/2000/svg' {box}>\n{lines}\n</svg>\n")


def _place(x: float, y: float, right: float, top: float) -> tuple[float, float]:
    return (
        _LEFT + x / right * (_WIDTH - _LEFT - 20),
        _HEIGHT - _BOTTOM - y / top * (_HEIGHT - _BOTTOM - _TOP),
    )


def _text(x: float, y: float, text: str, more: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {more}>{escape(text)}</text>"
