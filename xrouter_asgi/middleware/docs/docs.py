"""`GET /docs`: Swagger UI over `/openapi.json`, from files of the package. No other host is asked.

`files/` holds Swagger UI 5.35.0 (npm `swagger-ui-dist`, Apache-2.0) as it is, but for the addresses of its source maps.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from importlib.resources import files

from starlette.types import ASGIApp, Receive, Scope, Send

from ...asgi.excluded_paths import ExcludedPaths
from ...asgi.responses import NOSNIFF, id_headers
from ...asgi.routes import Routes
from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...errors import NotFound

_TYPES = {
    "swagger-ui.css": b"text/css; charset=utf-8",
    "swagger-ui-bundle.js": b"text/javascript; charset=utf-8",
    "start.js": b"text/javascript; charset=utf-8",
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class DocsMiddleware:
    """Shows the `/openapi.json` of the app inside at `/docs`, for a browser. Everything else passes.

    Around `APIKeyMiddleware` it shows the page to everybody; let that exclude `/openapi.json`, which the page reads.
    Below it, only who brings a key sees it, which a browser does not do by itself.

    Args:
        app: What to describe. It serves `/openapi.json` beside `/docs`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._here = ExcludedPaths(("/docs", "/docs/*"))
        self._pages = Routes({"/docs": {"GET": _page, "HEAD": _page}, "/docs/{name}": {"GET": _file, "HEAD": _file}})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        here = scope["type"] == "http" and self._here.match(scope)
        await (self._pages if here else self.app)(scope, receive, send)


async def _page(scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
    context.endpoint = "docs"
    asked = scope.get("raw_path") or scope["path"].encode("utf-8")
    folder = b"" if asked.endswith(b"/") else b"docs/"  # a browser leaves out what stands behind the last slash
    page = (await asyncio.to_thread(_read, "page.html")).replace(b"{folder}", folder)
    await _send(send, page, b"text/html; charset=utf-8", context)


async def _file(scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, name: str) -> None:
    context.endpoint = "docs"
    if name not in _TYPES:
        raise NotFound("There is no such file here. See /docs.")
    await _send(send, await asyncio.to_thread(_read, name), _TYPES[name], context)


async def _send(send: Outgoing, data: bytes, kind: bytes, context: RequestContext) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(data)),
        (b"content-security-policy", _POLICY),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
        NOSNIFF,
        *id_headers(context),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


@lru_cache
def _read(name: str) -> bytes:
    return files(__package__).joinpath("files", name).read_bytes()
