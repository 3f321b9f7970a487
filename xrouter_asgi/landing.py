"""What stands at `/`: what this is, and where things are. It tells nothing that a stranger could use."""

from __future__ import annotations

import json

from starlette.types import Receive, Scope, Send

from .asgi.responses import NOSNIFF, id_headers
from .asgi.routes import Routes
from .asgi.sending import Outgoing
from .context import RequestContext

DOCS = "https://github.com/xrouter/xrouter-asgi/tree/main/docs"

_THINGS = {
    "models": ("v1/models", "The models that a key may ask for"),
    "openapi": ("openapi.json", "What can be asked, as OpenAPI 3.1"),
    "health": ("health", "Whether the process runs"),
    "ready": ("ready", "Whether it takes requests"),
    "docs": (DOCS, "How to use it"),
}
_JSON = json.dumps({"name": "xrouter", "about": "An LLM gateway.", **{name: to for name, (to, _) in _THINGS.items()}})
_ITEMS = "\n".join(f'<li><a href="{to}">{name}</a>: {text}.</li>' for name, (to, text) in _THINGS.items())
_HTML = f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>xrouter</title>
</head>
<body>
<h1>xrouter</h1>
<p>An LLM gateway. Clients of OpenAI and Anthropic work with it: give them this address and a key.</p>
<ul>
{_ITEMS}
</ul>
</body>
</html>
"""
_POLICY = (b"content-security-policy", b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'")


class Landing:
    """An ASGI application that says so: as a page to browsers, and as JSON to everybody else.

    Links are relative, so it may be mounted anywhere.
    """

    def __init__(self) -> None:
        self._routes = Routes({"/": {"GET": self._answer, "HEAD": self._answer}})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        await self._routes(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        context.endpoint = "index"
        is_browser = any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])
        kind, text = (b"text/html; charset=utf-8", _HTML) if is_browser else (b"application/json", _JSON)
        body = text.encode("utf-8")
        length = (b"content-length", b"%d" % len(body))
        vary = (b"vary", b"accept")
        headers = [(b"content-type", kind), length, vary, NOSNIFF, _POLICY, *id_headers(context)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
