"""What every store of answers promises, in memory and in a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis import Redis

from xrouter_asgi.context import Usage
from xrouter_asgi.kept import AnswerStore, KeptAnswer, MemoryAnswers, RedisAnswers
from xrouter_asgi.kept.answer import AnswerKind, AnswerPart
from xrouter_asgi.testing.clock import Clock


def answer(
    data: bytes = b"answer", *, kind: AnswerKind = "completion", more: tuple[AnswerPart, ...] = ()
) -> KeptAnswer:
    parts: tuple[AnswerPart, ...] = ((data, None, None, "content"), *more)
    size = sum(len(text) + len(native or b"") for text, native, *_ in parts)
    return KeptAnswer(kind, "p", "m", ("seed_ignored",), False, None, parts, size)


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[AnswerStore]:
    if request.param == "memory":
        store: AnswerStore = MemoryAnswers()
    else:
        store = RedisAnswers(request.getfixturevalue("redis_url"), timeout=5.0)
    yield store
    await store.aclose()


async def test_what_was_put_is_found(store: AnswerStore) -> None:
    await store.put("ann", b"key", answer(b"\x00answer"), 60.0)
    assert await store.get("ann", b"key") == answer(b"\x00answer")
    await store.put("ann", b"key", answer(b"other"), 60.0)
    assert await store.get("ann", b"key") == answer(b"other")


async def test_what_was_not_put_is_not_found(store: AnswerStore) -> None:
    await store.put("ann", b"key", answer(), 60.0)
    assert await store.get("ann", b"other") is None


async def test_nobody_finds_what_another_was_answered(store: AnswerStore) -> None:
    await store.put("ann", b"key", answer(), 60.0)
    assert await store.get("bob", b"key") is None
    assert await store.get("", b"key") is None


async def test_memory_forgets_when_the_time_is_over() -> None:
    clock = Clock()
    store = MemoryAnswers(clock=clock)
    await store.put("ann", b"long", answer(), 60.0)
    await store.put("ann", b"short", answer(), 10.0)
    clock.advance(10)
    assert await store.get("ann", b"short") is None
    assert await store.get("ann", b"long") == answer()
    clock.advance(50)
    assert await store.get("ann", b"long") is None


async def test_redis_forgets_when_the_time_is_over(redis_url: str) -> None:
    store = RedisAnswers(redis_url, timeout=5.0)
    await store.put("ann", b"key", answer(), 100.0)
    with Redis.from_url(redis_url) as client:
        [name] = client.keys("*")
        assert 99_000 < client.pttl(name) <= 100_000
        assert b"ann" not in name
    await store.aclose()


async def test_one_owner_fills_a_quarter_of_the_memory_and_pushes_nobody_out() -> None:
    store = MemoryAnswers(max_bytes=40_000)
    await store.put("bob", b"key", answer(bytes(4000)), 60.0)
    for number in range(20):
        await store.put("ann", b"%d" % number, answer(bytes(4000)), 60.0)
    found = [number for number in range(20) if await store.get("ann", b"%d" % number)]
    assert found == [19]
    assert await store.get("bob", b"key")


async def test_memory_counts_the_chunks_of_a_stream_beside_their_texts() -> None:
    store = MemoryAnswers(max_bytes=40_000)
    chunk: AnswerPart = (b"", None, "", "content")
    await store.put("ann", b"few", answer(kind="stream", more=(chunk,) * 10), 60.0)
    await store.put("ann", b"many", answer(kind="stream", more=(chunk,) * 100), 60.0)
    assert await store.get("ann", b"few")
    assert await store.get("ann", b"many") is None


async def test_memory_counts_what_was_asked() -> None:
    store = MemoryAnswers(max_bytes=40_000)
    await store.put("ann", bytes(10_000), answer(), 60.0)
    assert await store.get("ann", bytes(10_000)) is None


async def test_owners_and_keys_that_read_alike_together_are_kept_apart(store: AnswerStore) -> None:
    await store.put("ann", b"1 key", answer(), 60.0)
    for owner, key in (("ann1", b" key"), ("ann1 ", b"key"), ("an", b"n1 key")):
        assert await store.get(owner, key) is None


def test_an_answer_is_the_same_after_it_was_encoded() -> None:
    native: tuple[AnswerPart, ...] = ((b"b", b"event: b", "b", "refusal"), (b"c", b"", None, "content"))
    for one in (
        answer(kind="stream", more=native),
        answer(kind="embeddings")._replace(usage=Usage(3, 4), as_written=True, warnings=()),
    ):
        assert KeptAnswer.decode(one.encode()) == one


def test_two_documents_of_one_answer_share_no_value() -> None:
    kept = answer(b'{"choices":[]}')
    kept.whole().value["choices"].append("changed")
    assert kept.whole().value == {"choices": []}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]\nx",
        b'["other","p","m",[],false,null,[[1,null,null,"content"]]]\nx',
        b'["stream","p","m",[],false,null,[[2,null,null,"content"]]]\nx',
        b'["stream","p","m",[],false,null,[[1,"1",null,"content"]]]\nx',
        b'["stream","p","m",[],false,null,[]]\n',
        b'["completion","p","m",[],false,[],[[1,null,null,"content"]]]\nx',
        b'["completion","p","m",[],false,[1],[null]]\nx',
    ],
)
async def test_what_somebody_else_put_into_redis_is_no_answer(redis_url: str, data: bytes) -> None:
    store = RedisAnswers(redis_url, timeout=5.0)
    await store.put("ann", b"key", answer(), 60.0)
    with Redis.from_url(redis_url) as client:
        [name] = client.keys("*")
        client.set(name, data)
    assert await store.get("ann", b"key") is None
    await store.aclose()
