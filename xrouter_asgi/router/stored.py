"""Responses that are kept: how requests refer to them, and the endpoints that show them."""

from __future__ import annotations

import logging
from functools import partial
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from ..asgi.responses import id_headers, send_json
from ..asgi.routes import Endpoint
from ..asgi.sending import Outgoing
from ..context import CLIENT_CREDENTIAL, RequestContext
from ..dialects.base import KeptConversation
from ..errors import InvalidRequest, NotFound, UnsupportedOperation
from ..kept import ResponseStore
from ..wire import KeptResponse
from ..wire.codec import decode, encode
from ..wire.reading import by_size
from .exchange import Keep, enter

_ITEMS, _MOST_ITEMS = 20, 100  # of one page, as at OpenAI

logger = logging.getLogger("xrouter")


class StoredResponses:
    """What is served of a store. Callers find only what they were answered themselves.

    Args:
        store: None keeps nothing, so that nothing is found.
        max_body: The most bytes that a request and all that it refers to may have.
    """

    def __init__(self, store: ResponseStore | None, *, max_body: int) -> None:
        self._store = store
        self._max_body = max_body

    def paths(self) -> dict[str, dict[str, Endpoint]]:
        """The endpoints by path and method."""
        return {
            "/responses/{id}": {"GET": self._get, "DELETE": self._delete},
            "/responses/{id}/input_items": {"GET": self._list_input},
            "/responses/{id}/cancel": {"POST": self._refuse_to_cancel},
            "/responses/compact": {"POST": self._refuse_to_compact},
        }

    async def complete(self, conversation: KeptConversation, scope: Scope, context: RequestContext) -> None:
        """Look up what a request refers to. Raises InvalidRequest if it is not there, or too much."""
        found: dict[str, KeptResponse] = {}
        asked: set[str] = set()
        while ids := [id for id in conversation.references(found) if id not in asked]:
            asked.update(ids)
            found.update(await self._find(scope, context, *ids))
        ttl = None if self._store is None else self._store.ttl
        size = sum(kept.size for kept in found.values())
        await by_size(size, conversation.resolve, found, ttl=ttl, max_body=self._max_body)

    def keeping(self, conversation: KeptConversation | None, scope: Scope, context: RequestContext) -> Keep | None:
        """What keeps the answer once it is written; None if nothing does."""
        if conversation is None or self._store is None:
            return None
        return partial(_keep, self._store, _owner(scope, context), conversation, context)

    async def _find(self, scope: Scope, context: RequestContext, *ids: str) -> dict[str, KeptResponse]:
        if self._store is None:
            return {}
        try:
            return dict(await self._store.find(_owner(scope, context), ids))
        except Exception:
            logger.exception("Responses could not be looked up", extra=context.facts)
            return {}

    async def _found(self, scope: Scope, context: RequestContext, id: str) -> KeptResponse:
        enter(context, "responses", scope="chat")
        found = await self._find(scope, context, id)
        if id not in found:
            raise _not_found(id)
        return found[id]

    async def _get(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        kept = await self._found(scope, context, id)
        if _query(scope).get("stream") == "true":
            raise UnsupportedOperation("A response that is kept is not streamed again.", param="stream")
        await send_json(send, kept.response, headers=id_headers(context))

    async def _delete(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        enter(context, "responses", scope="chat")
        if self._store is None or not await self._store.delete(_owner(scope, context), id):
            raise _not_found(id)
        body = encode({"id": id, "object": "response", "deleted": True})
        await send_json(send, body, headers=id_headers(context))

    async def _list_input(
        self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str
    ) -> None:
        kept = await self._found(scope, context, id)
        body = encode(_page(decode(kept.input), _query(scope)))
        await send_json(send, body, headers=id_headers(context))

    async def _refuse_to_cancel(
        self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str
    ) -> None:
        enter(context, "responses", scope="chat")
        raise UnsupportedOperation(
            "Only a background response can be cancelled, and none is made here. Hang up instead."
        )

    async def _refuse_to_compact(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        enter(context, "responses", scope="chat")
        message = "This gateway compacts no conversations. Ask a model for a summary by POST /v1/responses."
        raise UnsupportedOperation(message)


async def _keep(store: ResponseStore, owner: str, conversation: KeptConversation, context: RequestContext) -> None:
    try:
        for kept in conversation.kept:
            await store.put(owner, kept)
    except Exception:
        logger.exception("A response could not be kept", extra=context.facts)


def _owner(scope: Scope, context: RequestContext) -> str:
    """Whose responses a request may refer to. Callers without a principal are one, but for their own credentials."""
    if context.principal is None:
        for name, value in scope["headers"]:
            if name == CLIENT_CREDENTIAL and value:
                return f"own_{blake2b(value, digest_size=20).hexdigest()}"
    return context.caller


def _not_found(id: str) -> NotFound:
    return NotFound(f"Response with id '{id[:128]}' not found.")


def _query(scope: Scope) -> dict[str, str]:
    """The last value of each member of the query."""
    query = scope.get("query_string", b"").decode("latin-1")
    return {name: values[-1] for name, values in parse_qs(query).items()}


def _page(items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """A page of items, the newest first unless `order` is `asc`. Raises InvalidRequest."""
    limit, order, after = query.get("limit", str(_ITEMS)), query.get("order", "desc"), query.get("after")
    if not (limit.isascii() and limit.isdecimal() and len(limit) <= 3 and 1 <= int(limit) <= _MOST_ITEMS):
        message = f"Invalid value for 'limit': expected 1 to {_MOST_ITEMS}, but got '{limit[:64]}'."
        raise InvalidRequest(message, code="invalid_value", param="limit")
    if order not in ("asc", "desc"):
        message = f"Invalid value for 'order': expected 'asc' or 'desc', but got '{order[:64]}'."
        raise InvalidRequest(message, code="invalid_value", param="order")
    if order == "desc":
        items = items[::-1]
    if after is not None:
        place = next((place for place, item in enumerate(items) if item["id"] == after), None)
        if place is None:
            raise InvalidRequest(f"Item with id '{after[:128]}' not found.", code="invalid_value", param="after")
        items = items[place + 1 :]
    page = items[: int(limit)]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > len(page),
    }
