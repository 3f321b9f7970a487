"""GigaChat's list of models -> OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...wire import ModelList

# GigaChat says nothing about age. A constant, so that the same model stays the same object.
CREATED = 0

_SERVED = ("chat", "embedder", None)


def models(answer: dict[str, Any], *, aliases: Mapping[str, str]) -> ModelList:
    """The models for chat and embeddings, and the aliases of those among them. GigaChat's `type` is kept."""
    data = answer.get("data")
    known: dict[str, dict[str, Any]] = {}
    for item in data if isinstance(data, list) else ():
        if isinstance(item, dict) and isinstance(name := item.get("id"), str) and item.get("type") in _SERVED:
            owner = item.get("owned_by", "salutedevices")
            known[name] = {**item, "id": name, "object": "model", "created": CREATED, "owned_by": owner}
    for alias, name in aliases.items():
        if name in known and alias not in known:
            known[alias] = {**known[name], "id": alias}
    return ModelList({"object": "list", "data": list(known.values())})
