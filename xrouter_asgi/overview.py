"""What settings serve, and whether the providers behind them answer: as plain text for a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .errors import XRouterError
from .providers.base import Call, Provider
from .settings import Settings
from .wire import ModelsRequest

_SHOWN = 5  # models in a line of the survey


@dataclass(frozen=True, slots=True)
class Finding:
    """What one provider said when it was asked for its models.

    Attributes:
        failure: Why there is no list; None when there is one.
    """

    provider: str
    models: Sequence[str] = ()
    failure: str | None = None


def describe(settings: Settings) -> str:
    """The names that clients use, each with its target."""
    rows = []
    for name, (first, *others) in settings.served.items():
        later = ", ".join(str(target) for target in others)
        rows.append((name, str(first), f"not yet used, until there is fallback: {later}" if later else ""))
    return aligned([("model", "target", ""), *rows])


async def survey(providers: Mapping[str, Provider]) -> list[Finding]:
    """Ask all of them at once for their models, and close them."""
    return list(await asyncio.gather(*(_ask(name, provider) for name, provider in providers.items())))


async def _ask(name: str, provider: Provider) -> Finding:
    try:
        reply = await provider.send(Call(ModelsRequest()))
    except XRouterError as error:
        return Finding(name, failure=_printable(f"{error.message} ({error.detail})" if error.detail else error.message))
    finally:
        await provider.aclose()
    return Finding(name, models=[_printable(model["id"]) for model in reply.models])


def _printable(text: str) -> str:
    """Text of an upstream, which might otherwise give orders to the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def tell(findings: Iterable[Finding], *, colours: bool = False) -> str:
    """The findings as a table. Colours are those of ANSI terminals."""
    # As wide as each other, and painted alike, so that the invisible characters do not move a column.
    good, bad = ("\x1b[32mok    \x1b[0m", "\x1b[31mfailed\x1b[0m") if colours else ("ok", "failed")
    heading = "\x1b[39mstatus\x1b[0m" if colours else "status"
    rows = [("provider", heading, "models")]
    for finding in findings:
        if finding.failure is not None:
            rows.append((finding.provider, bad, finding.failure))
            continue
        shown = ", ".join(finding.models[:_SHOWN])
        more = len(finding.models) - _SHOWN
        rows.append((finding.provider, good, f"{shown} and {more} more" if more > 0 else shown))
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equally many cells as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
