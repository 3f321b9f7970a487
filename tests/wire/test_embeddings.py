from __future__ import annotations

import json
import math
import struct
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.errors import UpstreamError
from xrouter_asgi.wire import Document, EmbeddingList, EmbeddingsRequest
from xrouter_asgi.wire.codec import decode
from xrouter_asgi.wire.embeddings import decode_vectors, in_format, in_order

vectors = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False))


def answer(*embeddings: object) -> EmbeddingList:
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(embeddings)]
    return EmbeddingList({"object": "list", "data": data, "model": "m"})


def embeddings(answer: Document) -> list[object]:
    return [row["embedding"] for row in answer.value["data"]]


ONE = [0.5, -1]
PACKED = b64encode(struct.pack("<2f", 0.5, -1)).decode()


def rows(*pairs: tuple[object, object]) -> EmbeddingList:
    data = [{"index": index, "embedding": vector} for index, vector in pairs]
    return EmbeddingList({"object": "list", "data": data, "model": "m"})


LARGE = b64encode(struct.pack("<2f", -3e38, 3e38)).decode()


@pytest.mark.parametrize("told", [answer(ONE, ONE), answer(PACKED, ONE), answer([1, 2], [0, 0]), answer(PACKED, LARGE)])
def test_vectors_in_order_are_passed_on_as_they_are(told: EmbeddingList) -> None:
    assert in_order(told, 2) is told


def test_vectors_come_in_the_order_of_the_inputs() -> None:
    told = in_order(rows((2, [2.0]), (0, [0.0]), (1, [1.0])), 3)
    assert embeddings(told) == [[0.0], [1.0], [2.0]]
    assert [row["index"] for row in told.value["data"]] == [0, 1, 2]
    assert told.value["model"] == "m"


def test_vectors_without_any_index_are_numbered() -> None:
    told = in_order(EmbeddingList({"data": [{"embedding": [0.0]}, {"embedding": [1.0], "index": None}]}), 2)
    assert [(row["index"], row["embedding"]) for row in told.value["data"]] == [(0, [0.0]), (1, [1.0])]


@pytest.mark.parametrize(
    "told",
    [
        EmbeddingList({}),
        EmbeddingList({"data": None}),
        EmbeddingList({"data": []}),
        EmbeddingList({"data": [None, None]}),
        EmbeddingList({"data": {"0": 1}}),
        answer(ONE),
        answer(ONE, ONE, ONE),
        rows((0, ONE), (0, ONE)),
        rows((1, ONE), (2, ONE)),
        rows((0, ONE), (None, ONE)),
        rows((0, ONE), ("1", ONE)),
        rows((0, ONE), (1.0, ONE)),
        rows((0, ONE), (True, ONE)),
        answer(ONE, None),
        answer(ONE, {}),
        answer(ONE, [0.5, None]),
        answer(ONE, [0.5, "1"]),
        answer(ONE, [0.5, True]),
        answer(ONE, [0.5, [1]]),
        answer(ONE, [0.5, math.inf]),
        answer(ONE, [0.5, 10**400]),
        answer(ONE, [0.5]),
        answer([], []),
        answer(ONE, "no base64"),
        answer(ONE, PACKED[:4]),
        *(answer(ONE, b64encode(struct.pack("<2f", 1, none)).decode()) for none in (math.nan, math.inf, -math.inf)),
        answer(ONE, b64encode(struct.pack("<2f", 1, -1) + b"0").decode()),
    ],
)
def test_vectors_that_are_not_one_for_each_input_are_the_upstreams_fault(told: EmbeddingList) -> None:
    with pytest.raises(UpstreamError) as caught:
        in_order(told, 2)
    assert (caught.value.status, caught.value.code, caught.value.falls_back) == (502, "bad_body", True)


@pytest.mark.parametrize(("given", "inputs"), [("x", 1), (["x"], 1), (["x", "y"], 2), ([1, 2, 3], 1), ([[1], [2]], 2)])
def test_a_request_knows_how_many_vectors_it_asks_for(given: object, inputs: int) -> None:
    assert EmbeddingsRequest.of({"model": "m", "input": given}).inputs == inputs


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


embedded = st.fixed_dictionaries(
    {
        "embedding": st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9)) | st.just(PACKED),
        "object": st.sampled_from(["embedding", '"embedding":[1]', "[", "\\"]),
    }
)


@given(st.lists(embedded), st.sampled_from([None, 1]), st.booleans())
def test_an_answer_read_vector_by_vector_is_what_json_says(
    data: list[object], indent: int | None, model_first: bool
) -> None:
    value = {"data": data, "model": '"embedding": [2]'}
    text = json.dumps(dict(sorted(value.items(), reverse=model_first)), indent=indent)
    assert decode_vectors(text.encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        b'{"data":[{"embedding":0},{"embedding":[1]}]}',
        b'{"data":[{"embedding":1},{"embedding":[1]}]}',
        b'{"embedding":[1],"data":[]}',
        b'{"embedding":[1]}',
        b'{"data":{"embedding":[1]}}',
        b'[{"embedding":[1]}]',
        b'{"data":[{"embedding":[1,]}]}',
        b'{"data":[{"embedding":[true false]}]}',
        b'{"data":[{"embedding":[1]}',
    ],
)
def test_vectors_are_read_only_where_they_belong(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"line 1|a vector stands where none belongs"):
        decode_vectors(text)


@pytest.mark.parametrize("vectors", [(), (ONE,), (ONE, PACKED)])
def test_an_answer_is_encoded_vector_by_vector(vectors: tuple[object, ...]) -> None:
    told = answer(*vectors)
    assert decode(told.data) == told.value


def test_an_answer_tells_about_how_large_it_is_before_it_is_encoded() -> None:
    assert answer([0.5] * 1000, PACKED).size == 20_000 + len(PACKED)
    told = EmbeddingList({"data": []}, b'{"data":[]}')
    assert told.size == len(told.data)
