"""Signing in and out: a browser exchanges an admin key for a session."""

from __future__ import annotations

from urllib.parse import parse_qs

from pydantic import ValidationError
from starlette.types import Receive, Scope

from ..asgi.body import read_body
from ..asgi.responses import id_headers, send_json
from ..asgi.routes import Endpoint
from ..asgi.sending import Outgoing
from ..context import RequestContext
from ..errors import InvalidRequest
from .api.operation import Body
from .guard import OperatorGuard, OperatorKeys, check_origin
from .sessions import Sessions, held_by, mount_of, set_cookie

SESSION = "/session"

_LARGEST = 4096  # bytes of a form
_FORM = b"application/x-www-form-urlencoded"


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
        return {SESSION: {"POST": self._begin}, f"{SESSION}/end": {"POST": self._end}}

    async def _begin(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        self._guard.check_peer(scope)
        check_origin(scope, by_itself=True)
        secret = _secret(await read_body(scope, receive, limit=_LARGEST), form=_is_form(scope))
        key = await self._keys.key_of(scope, secret)
        held = self._sessions.begin(key.id)
        await _answer(scope, send, context, held, token=self._sessions.token(held))

    async def _end(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        if (held := held_by(scope)) is not None:
            self._sessions.end(held)
        await _answer(scope, send, context, None)


async def _answer(
    scope: Scope, send: Outgoing, context: RequestContext, held: str | None, *, token: str | None = None
) -> None:
    headers = [*id_headers(context), set_cookie(scope, held)]
    if not _is_form(scope):
        text = b"{}" if token is None else b'{"token":"%s"}' % token.encode("ascii")
        await send_json(send, text, headers=headers)
        return
    headers += [(b"location", f"{mount_of(scope)}/".encode("latin-1", "replace")), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _is_form(scope: Scope) -> bool:
    return any(name == b"content-type" and value.lower().startswith(_FORM) for name, value in scope["headers"])


def _secret(body: bytes, *, form: bool) -> str:
    """The key in the body. Raises InvalidRequest, whose message never shows it."""
    if form:
        found = parse_qs(body.decode("latin-1"), max_num_fields=8).get("key", [])
        if len(found) == 1:
            return found[0].strip()
    else:
        try:
            return Shown.model_validate_json(body, strict=True).key.strip()
        except ValidationError:
            pass
    raise InvalidRequest("Send one 'key', in a form or as JSON.", param="key")
