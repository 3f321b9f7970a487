"""Signing in and out: a browser exchanges an admin key for a session."""

from __future__ import annotations

import re

from pydantic import ValidationError
from starlette.types import Receive, Scope

from ..asgi.body import read_body
from ..asgi.responses import id_headers, send_json
from ..asgi.routes import Endpoint
from ..asgi.sending import Outgoing
from ..context import RequestContext
from ..errors import InvalidRequest
from .api.operation import Body
from .forms import go_to, is_form, read_form
from .guard import OperatorGuard, OperatorKeys, check_origin
from .sessions import SESSION, SESSION_END, Sessions, held_by, set_cookie

_LARGEST = 4096  # bytes
_PAGE = re.compile(r"(?!.*\.\.)[\w.-][\w./~%-]{0,200}(\?[\w./~%?&=+:*-]{0,500})?", re.ASCII)  # of ours
_WANTED = "Send one 'key', in a form or as JSON."


class Shown(Body):
    """The key that a browser shows."""

    key: str


class SignIn:
    """`/session` and `/session/end`. To forms it answers with the way to the first page, and else with JSON."""

    def __init__(self, keys: OperatorKeys, sessions: Sessions, guard: OperatorGuard) -> None:
        self._keys = keys
        self._sessions = sessions
        self._guard = guard

    def paths(self) -> dict[str, dict[str, Endpoint]]:
        return {SESSION: {"POST": self._begin}, SESSION_END: {"POST": self._end}}

    async def _begin(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        self._guard.check_peer(scope)
        check_origin(scope, by_itself=True)
        if not is_form(scope):
            key = await self._keys.key_of(scope, _secret(await read_body(scope, receive, limit=_LARGEST)))
            held = self._sessions.begin(key.id)
            await _answer(scope, send, context, held, self._sessions.token(held))
            return
        fields = await read_form(scope, receive)
        if "key" not in fields:
            raise InvalidRequest(_WANTED, param="key")
        key = await self._keys.key_of(scope, fields["key"])
        to = fields.get("to", "")
        cookie = set_cookie(scope, self._sessions.begin(key.id))
        await go_to(scope, send, context, to if _PAGE.fullmatch(to) else "", cookie)

    async def _end(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        if (held := held_by(scope)) is not None:
            self._sessions.end(held)
        if is_form(scope):
            await go_to(scope, send, context, "", set_cookie(scope, None))
        else:
            await _answer(scope, send, context, None)


async def _answer(scope: Scope, send: Outgoing, context: RequestContext, held: str | None, token: str = "") -> None:
    """Tell a program the token."""
    text = b'{"token":"%s"}' % token.encode("ascii") if token else b"{}"
    await send_json(send, text, headers=[*id_headers(context), set_cookie(scope, held)])


def _secret(body: bytes) -> str:
    """The key in a body of JSON. Raises InvalidRequest, whose message never shows it."""
    try:
        return Shown.model_validate_json(body, strict=True).key.strip()
    except ValidationError:
        raise InvalidRequest(_WANTED, param="key") from None
