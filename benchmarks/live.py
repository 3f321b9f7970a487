"""Instructions that `Live` adds to a chat, by callgrind, in one process without sockets: `python -m benchmarks.live`.

A chat through a router that `Live` watches is counted, less the same chat without it. As many requests went before as
are remembered, so each one that comes takes the place of another. Adding requests to the sums of their minute is put
off until there are 500: the figure has that, too, because 1,000 are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from xrouter_asgi import LLMRouter, Principal, RequestEventsMiddleware
from xrouter_asgi.context import RequestContext
from xrouter_asgi.events import Observer, RequestObserver
from xrouter_asgi.live import KEPT, Live
from xrouter_asgi.testing.scripted import ScriptedProvider, chat

from .instructions import Counter, callgrind_options

_CALLER = Principal("key_abcdefgh", "ann")
_BODY = json.dumps(chat("m")).encode()
_MANY = 1000  # chats
_REPEATS = 3


class _Nobody(RequestObserver):
    """Stands for the access log, which is there with and without `Live`."""

    def __call__(self, event: object, /) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside is not None:
        asyncio.run(_count(options.inside))
        return
    with tempfile.TemporaryDirectory() as name:
        again = [sys.executable, "-m", "benchmarks.live", "--inside", name]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run([*callgrind_options(Path(name)), *again], env=environment, check=True)


async def _count(folder: Path) -> None:
    gc.set_threshold(50_000, 20, 20)  # as xrouter serve has it
    counter = Counter(os.getpid(), folder)
    counter.control("--instr=off")
    without = await _chats(counter, [])
    added = await _chats(counter, [Live()]) - without
    print(f"{without / 1000:.1f} thousand for a chat without sockets, {added / 1000:.2f} more with Live")


async def _chats(counter: Counter, observers: list[Observer]) -> float:
    """Instructions of one chat."""
    provider = ScriptedProvider(name="up")
    router = LLMRouter({"m": provider})
    app = RequestEventsMiddleware(router, observers=[_Nobody(), *observers])
    counts = []
    async with router.lifespan():
        await _ask(app, provider, KEPT)
        counter.control("--instr=on")
        for _ in range(_REPEATS):
            counter.zero()
            await _ask(app, provider, _MANY)
            counts.append(counter.read())
        counter.control("--instr=off")
    return min(counts) / _MANY


async def _ask(app: RequestEventsMiddleware, provider: ScriptedProvider, number: int) -> None:
    for _ in range(number):
        head = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "raw_path": b"", "query_string": b""}
        headers = [(b"content-type", b"application/json")]
        context = RequestContext(principal=_CALLER)
        await app({**head, "headers": headers, "client": ("127.0.0.1", 1), "xrouter": context}, _receive, _send)
        provider.calls.clear()  # an upstream keeps nothing either


async def _receive() -> Any:
    return {"type": "http.request", "body": _BODY, "more_body": False}


async def _send(message: Any) -> None: ...


if __name__ == "__main__":
    main()
