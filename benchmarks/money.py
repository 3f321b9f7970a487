"""Instructions that a budget and an entry of the ledger add to a request, by callgrind, in one process without sockets.

Batches of a gateway depend on how fast its machine is, which callgrind slows down. Here they have a size that is told.
A figure is the difference between many requests and few, divided by their number.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from xrouter_asgi import Price, Prices, Principal, RateLimitMiddleware
from xrouter_asgi.bookkeeping import Ledger
from xrouter_asgi.context import Attempt, CostEstimate, RequestContext, Usage
from xrouter_asgi.decision import Cost
from xrouter_asgi.events import RequestEnded
from xrouter_asgi.ledger import MemoryLedger, SeededBudget, SQLLedger
from xrouter_asgi.limits import MemoryLimits

from .instructions import Counter, callgrind_options

_LIMITS = "1000000/minute; 1000000000 tokens/minute; 10000 parallel"
_BUDGET = f"{_LIMITS}; 1000000 USD/calendar month per all"
_PRICES = Prices({"up/m": Price("0.15", "0.60", cached="0.075")}, models={"m": ["up/m"]})
_CALLER = Principal("key_abcdefgh", "ann")
_ESTIMATE = CostEstimate("m", 220)
_FEW, _MANY = 20, 120  # requests
_FEW_BATCHES, _MANY_BATCHES = 1, 4
_REPEATS = 3

Work = Callable[[int], Awaitable[None]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.money", description=__doc__)
    parser.add_argument("--rows", type=int, default=80, help="entries of one transaction (default 80: 100 a second)")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside is not None:
        asyncio.run(_count(options.inside, options.rows))
        return
    with tempfile.TemporaryDirectory() as name:
        again = [sys.executable, "-m", "benchmarks.money", "--inside", name, "--rows", str(options.rows)]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run([*callgrind_options(Path(name)), *again], env=environment, check=True)


async def _count(folder: Path, rows: int) -> None:
    limited = RateLimitMiddleware(_answer, limit=_LIMITS)
    store = SeededBudget(MemoryLimits(), MemoryLedger())
    budget = RateLimitMiddleware(_answer, limit=_BUDGET, prices=_PRICES, store=store)
    ledger = Ledger(SQLLedger(f"sqlite:///{folder}/usage.db"), prices=_PRICES)
    ledger._write_soon = lambda: None  # type: ignore[method-assign]  # the batches are told

    async def batches(number: int) -> None:
        for _ in range(number):
            for _ in range(rows):
                ledger(_ended())
            await ledger._write_batch()

    async def events(number: int) -> None:
        for _ in range(number):
            _ended()

    await _ask(limited, _FEW)
    await _ask(budget, _FEW)
    await batches(2)
    gc.disable()
    counter = Counter(os.getpid(), folder)
    without = await _difference(counter, lambda number: _ask(limited, number), _FEW, _MANY)
    added = await _difference(counter, lambda number: _ask(budget, number), _FEW, _MANY) - without
    event = await _difference(counter, events, _FEW, _MANY)
    entry = await _difference(counter, batches, _FEW_BATCHES, _MANY_BATCHES) / rows - event
    await ledger.aclose()
    print(f"{added / 1000:.0f} thousand for a budget beside other limits, counted in memory")
    print(f"{entry / 1000:.0f} thousand for an entry in SQLite, {rows} in a transaction")


async def _difference(counter: Counter, work: Work, few: int, many: int) -> float:
    counts: dict[int, list[int]] = {few: [], many: []}
    for number in (few, few, many) * _REPEATS:  # the first warms up
        counter.zero()
        await work(number)
        counts[number].append(counter.read())
    return (min(counts[many]) - min(counts[few])) / (many - few)


async def _ask(app: RateLimitMiddleware, number: int) -> None:
    for _ in range(number):
        context = RequestContext(principal=_CALLER)
        path = {"type": "http", "path": "/v1/chat/completions", "headers": [], "client": ("127.0.0.1", 1)}
        await app({**path, "xrouter": context}, _receive, _send)


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    """As LLMRouter does for a whole answer."""
    context = RequestContext.of(scope)
    context.model, context.endpoint, context.estimate = "m", "chat", _ESTIMATE
    assert context.reserve_tokens is not None
    await context.reserve_tokens(_ESTIMATE)
    _answered(context)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}"})


def _answered(context: RequestContext) -> None:
    attempt = Attempt("up", "m", first=0.1)
    context.attempts.append(attempt)
    context.decision.served = attempt
    context.provider, context.upstream_model, context.usage = "up", "m", Usage(200, 100)


def _ended() -> RequestEnded:
    context = RequestContext(principal=_CALLER, endpoint="chat", model="m", cost=Cost(90_000))
    _answered(context)
    return RequestEnded(context, "POST", "/v1/chat/completions", 200, True, 0.1, 0.1, 100, 100, "127.0.0.1")


async def _receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Any) -> None: ...


if __name__ == "__main__":
    main()
