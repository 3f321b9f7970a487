from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.errors import InvalidRequest, UnsupportedOperation, UpstreamError
from xrouter_asgi.providers.gigachat.embeddings import batches, merge
from xrouter_asgi.wire import EmbeddingsRequest


def asked(value: Any, **members: Any) -> EmbeddingsRequest:
    return EmbeddingsRequest.of({"model": "Embeddings", "input": value, **members})


def answer(*items: tuple[int, list[float]], tokens: int | None = 2) -> dict[str, Any]:
    usage = {} if tokens is None else {"usage": {"prompt_tokens": tokens}}
    data = [{"object": "embedding", "index": index, "embedding": vector, **usage} for index, vector in items]
    return {"object": "list", "model": "Embeddings", "data": data}


@pytest.mark.parametrize(
    ("value", "portions"),
    [
        ("one", [["one"]]),
        (["one", "two"], [["one", "two"]]),
        (["a", "b", "c", "d", "e"], [["a", "b", "c"], ["d", "e"]]),
        (["aaaaaa", "bbbbb", "c"], [["aaaaaa"], ["bbbbb", "c"]]),
        (["a", "b" * 50, "c"], [["a"], ["b" * 50], ["c"]]),
        (["a" * 50], [["a" * 50]]),
    ],
)
def test_texts_are_cut_into_portions_in_order(value: Any, portions: list[list[str]]) -> None:
    assert batches(asked(value), max_items=3, max_characters=10) == portions


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_tokens_are_refused_with_advice(tokens: Any) -> None:
    with pytest.raises(InvalidRequest, match="check_embedding_ctx_length=False") as refused:
        batches(asked(tokens))
    assert (refused.value.param, refused.value.status) == ("input", 400)


@pytest.mark.parametrize(("model", "dimensions"), [(None, 1024), ("EmbeddingsGigaR", 2560)])
def test_the_models_own_dimensions_may_be_asked_for(model: str | None, dimensions: int) -> None:
    assert batches(asked("x", dimensions=dimensions), model=model) == [["x"]]


@pytest.mark.parametrize(
    ("model", "dimensions", "words"),
    [(None, 512, "'Embeddings' gives vectors of 1024 only"), ("new", 512, "cannot choose it")],
)
def test_other_dimensions_are_refused(model: str | None, dimensions: int, words: str) -> None:
    with pytest.raises(UnsupportedOperation, match=words) as refused:
        batches(asked("x", dimensions=dimensions), model=model)
    assert (refused.value.param, refused.value.code) == ("dimensions", "unsupported_parameter")


def test_answers_are_joined_in_order_and_counted() -> None:
    merged = merge([answer((1, [2.0]), (0, [1.0])), answer((0, [3.0]), tokens=5)], sizes=[2, 1], model="my-model")
    assert merged.value == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [1.0]},
            {"object": "embedding", "index": 1, "embedding": [2.0]},
            {"object": "embedding", "index": 2, "embedding": [3.0]},
        ],
        "model": "my-model",
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
    }


def test_what_was_not_counted_is_not_made_up() -> None:
    assert "usage" not in merge([answer((0, [1.0]), tokens=None)], sizes=[1], model="m").value


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"data": {}},
        {"data": [1]},
        {"data": [{"index": 0}]},
        {"data": [{"index": 0, "embedding": "AAAA"}]},
        {"data": [{"embedding": [1.0]}]},
        answer((1, [1.0])),
    ],
)
def test_what_is_no_embedding_is_an_upstream_error(broken: Any) -> None:
    with pytest.raises(UpstreamError) as failed:
        merge([broken], sizes=[1], model="m")
    assert failed.value.code == "bad_body"


@pytest.mark.parametrize(
    "vectors",
    [
        [],
        [(0, [1.0])],
        [(0, [1.0]), (0, [2.0])],
        [(0, [1.0]), (1, [2.0]), (2, [3.0])],
    ],
)
def test_each_text_must_have_its_embedding(vectors: list[tuple[int, list[float]]]) -> None:
    with pytest.raises(UpstreamError) as failed:
        merge([answer(*vectors)], sizes=[2], model="m")
    assert failed.value.code == "bad_body"
