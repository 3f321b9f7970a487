from __future__ import annotations

import math
import struct
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.errors import UpstreamError
from xrouter_asgi.wire import Document, EmbeddingList
from xrouter_asgi.wire.embeddings import in_format

vectors = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False))


def answer(*embeddings: object) -> EmbeddingList:
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(embeddings)]
    return EmbeddingList({"object": "list", "data": data, "model": "m"})


def embeddings(answer: Document) -> list[object]:
    return [row["embedding"] for row in answer.value["data"]]


def test_base64_is_little_endian_float32() -> None:
    packed = in_format(answer([1.0, -2.5]), "base64")
    assert embeddings(packed) == [b64encode(struct.pack("<2f", 1.0, -2.5)).decode()]
    assert packed.value["data"][0]["index"] == 0
    assert packed.value["model"] == "m"


@given(st.lists(vectors, min_size=1, max_size=3))
def test_there_and_back_is_the_same(given: list[list[float]]) -> None:
    assert embeddings(in_format(in_format(answer(*given), "base64"), "float")) == given


@pytest.mark.parametrize("wanted", ["float", "base64"])
def test_what_is_in_the_format_already_is_passed_on(wanted: str) -> None:
    before = answer([1.0], [2.0]) if wanted == "float" else answer("AACAPw==", "AAAAQA==")
    assert in_format(before, wanted) is before


def test_a_mixed_answer_becomes_one_format() -> None:
    assert embeddings(in_format(answer([1.0], "AAAAQA=="), "base64")) == ["AACAPw==", "AAAAQA=="]
    assert embeddings(in_format(answer([1.0], "AAAAQA=="), "float")) == [[1.0], [2.0]]


@pytest.mark.parametrize("vector", [["text"], [None], [1e300], [10**400]])
def test_what_is_no_vector_of_float32_is_the_upstreams_fault(vector: list[object]) -> None:
    with pytest.raises(UpstreamError) as caught:
        in_format(answer(vector), "base64")
    assert caught.value.code == "bad_body"


@pytest.mark.parametrize("text", ["AAA", "AAAA", "not base64 at all!"])
def test_what_is_no_base64_of_float32_is_the_upstreams_fault(text: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        in_format(answer(text), "float")
    assert caught.value.code == "bad_body"


def test_a_number_that_is_none_stays_none_in_base64() -> None:
    """Float32 has them, and a client that asked for bytes gets the bytes."""
    (text,) = embeddings(in_format(answer([math.nan]), "base64"))
    assert text == b64encode(struct.pack("<f", math.nan)).decode()
