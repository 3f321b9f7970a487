"""What the tests of authentication share: a key, a store that counts, and an app that notes who came in."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from tests.asgi_client import Headers
from xrouter_asgi.keys import APIKey, StaticKeys

SECRET = "xr_live_ZXQctJ1uYXBz70kGfNXbGUPoOe1VGKyU2MssRu"
KEY = APIKey("key_00000001", owner="alice")
BEARER: Headers = [(b"authorization", b"Bearer " + SECRET.encode())]


def bearer(secret: str) -> Headers:
    return [(b"authorization", b"Bearer " + secret.encode("latin-1"))]


class CountingKeys(StaticKeys):
    """The one key, and how often it was looked for; `error` is raised instead."""

    def __init__(self, key: APIKey = KEY, *, secret: str = SECRET) -> None:
        super().__init__({secret: key})
        self.lookups = 0
        self.error: Exception | None = None

    async def find(self, digests: Sequence[bytes], /) -> APIKey | None:
        self.lookups += 1
        if self.error is not None:
            raise self.error
        return await super().find(digests)


class Inside:
    """An ASGI app that answers `inside` to whatever reaches it."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        match scope["type"]:
            case "http":
                await send({"type": "http.response.start", "status": 200})
                await send({"type": "http.response.body", "body": b"inside"})
            case "websocket":
                await receive()
                await send({"type": "websocket.accept"})
                await send({"type": "websocket.close", "code": 1000})
            case _:
                await send({"type": "seen", "scope": scope})
