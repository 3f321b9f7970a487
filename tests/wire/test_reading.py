from __future__ import annotations

import gc
import json
import threading
from typing import Any

import pytest

from xrouter_asgi.errors import InvalidRequest
from xrouter_asgi.wire import reading
from xrouter_asgi.wire.reading import LARGE, MANY, SMALL, by_size, off_loop, read_request


def where(value: dict[str, Any], body: bytes, headers: Any) -> bool:
    """Whether the thread that asks is the loop's."""
    assert json.loads(body) == value
    return on_loop()


def on_loop() -> bool:
    return threading.current_thread() is threading.main_thread()


def body(*, values: int = 2, size: int = 0) -> bytes:
    return json.dumps({"a": [0] * (values - 2), "b": "x" * size}, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("data", "at_once"),
    [
        (body(), True),
        (body(size=LARGE - 1000), True),
        (body(size=LARGE), False),
        (body(values=MANY - 10), True),
        (body(values=MANY + 10), False),
    ],
)
async def test_a_body_is_read_at_once_if_it_is_small_and_holds_few_values(data: bytes, at_once: bool) -> None:
    assert await read_request(data, where, ()) is at_once


async def test_a_large_body_is_refused_like_a_small_one() -> None:
    with pytest.raises(InvalidRequest, match="nested deeper than 64 levels"):
        await read_request(b'{"a":' + b"[" * 100 + b'"' + b"x" * LARGE + b'"' + b"]" * 100 + b"}", where, ())


async def test_work_is_done_at_once_if_it_reads_little() -> None:
    assert await by_size(SMALL, on_loop)
    assert not await by_size(SMALL + 1, on_loop)


@pytest.mark.parametrize("enabled", [True, False])
async def test_the_garbage_collector_rests_while_work_is_done_off_the_loop(enabled: bool) -> None:
    if not enabled:
        gc.disable()
    try:
        assert not await off_loop(gc.isenabled)
        assert gc.isenabled() is enabled
        with pytest.raises(ZeroDivisionError):
            await off_loop(lambda: 1 / 0)
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


@pytest.mark.parametrize("froze", [False, True])
async def test_the_next_collection_does_not_look_at_what_was_made_off_the_loop_unless_the_host_froze_objects(
    froze: bool,
) -> None:
    reading._host_froze.cache_clear()
    if froze:
        gc.freeze()
    try:
        made: list[list[object]] = await off_loop(lambda: [[] for _ in range(1000)])
        frozen = gc.get_freeze_count()
    finally:
        gc.unfreeze()
        reading._host_froze.cache_clear()
    assert (frozen > 0) is froze
    if not froze:
        old = {id(each) for each in gc.get_objects(generation=2)}
        assert all(id(each) in old for each in made)
