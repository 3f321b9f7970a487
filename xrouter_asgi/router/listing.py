"""Lists of models in the shapes that clients read: OpenAI's, Anthropic's, and one that Codex can bear."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from ..asgi.responses import id_headers, send_json
from ..asgi.routes import Endpoint
from ..asgi.sending import Outgoing
from ..context import Principal, RequestContext
from ..errors import InvalidRequest, ModelNotFound
from ..wire.codec import encode
from ..wire.reading import by_size
from .exchange import enter
from .table import ModelTable

_MODEL = 100  # bytes of a model in a list
_MOST = 1000  # models on one page of Anthropic's list
_LATEST = 1 << 32  # of `created`, in seconds


class ModelLists:
    """The endpoints that tell which models can be called."""

    def __init__(self, models: ModelTable) -> None:
        self._models = models

    def paths(self) -> dict[str, dict[str, Endpoint]]:
        """The endpoints by path and method."""
        return {"/models": {"GET": self._list}, "/models/{id:path}": {"GET": self._get}}

    async def _list(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        enter(context, "models", scope="models")
        models = await self._models.list()
        data = await by_size(_MODEL * len(models), _written, models, context.principal, scope)
        await send_json(send, data, headers=id_headers(context))

    async def _get(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, name: str) -> None:
        enter(context, "models", scope="models")
        allowed = context.principal is None or context.principal.may_use(name)
        model = await self._models.describe(name) if allowed else None
        if model is None:
            raise ModelNotFound(name)
        value = described(model) if wants_anthropic(scope) else model
        await send_json(send, encode(value), headers=id_headers(context))


def _written(models: Sequence[dict[str, Any]], principal: Principal | None, scope: Scope) -> bytes:
    """The list of those models that the caller may use."""
    if principal is not None:
        models = [model for model in models if principal.may_use(model["id"])]
    return encode(listed(models, scope))


def wants_anthropic(scope: Scope) -> bool:
    """Whether the client is one of Anthropic's, all of which send their version."""
    return any(name == b"anthropic-version" for name, _ in scope["headers"])


def listed(models: Sequence[dict[str, Any]], scope: Scope) -> dict[str, Any]:
    """The list of these model objects of OpenAI's, as the client wants it. Raises InvalidRequest.

    Codex sends its version and reads a schema that changes with each release. It takes an empty list, and knows its
    models by itself.
    """
    query = parse_qs(scope["query_string"].decode("latin-1"))
    if "client_version" in query:
        return {"models": []}
    if not wants_anthropic(scope):
        return {"object": "list", "data": models}
    page, more = _page(models, {name: values[0] for name, values in query.items()})
    ids = [model["id"] for model in page]
    return {
        "data": [described(model) for model in page],
        "has_more": more,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }


def described(model: dict[str, Any]) -> dict[str, Any]:
    """A model object of OpenAI's as one of Anthropic's."""
    created, window = model.get("created"), model.get("max_model_len")
    since = created if type(created) is int and 0 <= created < _LATEST else 0
    return {
        "type": "model",
        "id": model["id"],
        "display_name": model["id"],
        "created_at": f"{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "lifecycle": "active",
        "max_input_tokens": window if type(window) is int else None,
    }


def _page(models: Sequence[dict[str, Any]], query: dict[str, str]) -> tuple[Sequence[dict[str, Any]], bool]:
    """The models between two others, `limit` of them, and whether there are more on that side."""
    limit = query.get("limit", str(_MOST))
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 9 and 1 <= int(limit) <= _MOST):
        message = f"Invalid value for 'limit': expected a number from 1 to {_MOST}."
        raise InvalidRequest(message, code="invalid_value", param="limit")
    count = int(limit)
    if (before := _place(models, query, "before_id")) is not None:
        models = models[:before]
        return models[-count:], len(models) > count
    if (after := _place(models, query, "after_id")) is not None:
        models = models[after + 1 :]
    return models[:count], len(models) > count


def _place(models: Sequence[dict[str, Any]], query: dict[str, str], name: str) -> int | None:
    if name not in query:
        return None
    for place, model in enumerate(models):
        if model["id"] == query[name]:
            return place
    message = f"Invalid value for '{name}': there is no model '{query[name][:256]}'."
    raise InvalidRequest(message, code="invalid_value", param=name)
