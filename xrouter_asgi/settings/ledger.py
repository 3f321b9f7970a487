"""Where the ledger is: in the database of `[spend]`, else in that of `[keys]`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING, NamedTuple

from .document import Settings, load_keys, load_table
from .spend import SpendSettings

if TYPE_CHECKING:
    from ..ledger import SQLLedger


class LedgerPlace(NamedTuple):
    """What is needed to read a ledger."""

    url: str
    currency: str
    timezone: tzinfo


def ledger_of(settings: Settings) -> SQLLedger | None:
    """Make the store of the ledger; None if there is no `[spend]`, or no database. Opens no connection."""
    url = settings.ledger_url
    if url is None or settings.spend is None:
        return None
    from ..ledger import SQLLedger  # here, because it needs an extra

    return SQLLedger(url.get_secret_value(), timezone=settings.spend.zone)


def load_spend(
    path: str | os.PathLike[str] | None = None, *, environment: Mapping[str, str] = os.environ
) -> SpendSettings | None:
    """Read only the table `[spend]`, so that no other secret need be present."""
    return load_table("spend", SpendSettings, path, environment)


def load_ledger(
    path: str | os.PathLike[str] | None = None,
    *,
    url: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> LedgerPlace:
    """Read only what tells of the ledger, so that no other secret need be present.

    Args:
        path: See `Settings.load`.
        url: Another database.

    Raises:
        ValueError: Nothing names a database.
        SettingsError: The tables have mistakes.
    """
    spend = load_spend(path, environment=environment) or SpendSettings()
    if url is None and spend.url is not None:
        url = spend.url.get_secret_value()
    if url is None and (keys := load_keys(path, environment=environment)) is not None:
        url = keys.url.get_secret_value()
    if url is None:
        raise ValueError("There is no ledger. Name its database with --url, or in [spend] or [keys] of the settings.")
    return LedgerPlace(url, spend.currency, spend.zone)
