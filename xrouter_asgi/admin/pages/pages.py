"""The operator's pages: paths → endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from ...asgi.responses import send_error
from ...asgi.routes import Endpoint
from ...asgi.scope import local_path
from ...context import RequestContext
from ...errors import XRouterError
from ..api.parts import AdminParts
from ..sessions import SESSION, Sessions
from .files import files
from .frame import Frame, is_browser, send_page
from .keys import KeyPages
from .models import ModelPages
from .now import NowPage
from .requests import RequestPages
from .settings import SettingsPage
from .spend import SpendPage


class SomePages(Protocol):
    """What belongs together."""

    def paths(self) -> Mapping[str, Mapping[str, Endpoint]]: ...


class Pages:
    """The pages over the parts of the API, whose methods give them what they show.

    Args:
        sessions: Those of browsers; None in a host with users of its own, who sign in there.
    """

    def __init__(self, parts: AdminParts, sessions: Sessions | None) -> None:
        self._signing = sessions is not None
        self._frame = frame = Frame(sessions)
        self._pages: dict[str, SomePages] = {
            "now": NowPage(frame, parts.overview, parts.requests, parts.upstreams, parts.spend),
            "requests": RequestPages(frame, parts.requests),
            "models": ModelPages(frame, parts.upstreams, currency=parts.currency),
        }
        if parts.keys is not None:
            self._pages["keys"] = KeyPages(frame, parts.keys, parts.spend)
        if parts.spend is not None:
            self._pages["spend"] = SpendPage(frame, parts.spend)
        if parts.settings.settings is not None:
            self._pages["settings"] = SettingsPage(frame, parts.settings)
        frame.tabs = tuple(self._pages)

    def paths(self) -> dict[str, Mapping[str, Endpoint]]:
        """Those that only operators see."""
        return {path: methods for pages in self._pages.values() for path, methods in pages.paths().items()}

    @staticmethod
    def open_paths() -> dict[str, Mapping[str, Endpoint]]:
        """Those that everybody sees: what pages are made with."""
        return {**files()}

    def on_error(self, scope: Scope, error: XRouterError) -> ASGIApp:
        """A page for browsers, which offers to sign in to those who have not; for programs the envelope of the API."""
        if not is_browser(scope):
            return _EnvelopeApp(error)
        showing, here = local_path(scope) == SESSION, {**scope, "query_string": b""}
        if self._signing and (error.status == 401 or showing):
            # A browser that another site led here leaves out the cookie (RFC 6265bis, 5.2). It is to ask again.
            again = (b"sec-fetch-site", b"cross-site") in scope["headers"] and scope["method"] == "GET"
            problem = error.message if showing else None
            page = self._frame.render(here, "sign_in", again=again, to=_asked(scope), problem=problem)
        else:
            page = self._frame.render(here, "error", error=error, phrase=HTTPStatus(error.status).phrase)
        return _PageApp(page, error.status)


class _EnvelopeApp:
    def __init__(self, error: XRouterError) -> None:
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_error(send, self._error, context=RequestContext.of(scope))


class _PageApp:
    def __init__(self, page: str, status: int) -> None:
        self._page = page
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_page(send, self._page, RequestContext.of(scope), status=self._status)


def _asked(scope: Scope) -> str:
    """The page that was asked for, from the first one on, to go there once somebody has signed in."""
    if scope["method"] not in ("GET", "HEAD"):
        return ""
    query = scope["query_string"].decode("latin-1")
    return local_path(scope).lstrip("/") + (f"?{query}" if query else "")
