"""What is wanted, and what was found."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How long and how hard to look.

    Attributes:
        quick: Look for a minute in all, and see less.
        rate: Requests a second of each population, where nothing else is said.
        outage: Seconds.
    """

    quick: bool
    rate: float
    outage: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One number, and the most or the least it may be, as text."""

    what: str
    wanted: str
    found: str
    met: bool


Goal: TypeAlias = Callable[[Load], Awaitable[list[Finding]]]


def at_most(what: str, found: float, bound: float, form: str = "{:g}", *, more: str = "") -> Finding:
    """A number that may be no higher.

    Args:
        form: How numbers are written.
        more: What else there is to know about it.
    """
    return Finding(what, f"≤ {form.format(bound)}", form.format(found) + more, found <= bound)


def at_least(what: str, found: float, bound: float, form: str = "{:g}", *, more: str = "") -> Finding:
    """A number that may be no lower; see `at_most`."""
    return Finding(what, f"≥ {form.format(bound)}", form.format(found) + more, found >= bound)


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
