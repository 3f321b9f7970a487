from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.providers.gigachat.models import models


def listed(name: str, kind: str | None = "chat") -> dict[str, Any]:
    entry = {"id": name, "object": "model", "owned_by": "salutedevices"}
    return entry if kind is None else {**entry, "type": kind}


def names(*data: Any, **aliases: str) -> list[str]:
    return [model["id"] for model in models({"object": "list", "data": list(data)}, aliases=aliases).value["data"]]


def test_a_model_is_told_in_openais_shape_with_its_type() -> None:
    assert models({"data": [listed("GigaChat-2")]}, aliases={}).value == {
        "object": "list",
        "data": [
            {"id": "GigaChat-2", "object": "model", "owned_by": "salutedevices", "type": "chat", "created": 0},
        ],
    }


def test_only_chat_and_embedding_models_are_listed() -> None:
    kinds = ["chat", "embedder", "aicheck", "filter", None]
    assert names(*(listed(f"m-{kind}", kind) for kind in kinds)) == ["m-chat", "m-embedder", "m-None"]


def test_an_alias_of_a_listed_model_is_a_model() -> None:
    assert names(listed("GigaChat-2-Max"), gpt="GigaChat-2-Max", gone="GigaChat-9") == ["GigaChat-2-Max", "gpt"]


def test_an_alias_does_not_hide_a_model() -> None:
    assert names(listed("a"), listed("b"), a="b") == ["a", "b"]


@pytest.mark.parametrize("data", [[1], [{"id": 5}], [{}]])
def test_what_is_no_model_is_left_out(data: list[Any]) -> None:
    assert names(*data) == []
    assert models({"data": None}, aliases={}).value["data"] == []
