"""Whether what happens to one leaves the others alone, and what a decision among many costs."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import statistics
import time
import timeit
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from xrouter_asgi.policies.strategies import STRATEGIES

from ..test_parts import SMALL, among_a_hundred, call_of
from .arrivals import Answer, Client, arrive, p99, request, storm
from .goal import Finding, Load, at_most, progress
from .stand import Stand, settings

_LIMIT = 50  # requests a second of the key that asks for more; the other one keeps well below its own
_HANGING = 300


async def keys(load: Load) -> list[Finding]:
    """A key that asks ten times as much as it may, beside one that keeps to its limit."""
    rounds, seconds = _rounds(load)
    async with Stand() as stand:
        upstreams = await stand.upstreams("p")
        more = f'{stand.keys()}\n[rate_limit]\nlimit = "{4 * load.rate:.0f}/second"\n'
        text = settings(upstreams, {"m": ["p/m"]}, more=more)
        calm, wild = await stand.key(text), await stand.key(text, "--limit", f"{_LIMIT}/second")
        port = await stand.serve(text)
        stormed: list[Answer] = []
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:

            @asynccontextmanager
            async def raging() -> AsyncIterator[None]:
                loop = asyncio.get_running_loop()
                payload = request("m", key=wild)
                running = loop.run_in_executor(processes, storm, port, payload, 10.0 * _LIMIT, seconds + 1)
                await asyncio.sleep(0.5)
                yield
                stormed.extend(await running)

            # Its process is started, and both keys are known, before anything counts.
            async with raging():
                await arrive(port, request("m", key=calm), rate=load.rate, seconds=1)
            asked = {"the other key": request("m", key=calm)}
            quiet, loud = await _compare("keys", port, asked, load.rate, seconds, rounds, raging)
    refused = sum(answer.status == 429 for answer in stormed) / len(stormed)
    progress(f"keys: of the storm's {len(stormed)} requests {refused:.0%} were refused")
    errors = sum(not answer.good for answers in (*quiet["the other key"], *loud["the other key"]) for answer in answers)
    return [
        _ratio("the other key's p99 in the storm", quiet["the other key"], loud["the other key"]),
        at_most("the other key's refusals and errors", errors, 0),
    ]


async def stall(load: Load) -> list[Finding]:
    """A provider at which 300 requests hang, beside another provider and beside another of its own models."""
    rounds, seconds = _rounds(load)
    async with Stand() as stand:
        upstreams = await stand.upstreams("a", "b")
        models = {"stalled": ["a/stalled"], "neighbour": ["a/m"], "other": ["b/m"]}
        port = await stand.serve(settings(upstreams, models))

        @asynccontextmanager
        async def hanging() -> AsyncIterator[None]:
            before = len(await upstreams["a"].journal())
            client = Client(port)
            payload = request("stalled")
            tasks = [asyncio.create_task(client.ask(payload, due=time.monotonic())) for _ in range(_HANGING)]
            while len(await upstreams["a"].journal()) < before + _HANGING:  # noqa: ASYNC110 -- it is another process
                await asyncio.sleep(0.05)
            yield
            if any(task.done() for task in tasks):
                raise RuntimeError("A request that was to hang was answered.")
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.sleep(0.5)  # until the gateway has let go of them

        asked = {"another provider": request("other"), "another model of the provider": request("neighbour")}
        for payload in asked.values():
            await arrive(port, payload, rate=load.rate, seconds=1)
        quiet, loud = await _compare("stall", port, asked, load.rate, seconds, rounds, hanging)
    findings = []
    for who in asked:
        errors = sum(not answer.good for answers in loud[who] for answer in answers)
        findings += [
            _ratio(f"p99 of {who} while {_HANGING} requests hang", quiet[who], loud[who]),
            at_most(f"errors of {who}", errors, 0),
        ]
    return findings


async def plan(load: Load) -> list[Finding]:
    """The order in which a hundred candidates are to be asked."""
    progress("plan: a hundred candidates")
    call = call_of(SMALL)
    plans = {name: partial(among_a_hundred(strategy).plan, call) for name, strategy in STRATEGIES.items()}
    taken = dict.fromkeys(plans, math.inf)
    for _ in range(300):
        for name, each in plans.items():
            # The quickest of many, since whatever else the machine does only ever adds to it.
            taken[name] = min(taken[name], timeit.timeit(each, number=20) / 20)
    return [
        at_most(f"{name}: µs for a plan of a hundred", seconds * 1e6, 100, "{:.0f}") for name, seconds in taken.items()
    ]


_Rounds = Mapping[str, Sequence[Sequence[Answer]]]


async def _compare(
    goal: str,
    port: int,
    asked: Mapping[str, bytes],
    rate: float,
    seconds: float,
    rounds: int,
    disturbance: Callable[[], AbstractAsyncContextManager[None]],
) -> tuple[_Rounds, _Rounds]:
    """The answers of rounds without and with the disturbance, in turns, so that a busy machine is busy for both."""
    quiet: dict[str, list[list[Answer]]] = {who: [] for who in asked}
    loud: dict[str, list[list[Answer]]] = {who: [] for who in asked}

    async def listen(into: dict[str, list[list[Answer]]]) -> None:
        found = await asyncio.gather(*(arrive(port, payload, rate=rate, seconds=seconds) for payload in asked.values()))
        for who, answers in zip(asked, found, strict=True):
            into[who].append(answers)

    for turn in range(rounds):
        progress(f"{goal}: round {turn + 1} of {rounds}, twice {seconds:g} s")
        await listen(quiet)
        async with disturbance():
            await listen(loud)
    return quiet, loud


def _ratio(what: str, quiet: Sequence[Sequence[Answer]], loud: Sequence[Sequence[Answer]]) -> Finding:
    without, with_it = [p99(answers) for answers in quiet], [p99(answers) for answers in loud]
    ratio = statistics.median(after / before for before, after in zip(without, with_it, strict=True))
    told = f" ({statistics.median(without) * 1e3:.1f} → {statistics.median(with_it) * 1e3:.1f} ms)"
    return at_most(f"{what}, as a multiple", ratio, 1.2, "{:.2f}", more=told)


def _rounds(load: Load) -> tuple[int, float]:
    return (3, 2.0) if load.quick else (9, 5.0)
