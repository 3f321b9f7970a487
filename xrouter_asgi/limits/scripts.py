"""The Lua scripts of this folder, which count in Redis or Valkey, as methods."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from itertools import count
from typing import Any, Final

from .base import SLICES, Charge, Counted, LimitStatus, Reservation
from .link import Word
from .servers import server_at

NO_LEASE: Final = ""
"""Reserves nothing: its answer only tells how far the counts are used up."""

_LEASE_TTL: Final = 6 * 3_600  # seconds; what is settled later keeps its estimated cost
_BATCH: Final = 500  # slots renewed by one call, because Redis does nothing else meanwhile


class RedisScripts:
    """Runs the scripts on the servers of a URL.

    A call is sent at once. Its script uses the server's clock, and may be repeated. One script reaches the charges of
    one slot of a cluster; where there is no cluster, all charges have one slot. All keys of a subject share a hash tag,
    and so a slot. Keys hold digests, never text of a client.

    Args:
        url: See `server_at`.
        slot_ttl: Seconds that a parallel slot is held without being renewed.
    """

    def __init__(self, url: str, *, slot_ttl: float) -> None:
        self._slot_ttl = slot_ttl
        shared = f"local slices = {SLICES}\n{_read('count')}\n"
        scripts = [shared + _read(name) for name in ("reserve", "settle", "renew")]
        self._reserve, self._settle, self._renew = map(digest, scripts)
        self.server = server_at(url, tuple(scripts))

    @property
    def connected(self) -> bool:
        return self.server.connected

    async def connect(self) -> None:
        await self.server.connect()

    def disconnect(self) -> None:
        self.server.disconnect()

    def is_lost(self, error: Exception) -> bool:
        """A connection was closed while it was idle, or leads to a server that is not the one any more."""
        from redis.exceptions import AskError, ConnectionError, MovedError, NoScriptError, ReadOnlyError

        return isinstance(error, (AskError, ConnectionError, MovedError, NoScriptError, ReadOnlyError))

    def probe(self) -> list[asyncio.Future[Any]]:
        """Reserve nothing, on every server. A PING would not do: a full server and a replica answer it too."""
        return [self._send(self._reserve, slot, [f"{tag}:probe"], ["probe", 0, 1]) for slot, tag in self._probed()]

    def by_slot(self, charges: Sequence[Charge]) -> dict[int, list[int]]:
        """Which charges one script can reach, as indices, by their slot."""
        found: dict[int, list[int]] = {}
        for index, charge in enumerate(charges):
            found.setdefault(self.server.slot(_tag(charge.subject)), []).append(index)
        return found

    def reserve(self, lease: str, charges: Sequence[Charge]) -> asyncio.Future[Any]:
        """Take the charges of one slot, or none, as `NO_LEASE` always does. `reservation()` reads the answer."""
        # A charge for requests alone is settled only to give it back, which happens at once or never.
        lease_ttl = self._slot_ttl if all(charge.limit.unit == "requests" for charge in charges) else _LEASE_TTL
        arguments: list[Word] = [lease, round(self._slot_ttl * 1e6), round(lease_ttl * 1e3)]
        for charge in charges:
            arguments += charge.limit.amount, charge.cost, _window(charge)
        return self._run(self._reserve, lease, charges, arguments)

    @staticmethod
    def reservation(charges: Sequence[Charge], answer: Sequence[int]) -> Reservation:
        refused, wait, *numbers = answer
        statuses = [
            LimitStatus(charge.limit, remaining, reset / 1e6)
            for charge, remaining, reset in zip(charges, numbers[::2], numbers[1::2], strict=True)
        ]
        limit = charges[refused - 1].limit if refused else None
        return Reservation(limit is None, limit, wait / 1e6, statuses)

    def settle(self, lease: str, charges: Sequence[Charge], differences: Sequence[int]) -> asyncio.Future[Any]:
        """Add the differences to the charges of one slot, once."""
        arguments: list[Word] = [lease, round(self._slot_ttl * 1e3)]
        for charge, difference in zip(charges, differences, strict=True):
            arguments += difference, charge.limit.amount, _window(charge)
        return self._run(self._settle, lease, charges, arguments)

    def renew(self, leases: Mapping[str, Sequence[Charge]]) -> list[asyncio.Future[Any]]:
        """Hold the parallel slots of these leases for another `slot_ttl`."""
        held: dict[int, list[tuple[str, str, str]]] = {}
        for lease, charges in leases.items():
            for slot, indices in self.by_slot(charges).items():
                record, *keys = _keys(lease, [charges[index] for index in indices])
                pairs = held.setdefault(slot, [])
                pairs += [(record, key, lease) for key, index in zip(keys, indices, strict=True) if charges[index].held]
        return [
            self._send(
                self._renew,
                slot,
                [key for record, slots, _ in batch for key in (record, slots)],
                [round(self._slot_ttl * 1e6), *(lease for _, _, lease in batch)],
            )
            for slot, pairs in held.items()
            for batch in (pairs[start : start + _BATCH] for start in range(0, len(pairs), _BATCH))
        ]

    def _run(
        self, script: str, lease: str, charges: Sequence[Charge], arguments: Sequence[Word]
    ) -> asyncio.Future[Any]:
        return self._send(script, self.server.slot(_tag(charges[0].subject)), _keys(lease, charges), arguments)

    def _send(self, script: str, slot: int, keys: Sequence[str], arguments: Sequence[Word]) -> asyncio.Future[Any]:
        return self.server.link(slot).send("EVALSHA", script, len(keys), *keys, *arguments)

    def _probed(self) -> Iterator[tuple[int, str]]:
        """A slot, and a tag that has it, for each server."""
        missing = set(self.server.links)
        for number in count():
            tag = f"xrouter:{{{number}}}"
            slot = self.server.slot(tag)
            if (link := self.server.link(slot)) in missing:
                missing.remove(link)
                yield slot, tag
            if not missing:
                return


def _read(name: str) -> str:
    return files(__package__).joinpath(f"{name}.lua").read_text("utf-8")


def digest(script: str) -> str:
    """Redis' name for a script. Where OpenSSL keeps to FIPS, SHA-1 is there only for such uses."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _keys(lease: str, charges: Sequence[Charge]) -> list[str]:
    """The lease's record, then a count for each charge."""
    return [f"{_tag(charges[0].subject)}:lease:{lease}", *(_key(charge.counted) for charge in charges)]


def _window(charge: Charge) -> int:
    """The window as the scripts are told it: see count.lua."""
    return round(charge.limit.window * 1e6) if charge.span is None else -round(charge.span.ends * 1e6)


@lru_cache(maxsize=4096)  # busy callers
def _tag(subject: str) -> str:
    return f"xrouter:{{{_short(subject)}}}"


@lru_cache(maxsize=4096)
def _key(counted: Counted) -> str:
    subject, limit, models, period = counted
    name = f"{limit} {models or ''} {period or ''}"
    return f"{_tag(subject)}:{limit.partition(' ')[0]}:{_short(name)}"


def _short(name: str) -> str:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
