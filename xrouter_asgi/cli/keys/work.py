"""What every action of `xrouter keys` works with: the store, who does it, and where it says what."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import platform
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from ...errors import KeyStoreUnavailable
from ...keys import Hasher, Issuer, RedisChanges, UnknownKey
from ...settings import LedgerPlace, SettingsError, SpendSettings, load_keys, load_ledger, load_rate_limit, load_spend
from ...settings.environment import KEYS_PEPPER as PEPPER
from ...settings.environment import KEYS_URL as URL
from ..base import fail, say

if TYPE_CHECKING:
    from ...keys import SQLKeyStore


@dataclass(frozen=True, slots=True)
class KeyWork:
    """What an action works with.

    Attributes:
        currency: That of the prices; None if no settings were read.
        ledger: Where what keys have spent is written down; None if the settings have no `[spend]`.
    """

    store: SQLKeyStore
    issuer: Issuer
    hasher: Hasher
    options: argparse.Namespace
    currency: str | None
    ledger: LedgerPlace | None

    def tell(self, text: str, document: object) -> None:
        """Print on standard output: words for people, or JSON for scripts."""
        print(in_json(document) if self.options.json else text)


Act: TypeAlias = Callable[[KeyWork], Awaitable[None]]


def in_json(document: object) -> str:
    def plain(value: datetime | frozenset[str]) -> object:
        return value.isoformat() if isinstance(value, datetime) else sorted(value)

    return json.dumps(document, ensure_ascii=False, default=plain)


def run(act: Act, environment: Mapping[str, str], options: argparse.Namespace) -> int:
    """Do one action on the database that is named. Returns the exit code."""
    try:
        asyncio.run(_open(act, options, _place(options, environment)))
    except KeyStoreUnavailable as error:
        return fail(f"The key store cannot be asked. {error.detail or error.message}")
    except (ValueError, UnknownKey, ModuleNotFoundError) as error:
        return fail(str(error))
    return 0


@dataclass(frozen=True, slots=True)
class _Place:
    """The database, the hasher of its keys, who is told of changes, and what the settings say of money."""

    url: str
    hasher: Hasher
    changes: RedisChanges | None = None
    currency: str | None = None
    ledger: LedgerPlace | None = None


def _place(options: argparse.Namespace, environment: Mapping[str, str]) -> _Place:
    """As the environment names it, or the settings."""
    url = options.url or (None if options.config else environment.get(URL))
    if url:
        return _Place(url, Hasher.parse(environment.get(PEPPER, "")))
    settings = load_keys(options.config, environment=environment)
    if settings is None:
        how = f"Name it with --url or ${URL}, such as sqlite:///keys.db, or in [keys] of the settings."
        raise ValueError(f"There is no database. {how}")
    spend = load_spend(options.config, environment=environment)
    return _Place(
        settings.url.get_secret_value(),
        settings.hasher,
        _changes(options, environment),
        currency=(spend or SpendSettings()).currency,
        ledger=None if spend is None else load_ledger(options.config, environment=environment),
    )


def _changes(options: argparse.Namespace, environment: Mapping[str, str]) -> RedisChanges | None:
    """The Redis that the servers listen to, if they share their limits in one."""
    try:
        limits = load_rate_limit(options.config, environment=environment)
    except SettingsError as error:
        say(f"Servers may notice changes only after 5 seconds. {error.problems[0]}")
        return None
    return None if limits is None else limits.key_changes()


async def _open(act: Act, options: argparse.Namespace, place: _Place) -> None:
    from ...keys import SQLKeyStore

    store = SQLKeyStore(place.url, changes=place.changes)
    issuer = Issuer(store, by=user(), hasher=place.hasher, currency=place.currency)
    try:
        await act(KeyWork(store, issuer, place.hasher, options, place.currency, place.ledger))
    finally:
        await store.aclose()


def user() -> str:
    """Who does it, for the audit."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # A container may run as a number without a name.
        name = str(os.getuid())
    return f"{name}@{platform.node()}"
