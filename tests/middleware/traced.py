"""Applications under tracing."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from tests.asgi_client import Headers
from tests.middleware.spans import Recorded
from xrouter_asgi.middleware.tracing import TracingMiddleware
from xrouter_asgi.providers.base import Call, Provider
from xrouter_asgi.providers.target import Target
from xrouter_asgi.router.router import LLMRouter

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = (b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())


def traceparent_of(call: Call) -> str:
    """What goes upstream with the call."""
    return dict(call.trace_headers)[b"traceparent"].decode()


def routed(provider: Provider) -> LLMRouter:
    return LLMRouter({"scripted": Target(provider, model="gpt-there")})


def traced(app: ASGIApp, recorded: Recorded, *, propagate: bool = True) -> TracingMiddleware:
    return recorded.around(app, propagate=propagate)


def answering(status: int = 200, *, headers: Headers = ()) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"hi"})

    return app
