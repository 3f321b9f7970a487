"""Sessions: what a browser holds instead of a key."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from ..asgi.scope import local_path
from ..recent import Recent

SESSION: Final = "/session"
SESSION_END: Final = "/session/end"

LIFETIME: Final = 8 * 3600.0
"""Seconds after which a session ends, however busy it is."""

IDLE: Final = 3600.0
"""Seconds without a request after which it ends."""

_MOST = 1000  # sessions; the one that was idle longest has to go


@dataclass(slots=True)
class Session:
    """A browser that somebody has shown a key to.

    Attributes:
        key_id: Of that key. Whether it is still good is asked with each request.
        begun, used: In seconds of the clock of `Sessions`.
    """

    key_id: str
    begun: float
    used: float


class Sessions:
    """The sessions of one app, in memory. Of what the browser holds only a digest is kept.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pepper = os.urandom(32)
        self._sessions: Recent[bytes, Session] = Recent(_MOST)

    def begin(self, key_id: str) -> str:
        """Begin a session with this key. Returns what the browser is to hold."""
        held = secrets.token_urlsafe(32)
        now = self._clock()
        self._sessions.put(self._digest(held), Session(key_id, now, now))
        return held

    def find(self, held: str) -> Session | None:
        """The session of what a browser holds, if it has not ended. This counts as its use."""
        digest, now = self._digest(held), self._clock()
        session = self._sessions.get(digest)
        if session is None:
            return None
        if now >= min(session.begun + LIFETIME, session.used + IDLE):
            self._sessions.discard(digest)
            return None
        session.used = now
        return session

    def end(self, held: str) -> None:
        self._sessions.discard(self._digest(held))

    def token(self, held: str) -> str:
        """What proves that a change was asked for by a page of ours, where the browser does not say so."""
        return hmac.new(self._pepper, held.encode("utf-8", "replace"), "sha256").hexdigest()

    def _digest(self, held: str) -> bytes:
        return hashlib.blake2b(held.encode("utf-8", "replace"), key=self._pepper, digest_size=32).digest()


def cookie_name(scope: Scope) -> str:
    """At the root of a host the name says that the cookie is bound to it (RFC 6265bis, 4.1.3.2)."""
    return "xrouter" if mount_of(scope) else "__Host-xrouter"


def mount_of(scope: Scope) -> str:
    """The path under which the app is mounted; empty at the root, and where the host does not say."""
    root: str = scope.get("root_path", "")
    return root.rstrip("/")


def root_of(scope: Scope) -> str:
    """The way from the page that is asked for to the first one, such as `../` from `/requests/req_1`.

    Links that begin with it are right behind a proxy or a host that takes a prefix off the path and does not say so.
    """
    asked: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
    slashes = len(asked) - len(asked.rstrip(b"/"))
    local = local_path(scope)
    if local == "/" and not slashes:
        return f"./{asked.rpartition(b'/')[2].decode('latin-1')}/"
    return "../" * (local.rstrip("/").count("/") + slashes - 1) or "./"


def held_by(scope: Scope) -> str | None:
    """What the browser holds; None for nothing, and for a cookie that came twice: a neighbour may have set one."""
    name, found = cookie_name(scope), []
    for header, value in scope["headers"]:
        if header == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, held = pair.strip().partition("=")
                if key == name:
                    found.append(held)
    return found[0] if len(found) == 1 else None


def set_cookie(scope: Scope, held: str | None) -> tuple[bytes, bytes]:
    """The header that has the browser hold this; None has it forget."""
    path = mount_of(scope) or "/"
    age = int(LIFETIME) if held is not None else 0
    text = f"{cookie_name(scope)}={held or ''}; Path={path}; Max-Age={age}; HttpOnly; Secure; SameSite=Strict"
    return b"set-cookie", text.encode("latin-1", "replace")
