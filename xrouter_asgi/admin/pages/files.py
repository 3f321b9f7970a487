"""What pages are made with: the style, the script, the charts. It tells nothing, so everybody may have it."""

from __future__ import annotations

import asyncio
from functools import lru_cache, partial
from hashlib import blake2b
from importlib.resources import files as files_of

from starlette.types import Receive, Scope

from ...asgi.responses import id_headers
from ...asgi.routes import Endpoint
from ...asgi.sending import Outgoing
from ...context import RequestContext

_TYPES = {
    "page.css": b"text/css; charset=utf-8",
    "page.js": b"text/javascript; charset=utf-8",
    "mark.svg": b"image/svg+xml",
    "uplot.js": b"text/javascript; charset=utf-8",
    "uplot.css": b"text/css; charset=utf-8",
}


def files() -> dict[str, dict[str, Endpoint]]:
    """Their endpoints by path, then by method."""
    found: dict[str, dict[str, Endpoint]] = {}
    for name in _TYPES:
        endpoint = partial(_file, name=name)
        found[f"/static/{name}"] = {"GET": endpoint, "HEAD": endpoint}
    return found


async def _file(scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, *, name: str) -> None:
    data, tag = await asyncio.to_thread(_read, name)
    headers = [(b"etag", tag), (b"cache-control", b"no-cache"), *id_headers(context)]
    if (b"if-none-match", tag) in scope["headers"]:
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    headers += [(b"content-type", _TYPES[name]), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


@lru_cache
def _read(name: str) -> tuple[bytes, bytes]:
    """A file, and its tag, which changes with it."""
    data = files_of("xrouter_asgi.admin").joinpath("static", name).read_bytes()
    return data, b'"%s"' % blake2b(data, digest_size=8).hexdigest().encode("ascii")
