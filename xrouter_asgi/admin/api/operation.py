"""An operation of the API: its endpoint, and what the OpenAPI document says of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, Literal, TypeVar, cast
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.types import Receive, Scope

from ...asgi.body import read_body
from ...asgi.responses import id_headers, send_json
from ...asgi.routes import Endpoint
from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...errors import InvalidRequest

T = TypeVar("T")

_LARGEST = 64 << 10  # bytes of a body


STRICT: Final = ConfigDict(extra="forbid", hide_input_in_errors=True)
"""Unknown members are mistakes."""


class Body(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(**STRICT, frozen=True)


class Query(Body):
    """The parameters of a request. Each may come once."""


@dataclass(frozen=True, slots=True)
class AdminOperation:
    """What is done at a path by a method.

    Attributes:
        answer: The type of the answer's JSON.
        body, query: What the request may hold; None for nothing.
        status: Of the answer.
        errors: Statuses that it may answer with, besides those that all operations share.
        media: Of the answer.
    """

    path: str
    endpoint: Endpoint
    summary: str
    _: KW_ONLY
    answer: Any
    method: Literal["GET", "POST"] = "GET"
    body: type[Any] | None = None
    query: type[Query] | None = None
    status: int = 200
    errors: Sequence[int] = ()
    media: str = "application/json"


def paths_of(operations: Sequence[AdminOperation]) -> dict[str, dict[str, Endpoint]]:
    """Endpoints by path, then by method."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method] = each.endpoint
    return paths


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def at(seconds: float) -> datetime:
    """A time of the wall clock."""
    return datetime.fromtimestamp(seconds, UTC)


async def answer(send: Outgoing, context: RequestContext, document: object, *, status: int = 200) -> None:
    """Answer with JSON. Times are RFC 3339."""
    await send_json(send, to_json(document), headers=id_headers(context), status=status)


def query_of(scope: Scope, kind: type[T]) -> T:
    """The parameters of the request. Raises InvalidRequest."""
    try:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=32)
    except ValueError:
        raise InvalidRequest("The query has too many parameters.") from None
    values = dict(pairs)
    if len(values) < len(pairs):
        raise InvalidRequest("A parameter of the query came more than once.")
    return checked(kind, values)


async def body_of(scope: Scope, receive: Receive, kind: type[T]) -> T:
    """The body of the request; an empty one is an empty object. Raises InvalidRequest."""
    body = await read_body(scope, receive, limit=_LARGEST)
    try:
        return _adapter(kind).validate_json(body or b"{}", strict=True)
    except ValidationError as error:
        raise _mistake_in(error) from None


def checked(kind: type[T], values: Mapping[str, Any]) -> T:
    """The values as a body or a query. Raises InvalidRequest for the first mistake."""
    try:
        return _adapter(kind).validate_python(values)
    except ValidationError as error:
        raise _mistake_in(error) from None


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return adapter(cast(Hashable, kind))


def _mistake_in(error: ValidationError) -> InvalidRequest:
    """The first mistake. It names the member, and never shows its value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = ".".join(map(str, first["loc"]))[:128]
    text = f"'{name}' cannot be used: {first['msg']}." if name else f"The body cannot be used: {first['msg']}."
    return InvalidRequest(text, param=name or None)
