"""Plots as SVG: numbers over time, and bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle
from pathlib import Path
from typing import TypeAlias

Series: TypeAlias = Sequence[tuple[float, float]]
"""Seconds, and a number."""

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 760, 300, 60, 50, 40
_BARS = 200  # where they begin
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
    _write(file, parts, _WIDTH, _HEIGHT)


Bar: TypeAlias = tuple[float, float, float]
"""A number, and the lowest and the highest that it was."""


def bars(file: Path, title: str, groups: Mapping[str, Mapping[str, Bar]]) -> None:
    """Draw a bar for each number, below the title of its group, on a logarithmic scale with a line at 1."""
    every = [number for group in groups.values() for bar in group.values() for number in bar]
    low, high = 10 ** math.floor(math.log10(min(every))), 10 ** math.ceil(math.log10(max(every)))

    def across(number: float) -> float:
        return _BARS + (_WIDTH - _BARS - 20) * math.log(number / low) / math.log(high / low)

    colours = dict(zip(dict.fromkeys(row for group in groups.values() for row in group), cycle(_COLOURS), strict=False))
    parts, y = [_text(20, 20, title, "font-weight='bold'")], 40.0
    for name, group in groups.items():
        parts.append(_text(20, y + 10, name, "font-weight='bold'"))
        for row, (middle, least, most) in group.items():
            y += 16
            parts.append(_text(_BARS - 6, y + 10, row, "text-anchor='end'"))
            width = across(middle) - _BARS
            parts.append(f"<rect x='{_BARS}' y='{y + 1:.1f}' width='{width:.1f}' height='12' fill='{colours[row]}'/>")
            ends = f"x1='{across(least):.1f}' x2='{across(most):.1f}'"
            parts.append(f"<line {ends} y1='{y + 7:.1f}' y2='{y + 7:.1f}' stroke='#1f2328'/>")
            parts.append(_text(max(across(most), across(middle)) + 4, y + 10, f"{middle:.2f}", ""))
        y += 28
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        x, shade = across(10.0**power), "#1f2328" if power == 0 else "#d0d7de"
        parts.insert(1, f"<line x1='{x:.1f}' y1='34' x2='{x:.1f}' y2='{y:.1f}' stroke='{shade}'/>")
        parts.append(_text(x, y + 14, f"{10.0**power:g}", "text-anchor='middle'"))
    _write(file, parts, _WIDTH, y + 24)


def _write(file: Path, parts: Sequence[str], width: float, height: float) -> None:
    box = f"viewBox='0 0 {width:.0f} {height:.0f}' font-family='sans-serif' font-size='11'"
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
