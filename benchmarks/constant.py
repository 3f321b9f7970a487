"""A constant answer, served as `xrouter serve` serves: what a request costs before anything looks at it."""

from __future__ import annotations

import sys

from starlette.types import Receive, Scope, Send

from xrouter_asgi.server.listener import listener_at
from xrouter_asgi.server.server import Server

_BODY = b'{"error":{"message":"This gateway is overloaded. Please try again in 5s.","code":"overloaded"}}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for moment in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{moment}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})


def _nothing() -> None: ...


def _say(address: str) -> None:
    print(f"constant serves at {address}/v1", file=sys.stderr, flush=True)


if __name__ == "__main__":
    Server(app, drain=_nothing, stop=_nothing, grace=0, listening=_say).serve_at(listener_at("127.0.0.1", 0))
