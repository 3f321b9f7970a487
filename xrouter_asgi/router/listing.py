"""Lists of models in the shapes that clients read: OpenAI's, Anthropic's, and one that Codex can bear."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Scope

from ..errors import InvalidRequest

_MOST = 1000  # models on one page of Anthropic's list
_LATEST = 1 << 32  # of `created`, in seconds


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
