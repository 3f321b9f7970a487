"""Whether the providers answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import XRouterError
from ..providers.base import ReadyProvider
from .columns import in_columns

_SHOWN = 5  # models in a line


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """What one provider answered when it was asked for its models.

    Attributes:
        failure: Why there is no list; None if there is one.
    """

    provider: str
    models: Sequence[str] = ()
    failure: str | None = None


async def survey(providers: Mapping[str, ReadyProvider]) -> list[ProviderStatus]:
    """Ask all providers at once for their models, and close them."""
    return list(await asyncio.gather(*(_ask(name, provider) for name, provider in providers.items())))


async def _ask(name: str, provider: ReadyProvider) -> ProviderStatus:
    try:
        listed = await provider.models()
    except XRouterError as error:
        text = f"{error.message} ({error.detail})" if error.detail else error.message
        return ProviderStatus(name, failure=_printable(text))
    finally:
        await provider.aclose()
    return ProviderStatus(name, models=[_printable(model["id"]) for model in listed.value["data"]])


def _printable(text: str) -> str:
    """Text of an upstream without control characters, which a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)


def describe_statuses(statuses: Iterable[ProviderStatus], *, colours: bool = False) -> str:
    """The statuses as a table. Colours are those of ANSI terminals."""
    # All cells of the column have as many invisible characters, so that they do not shift the next column.
    good, bad = ("\x1b[32mok    \x1b[0m", "\x1b[31mfailed\x1b[0m") if colours else ("ok", "failed")
    heading = "\x1b[39mstatus\x1b[0m" if colours else "status"
    rows = [("provider", heading, "models")]
    for status in statuses:
        if status.failure is not None:
            rows.append((status.provider, bad, status.failure))
            continue
        shown = ", ".join(status.models[:_SHOWN])
        more = len(status.models) - _SHOWN
        rows.append((status.provider, good, f"{shown} and {more} more" if more > 0 else shown))
    return in_columns(rows)
