"""Who may: the holder of an admin key, a browser with a session, or a principal of the host's; from where; and what."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from inspect import isawaitable
from typing import TypeAlias

from starlette.types import Scope

from ..asgi.scope import local_path
from ..context import Principal
from ..errors import InvalidRequest, PermissionDenied
from ..keys import CachedKeys, Hasher, KeyRegistry, UnknownKey
from ..keys.base import APIKey, utc_now
from ..keys.secret import ADMIN
from ..middleware.auth import Identify
from ..middleware.auth.credential import Failures, KeyCheck, read_secret
from .sessions import SESSION_END, Sessions, held_by

TOKEN = b"x-xrouter-token"
"""The header with `Sessions.token`, for browsers that do not say which site a request comes from."""

_LOOKS = frozenset({"GET", "HEAD"})
_MAY_LOOK, _MAY_CHANGE = frozenset({"admin", "admin:read"}), frozenset({"admin"})
_CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key"})

Find: TypeAlias = Callable[[Scope], Awaitable[Principal]]


class OperatorGuard:
    """Lets operators in, and nobody else.

    Args:
        allow: Networks of peers; none means all.
    """

    def __init__(self, find: Find, *, allow: Iterable[str] = ()) -> None:
        self._find = find
        self._networks = [ipaddress.ip_network(each) for each in allow]

    async def admit(self, scope: Scope) -> Principal:
        """The operator who asks.

        Raises InvalidRequest (401) for nobody, PermissionDenied for who may not, from here, or in this way, and what a
        key store raises.
        """
        self.check_peer(scope)
        principal = await self._find(scope)
        # Whoever may look may also leave.
        looks = scope["method"] in _LOOKS or local_path(scope) == SESSION_END
        # By name: a principal without scopes has all of them in a router, which must make nobody an operator.
        if not principal.scopes & (_MAY_LOOK if looks else _MAY_CHANGE):
            needed = "'admin' or 'admin:read'" if looks else "'admin'"
            raise PermissionDenied(f"This needs the scope {needed}.", code="insufficient_scope")
        return principal

    def check_peer(self, scope: Scope) -> None:
        """Raise PermissionDenied for a peer that is in none of the networks."""
        if self._networks and not self._allows(scope["client"][0] if scope.get("client") else ""):
            raise PermissionDenied("Your address is not among those that may come here.")

    def _allows(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in self._networks)


class OperatorKeys:
    """Finds operators by their admin keys: each request has one, or the session that one was exchanged for."""

    def __init__(self, registry: KeyRegistry, hasher: Hasher, sessions: Sessions) -> None:
        self._registry = registry
        self._sessions = sessions
        self._keys = CachedKeys(registry, hasher=hasher)
        self._check = KeyCheck(self._keys, Failures())

    async def __call__(self, scope: Scope) -> Principal:
        if any(name in _CREDENTIALS for name, _ in scope["headers"]):
            check_origin(scope, by_itself=True)
            return (await self.key_of(scope, read_secret(scope))).principal()
        held = held_by(scope)
        session = None if held is None else self._sessions.find(held)
        if held is None or session is None:
            raise InvalidRequest("This is for operators. Send an admin key as 'Authorization: Bearer KEY'.", status=401)
        check_origin(scope, token=self._sessions.token(held))
        key = await self._still_good(session.key_id)
        if key is None:
            self._sessions.end(held)
            raise InvalidRequest("The key of this session is no longer good.", status=401)
        return key.principal()

    async def key_of(self, scope: Scope, secret: str) -> APIKey:
        """The admin key with this secret. Raises PermissionDenied for another one, and what `KeyCheck` raises."""
        key = await self._check.key_of(scope, secret)
        if key.kind != ADMIN:
            raise PermissionDenied("This is no admin key. Make one with: xrouter admin key")
        return key

    async def aclose(self) -> None:
        """Wait for the lookups under way. The registry stays open."""
        await self._keys.wait()

    async def _still_good(self, id: str) -> APIKey | None:
        try:
            key = await self._registry.get(id)
        except UnknownKey:
            return None
        return key if key.usable(utc_now()) else None


class HostUsers:
    """Finds operators as the host does."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify

    async def __call__(self, scope: Scope) -> Principal:
        found = self._identify(scope)
        principal = await found if isawaitable(found) else found
        if principal is None:
            raise InvalidRequest("This request does not say who is asking.", status=401)
        check_origin(scope)
        return principal


def check_origin(scope: Scope, *, by_itself: bool = False, token: str | None = None) -> None:
    """Raise PermissionDenied for a change that a page of another site asks for.

    Browsers say where a request comes from in `Sec-Fetch-Site`. Old ones say only `Origin`: then it must be the host
    that they ask, and the token is needed, too.

    Args:
        by_itself: No browser adds this credential by itself, so a request without an origin is no page's.
        token: The token of the session, if there is one.
    """
    if scope["method"] in _LOOKS:
        return
    headers: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name, []).append(value)
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is not None:
        ours = site == [b"same-origin"]
    elif origin is None:
        ours = by_itself
    else:
        given = headers.get(TOKEN, [b""])[0]
        proven = by_itself or token is None or hmac.compare_digest(given, token.encode("ascii"))
        host = headers.get(b"host", [])
        ours = proven and len(origin) == len(host) == 1 and origin[0].partition(b"://")[2] == host[0]
    if not ours:
        raise PermissionDenied("A change can only be asked for by a page of this host.", code="cross_origin")
