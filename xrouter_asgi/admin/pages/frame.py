"""What all pages share: templates, the reader's language, and how a page goes to a browser."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.types import Scope, Send

from ...asgi.responses import id_headers
from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...errors import NotFound
from ..sessions import Sessions, held_by, root_of
from .formats import FILTERS
from .texts import language_of, text

PART: Final = "part"
"""The parameter with which the script asks for what may have changed on a page, and nothing around it."""


class Frame:
    """Renders pages.

    Args:
        sessions: Those of browsers; None in a host with users of its own.

    Attributes:
        tabs: The pages that are served, in the order of the menu.
    """

    def __init__(self, sessions: Sessions | None) -> None:
        self.tabs: Sequence[str] = ()
        self._sessions = sessions
        self._environment = Environment(
            loader=PackageLoader("xrouter_asgi.admin"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(FILTERS)
        self._names = frozenset(self._environment.list_templates())

    def render(self, scope: Scope, page: str, **values: object) -> str:
        """The text of a page, or of the part of it that is asked for. Raises NotFound for a page without parts."""
        context, language = RequestContext.of(scope), language_of(scope)
        part = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get(PART)
        name = f"{page}.html" if part is None else f"parts/{page}.html"
        if name not in self._names:
            raise NotFound("This page has no parts.")
        return self._environment.get_template(name).render(
            page=page,
            tabs=self.tabs,
            lang=language,
            t=partial(text, language),
            root=root_of(scope),
            reader=context.principal,
            may_change=context.principal is not None and "admin" in context.principal.scopes,
            token=self._token(scope),
            signed_in=self._sessions is not None and held_by(scope) is not None,
            request_id=context.request_id,
            **values,
        )

    async def show(
        self, scope: Scope, send: Outgoing, context: RequestContext, page: str, *, status: int = 200, **values: object
    ) -> None:
        """Answer with a page."""
        await send_page(send, self.render(scope, page, **values), context, status=status)

    def _token(self, scope: Scope) -> str:
        """What forms prove with that they are ours; see `guard.check_origin`."""
        held = held_by(scope)
        return "" if self._sessions is None or held is None else self._sessions.token(held)


async def send_page(send: Send, page: str, context: RequestContext, *, status: int = 200) -> None:
    body = page.encode("utf-8", "replace")
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        *id_headers(context),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def is_browser(scope: Scope) -> bool:
    """Whether a person looks, and not a program."""
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])
