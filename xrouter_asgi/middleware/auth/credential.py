"""The key that a request carries, the check of it, and the throttle for wrong ones.

The key stands in one header and is sent once. A request that can be read in two ways is refused, because the proxy
before this gateway or the application behind it may read it in the other way. A key in the query string is refused, not
ignored: every proxy on its way has already logged it (RFC 6750, 5.3), and its owner has to know.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from asyncio import get_running_loop
from collections.abc import Awaitable
from urllib.parse import parse_qsl

from starlette.types import Scope

from ...asgi.hooks import HostRefusal
from ...asgi.scope import peer_address
from ...context import Principal
from ...errors import InvalidAPIKey, InvalidRequest, PermissionDenied, RateLimitExceeded
from ...keys import APIKey, CachedKeys
from ...keys.secret import ADMIN, well_formed
from ...recent import Recent

ADDRESSES = 10_000  # that are remembered after a failure
TRUSTED = 10_000  # secrets that are remembered as good
INTERVAL = 0.2  # seconds for which a wrong key is held against its address
LOOKUP_INTERVAL = 0.1  # seconds between two lookups of keys with a right checksum for an address that has to wait
BURST = 1.0  # seconds by which an address may be ahead: it may send 5 wrong keys at once

_CARRIERS = frozenset({b"authorization", b"x-api-key", b"api-key"})  # the last two of Anthropic's clients, and Azure's
_QUERY = frozenset({"access_token", "api-key", "api_key", "apikey", "x-api-key"})
_HOW = "Send it once, in the header 'Authorization: Bearer KEY'."

logger = logging.getLogger("xrouter")


class KeyCheck:
    """Finds the caller by the key in the headers."""

    def __init__(self, keys: CachedKeys, failures: Failures) -> None:
        self._keys = keys
        self._failures = failures
        self._warned = False

    def __call__(self, scope: Scope) -> Principal | Awaitable[Principal]:
        """The principal of the key, at once if it is remembered. All wrong keys get the same answer.

        Raises what `key_of` raises, InvalidRequest without a key, and PermissionDenied for the key of an operator.
        """
        secret = read_secret(scope)
        return self._keys.remembered(secret) or self._check(scope, secret)

    async def key_of(self, scope: Scope, secret: str) -> APIKey:
        """The key with this secret, which came with a request.

        Raises InvalidAPIKey, RateLimitExceeded after too many wrong keys, KeyStoreUnavailable, and HostRefusal.
        """
        address = peer_address(scope)
        if wait := self._failures.wait(address, secret):
            raise RateLimitExceeded(
                f"Too many wrong API keys came from your address. Please try again in {wait:.1f}s.", retry_after=wait
            )
        try:
            key = await self._keys.check(secret)
        except HostRefusal as refusal:
            if refusal.status == 401:
                self._failures.wrong(address, secret)
            raise
        if key is None:
            self._failures.wrong(address, secret)
            self._look_for_proxy(scope)
            raise InvalidAPIKey("Incorrect API key provided. It is unknown, expired or revoked.")
        self._failures.right(secret)
        return key

    async def _check(self, scope: Scope, secret: str) -> Principal:
        key = await self.key_of(scope, secret)
        if key.kind == ADMIN:
            raise PermissionDenied("This is the key of an operator. It opens the operator's API, and no model.")
        return key.principal()

    def _look_for_proxy(self, scope: Scope) -> None:
        """Warn once if a proxy names its clients and the server does not listen: all of them share one address."""
        peer = scope["client"][0] if scope.get("client") else ""
        named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        if not self._warned and named and peer not in re.split(r"[,\s]+", ",".join(named)):
            self._warned = True
            logger.warning(
                "A wrong API key came from %s with an X-Forwarded-For that is not believed. If this is your proxy, the "
                "wrong keys of one caller hold up all others. Name it in [server] trusted_proxies.",
                peer or "a peer without an address",
            )


def read_secret(scope: Scope) -> str:
    """The key in `Authorization: Bearer`, `x-api-key` or `api-key`; in several of them, if all hold the same.

    Raises InvalidRequest (401) if there is no key, and InvalidAPIKey if the request can be read in two ways.
    """
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in _CARRIERS:
            if name in found:
                raise InvalidAPIKey(f"The header '{name.decode()}' came more than once. Send your API key once.")
            text = value.decode("latin-1").strip(" \t")
            found[name] = _token(text) if name == b"authorization" else text
    if (query := scope["query_string"]) and _holds_key(query.decode("latin-1")):
        raise InvalidAPIKey(f"An API key must not be part of a URL. {_HOW} Have this one replaced: URLs are logged.")
    secrets = set(found.values())
    secrets.discard("")
    if not secrets:
        raise InvalidRequest(f"You did not provide an API key. {_HOW}", status=401)
    if len(secrets) > 1:
        raise InvalidAPIKey(f"The request carries different API keys. {_HOW}")
    return secrets.pop()


def _holds_key(query: str) -> bool:
    return any(name.lower() in _QUERY for name, _ in parse_qsl(query, keep_blank_values=True))


def _token(value: str) -> str:
    """The text after `Bearer`, which may be in any case (RFC 9110, 11.1), and after at least one space."""
    scheme, _, token = value.partition(" ")
    if scheme and scheme.lower() != "bearer":
        raise InvalidAPIKey(f"This scheme of Authorization is not accepted. {_HOW}")
    return token.strip(" \t")


class Failures:
    """Counts wrong keys by address: guessing slows down before a guess costs a lookup.

    An address may send 5 wrong keys in a second, then it has to wait. Behind a proxy or in an office all callers share
    one address, so two kinds of keys do not wait for their neighbours' mistakes: one that was right before, and, ten
    times a second, one that has the checksum of our keys. They are checked all the same.
    """

    def __init__(self) -> None:
        self._wrong = _Buckets(INTERVAL)
        self._looked_up = _Buckets(LOOKUP_INTERVAL)
        # The digests are keyed, so that those in a dump of this process open nothing elsewhere.
        self._pepper = os.urandom(32)
        self._trusted: Recent[bytes, bool] = Recent(TRUSTED)

    def wait(self, address: str, secret: str) -> float:
        """Seconds until this address may try this secret; 0 if it may now."""
        wait = self._wrong.wait(address)
        if not wait or self._digest(secret) in self._trusted:
            return 0.0
        if well_formed(secret) and not self._looked_up.wait(address):
            self._looked_up.add(address)
            return 0.0
        return wait

    def wrong(self, address: str, secret: str) -> None:
        self._trusted.discard(self._digest(secret))
        self._wrong.add(address)

    def right(self, secret: str) -> None:
        self._trusted.put(self._digest(secret), True)

    def _digest(self, secret: str) -> bytes:
        return hashlib.blake2b(secret.encode("latin-1"), key=self._pepper, digest_size=32).digest()


class _Buckets:
    """A leaky bucket for each address, in one number (GCRA): when it will be empty, at most `BURST` from now."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._empty: Recent[str, float] = Recent(ADDRESSES)

    def wait(self, address: str) -> float:
        """Seconds until there is room for one more; 0 if there is."""
        if not self._empty:
            return 0.0
        wait = (self._empty.get(address) or 0.0) + self._interval - BURST - get_running_loop().time()
        return 0.0 if wait < 1e-6 else wait  # nobody waits for a rounding error

    def add(self, address: str) -> None:
        now = get_running_loop().time()
        empty = max(now, self._empty.get(address) or 0.0) + self._interval
        # What ran together does not add up: the wait is one interval at most.
        self._empty.put(address, min(empty, now + BURST))
