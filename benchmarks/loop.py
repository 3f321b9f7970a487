"""How long one request makes all others wait, for the worst inputs that are known; and a search for worse ones.

The process that reads an input also has a clock on the same event loop, which should ring each millisecond. The lag of
an input is the longest time between two rings. By the wall, compare it with that of the idle loop in the same run. In
CPU time of the process, to which the neighbours on the machine add little, it is held against the bounds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import uvloop

from tests.worst import CASES, MIB, Case
from xrouter_asgi.errors import XRouterError
from xrouter_asgi.providers.http import ErrorReader, Redaction, UpstreamErrorBody
from xrouter_asgi.providers.openai.chunks import ChunkReader
from xrouter_asgi.wire import ChatRequest
from xrouter_asgi.wire.codec import decode, parse_request
from xrouter_asgi.wire.reading import LARGE

_EPILOG = """\
examples:
  python -m benchmarks.loop                 all known inputs, a minute
  python -m benchmarks.loop --only GigaChat
  python -m benchmarks.loop --fuzz 60       search for a minute
"""
_TICK = 0.001
_BOUND, _BOUND_OF_LARGE = 50.0, 150.0  # milliseconds; the second for more than 8 MiB
_PIECE = 8 << 10

_WORDS = [
    *'[]{},:"\\\n <',
    *("0", "9", "-", "e9", "true", '""', "{}", "[]", "\\\\", '\\"', "\\n", "\\u00e9", "\\ud83d"),
    "é",
]
_WORDS += [
    "data:",
    "data: {}\n\n",
    ":\n",
    "\r",
    '{"',
    '":',
    '"model":',
    '"messages":[',
    '{"role":"user","content":"',
    "a.a",
]
_WORDS += ['{"choices":[{"delta":{"content":"', '"}}]}', "[DONE]", "sk-", "http://", "1:", "@", "/home", "bearer "]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.loop",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only inputs whose name holds this")
    parser.add_argument("--fuzz", type=float, default=0.0, metavar="SECONDS", help="search for inputs that take longer")
    options = parser.parse_args()
    logging.getLogger("xrouter").setLevel(logging.CRITICAL)
    if options.fuzz:
        _fuzz(options.fuzz)
    else:
        uvloop.run(_measure(options.only))


async def _measure(only: str) -> None:
    print("| input | MiB | CPU ms | lag ms | lag, CPU ms | |\n|---|---|---|---|---|---|")
    with _lag() as idle:
        await asyncio.sleep(2)
    print(f"| the idle loop | | | {idle.wall:.0f} | {idle.cpu:.0f} | |")
    for case in CASES:
        if only in case.name:
            print(await _row(case), flush=True)


async def _row(case: Case) -> str:
    body, upstream = case.body(), case.upstream()  # made before the clock runs
    size = max(len(body), len(upstream))
    prepared = Case(case.name, case.status, lambda: body, lambda: upstream, case.path, case.gigachat)
    gc.collect()
    began = time.process_time()
    with _lag() as lag:
        answer = await prepared.ask()
        await asyncio.sleep(2 * _TICK)
    took = 1000 * (time.process_time() - began)
    wrong = "" if answer.status == case.status else f"status {answer.status}"
    if lag.cpu > (_BOUND_OF_LARGE if size > 8 * MIB else _BOUND):
        wrong += " too long"
    return f"| {case.name} | {size / MIB:.1f} | {took:.0f} | {lag.wall:.0f} | {lag.cpu:.0f} | {wrong} |"


@dataclass
class _Lag:
    """The longest time between two rings, in milliseconds."""

    wall: float = 0.0
    cpu: float = 0.0

    async def ring(self) -> None:
        while True:
            wall, cpu = time.perf_counter(), time.process_time()
            await asyncio.sleep(_TICK)
            self.wall = max(self.wall, 1000 * (time.perf_counter() - wall - _TICK))
            self.cpu = max(self.cpu, 1000 * (time.process_time() - cpu))


@contextmanager
def _lag() -> Iterator[_Lag]:
    """The lag of the loop inside the block."""
    lag = _Lag()
    task = asyncio.create_task(lag.ring())
    try:
        yield lag
    finally:
        task.cancel()


def _request(data: bytes) -> None:
    ChatRequest.of(parse_request(data))


def _events(data: bytes) -> None:
    reader = ChunkReader(choices=1, hide_usage=True, model="m", errors=ErrorReader(Redaction()))
    for start in range(0, len(data), _PIECE):
        reader.feed(data[start : start + _PIECE])
    reader.close()


def _error(data: bytes) -> None:
    UpstreamErrorBody.of(data, Redaction(["secret"], hosts=["api.example.com"]))


_READERS: dict[str, tuple[Callable[[bytes], object], int]] = {
    "request": (_request, LARGE),
    "JSON": (decode, 64 << 10),
    "events": (_events, _PIECE),
    "error": (_error, 64 << 10),
}
"""What reads on the loop's thread, and how much of it at once."""


@dataclass
class _Input:
    """A beginning, a unit many times, an end; and how long they took, in milliseconds."""

    begin: list[str]
    unit: list[str]
    end: list[str]
    took: float = 0.0

    def bytes(self, size: int) -> bytes:
        begin, unit, end = ("".join(words).encode() for words in (self.begin, self.unit, self.end))
        return (begin + unit * (size // max(len(unit), 1)))[: size - len(end)] + end


def _fuzz(seconds: float) -> None:
    """Search for inputs that take long. The worst so far are varied."""
    worst: dict[str, _Input] = {}
    until = time.perf_counter() + seconds
    while (now := time.perf_counter()) < until:
        name, (read, size) = random.choice(list(_READERS.items()))
        known = worst.get(name)
        old = known if known is not None and random.random() < 0.7 else _Input([], [], [])
        new = _Input(_varied(old.begin), _varied(old.unit), _varied(old.end))
        new.took = _time(read, new.bytes(size))
        if known is None or new.took > known.took:
            worst[name] = new
        print(f"\r{until - now:4.0f} s left", end="", file=sys.stderr)
    print("\r\n| reader | KiB | CPU ms | beginning | unit | end |\n|---|---|---|---|---|---|")
    for name, found in worst.items():
        size = _READERS[name][1] >> 10
        print(f"| {name} | {size} | {found.took:.1f} | {found.begin!r} | {found.unit!r} | {found.end!r} |")


def _varied(words: list[str]) -> list[str]:
    kept = [word for word in words if random.random() < 0.8]
    kept.insert(random.randint(0, len(kept)), random.choice(_WORDS))
    return kept[:8]


def _time(read: Callable[[bytes], object], data: bytes) -> float:
    """Milliseconds of this thread's own time, which its neighbours do not add to."""
    began = time.thread_time()
    with suppress(XRouterError, ValueError):
        read(data)
    return 1000 * (time.thread_time() - began)


if __name__ == "__main__":
    main()
