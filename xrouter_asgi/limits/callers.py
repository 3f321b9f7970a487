"""Who asks, as far as limits care."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from ..context import RequestContext

Scope: TypeAlias = MutableMapping[str, Any]
Key: TypeAlias = Callable[[Scope], str | None]


@dataclass(frozen=True, slots=True)
class Subject:
    """On whose counts a request goes.

    Attributes:
        key: None if no limit per key is to hold.
        owner: If there is none, the key stands for it.
        limits: Limits that the caller's key brings along.
    """

    key: str | None
    owner: str | None
    address: str
    limits: tuple[str, ...] = ()

    @classmethod
    def of(cls, scope: Scope, key: Key) -> Subject:
        principal = RequestContext.of(scope).principal
        if principal is None:
            return cls(key(scope), None, address(scope))
        return cls(key(scope), principal.owner, address(scope), principal.limits)


def principal_or_address(scope: Scope) -> str | None:
    """The id of who was authenticated further out, else the address."""
    principal = RequestContext.of(scope).principal
    return f"address {address(scope)}" if principal is None else principal.id


def address(scope: Scope) -> str:
    """The peer's address; of IPv6 the network of 64 bits, which is what one customer has.

    No header is believed. Behind a proxy let the server put the client's address here (uvicorn: `--proxy-headers`).
    """
    client = scope.get("client")
    return _network(client[0]) if client else ""


@lru_cache(maxsize=4096)
def _network(host: str) -> str:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found.packed[:8] + bytes(8), 64)))
