"""How pieces become batches. What streams promise is tested with the providers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from xrouter_asgi.providers.http import Batches, ErrorReader, Redaction
from xrouter_asgi.providers.openai.chunks import ChunkReader

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n'


class Pieces:
    """A body whose pieces are all here."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)

    async def __anext__(self) -> bytes:
        if (piece := next(self._pieces, None)) is None:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        pass


def batches(*pieces: bytes) -> Batches:
    reader = ChunkReader(choices=1, hide_usage=False, model="m", errors=ErrorReader(Redaction()))
    return Batches(Pieces(*pieces), reader, idle=60)


async def test_a_long_piece_comes_in_several_batches_with_turns_for_others_between_them() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    counts = [len(batch) async for batch in batches(EVENT % b"x" * 1000)]
    task.cancel()
    assert sum(counts) == 1000
    assert max(counts) <= 8192 // len(EVENT % b"x") + 1
    assert turns >= len(counts) - 1


async def test_a_short_piece_is_one_batch() -> None:
    assert [len(batch) async for batch in batches(EVENT % b"x" * 3, EVENT % b"y")] == [3, 1]


async def test_an_event_of_several_mebibytes_comes_whole() -> None:
    [[small], [large]] = [
        batch
        async for batch in batches(
            EVENT % b"x", *[(EVENT % (b"y" * (3 << 20)))[i : i + 65536] for i in range(0, 3 << 21, 65536)]
        )
    ]
    assert small.value["choices"][0]["delta"]["content"] == "x"
    assert large.value["choices"][0]["delta"]["content"] == "y" * (3 << 20)
