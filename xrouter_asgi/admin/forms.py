"""Forms: what a page of ours sends, as the bodies that the API takes, and where it leads."""

from __future__ import annotations

from urllib.parse import parse_qs, parse_qsl

from starlette.types import Message, Receive, Scope

from ..asgi.body import read_body
from ..asgi.responses import id_headers
from ..asgi.sending import Outgoing
from ..context import RequestContext
from ..errors import InvalidRequest
from .guard import TOKEN
from .sessions import root_of

LARGEST = 64 << 10  # bytes

_KIND = b"application/x-www-form-urlencoded"
_MOST = 64  # fields


def is_form(scope: Scope) -> bool:
    return any(name == b"content-type" and value.lower().startswith(_KIND) for name, value in scope["headers"])


async def read_form(scope: Scope, receive: Receive) -> dict[str, str]:
    """The fields that are filled in, without spaces around them. Raises InvalidRequest."""
    body = await read_body(scope, receive, limit=LARGEST)
    return _fields(body)


def query_fields(scope: Scope) -> dict[str, str]:
    """The parameters of a form that asks: those that are filled in. The last one of a name counts."""
    try:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=_MOST)
    except ValueError:
        raise InvalidRequest("The query has too many parameters.") from None
    return {name: value.strip() for name, value in pairs if value.strip()}


async def go_to(
    scope: Scope, send: Outgoing, context: RequestContext, path: str, *headers: tuple[bytes, bytes]
) -> None:
    """Send the browser to a page of ours, by a path from the first page on."""
    location = (root_of(scope) + path).encode("latin-1", "replace")
    head = [(b"location", location), (b"content-length", b"0"), *id_headers(context), *headers]
    await send({"type": "http.response.start", "status": 303, "headers": head})
    await send({"type": "http.response.body", "body": b""})


async def with_token(scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
    """The request with the token of its form among the headers, where the guard looks for it.

    Only for browsers that do not say which site a request comes from. The body of others is read by who wants it.
    """
    names = {name for name, _ in scope["headers"]}
    if scope["method"] != "POST" or b"sec-fetch-site" in names or TOKEN in names or not is_form(scope):
        return scope, receive
    body = await read_body(scope, receive, limit=LARGEST)
    token = _fields(body).get("token", "")

    async def receive_again() -> Message:
        nonlocal body
        read, body = body, b""
        return {"type": "http.request", "body": read, "more_body": False}

    headers = [*scope["headers"], (TOKEN, token.encode("latin-1", "replace"))]
    return {**scope, "headers": headers}, receive_again


def _fields(body: bytes) -> dict[str, str]:
    try:
        found = parse_qs(body.decode("latin-1"), max_num_fields=_MOST)
    except ValueError:
        raise InvalidRequest("The form has too many fields.") from None
    if any(len(values) > 1 for values in found.values()):
        raise InvalidRequest("A field of the form came more than once.")
    fields = {name: values[0].strip() for name, values in found.items()}
    return {name: value for name, value in fields.items() if value}
