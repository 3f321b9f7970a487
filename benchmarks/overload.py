"""More than the gateway can do: 2 and 5 times its capacity.

The upstream takes 50 ms and 2 calls at once, so the capacity is 40 requests a second, whatever the machine. A client
that was refused asks again after the time it was told. One that does not listen asks every half second, as OpenAI's
first retry does, and gives up after 5 s. Meanwhile streams run, and `/health` is asked four times a second.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import uvloop

from .everything import Gateway, everything_on
from .plot import Series
from .report import parser, report
from .resilience.arrivals import Answer, Client, request
from .resilience.goal import Finding, at_least, at_most, progress

_PARALLEL = 2
CAPACITY = 40.0
"""Requests a second."""
_DEAF = 0.5  # seconds after which a client asks again that does not listen
_GIVES_UP = 5.0  # seconds; of a client that does not listen
_STREAMS = 5
_BACK = 5.0  # seconds after a storm
_HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Run:
    """Clients that come at one rate.

    Attributes:
        obedient: They ask again when they are told to.
    """

    times: float
    obedient: bool

    @property
    def name(self) -> str:
        if self.times <= 1:
            return f"{self.times:g} ×"
        return f"{self.times:g} ×, {'waiting as told' if self.obedient else 'not listening'}"


RUNS = (Run(1, True), Run(2, True), Run(5, True), Run(2, False), Run(5, False))


async def _come(port: int, payload: bytes, run: Run, seconds: float) -> list[Answer]:
    client = Client(port)
    began = time.monotonic()
    end = began + seconds
    answers: list[Answer] = []

    async def visit() -> None:
        gives_up = math.inf if run.obedient else time.monotonic() + _GIVES_UP
        while True:
            answer = await client.ask(payload, due=time.monotonic())
            answers.append(answer)
            now = time.monotonic()
            wait = answer.retry_after if run.obedient else _DEAF
            if answer.good or now + wait > min(end, gives_up):
                return
            await asyncio.sleep(wait)

    async with asyncio.TaskGroup() as group:
        for number in range(round(run.times * CAPACITY * seconds)):
            await asyncio.sleep(began + number / (run.times * CAPACITY) - time.monotonic())
            group.create_task(visit())
    client.close()
    return answers


def come(port: int, payload: bytes, run: Run, seconds: float) -> list[Answer]:
    """The answers to all these clients. Run it in a process of its own."""
    return uvloop.run(_come(port, payload, run, seconds))


async def _probe(port: int, answers: list[Answer]) -> None:
    client = Client(port)
    while True:
        answers.append(await client.ask(_HEALTH, due=time.monotonic()))
        await asyncio.sleep(0.25)


@dataclass(slots=True)
class Found:
    """What one run showed.

    Attributes:
        goodput: Good answers a second.
        p99: Seconds, of good answers.
        health: The worst time of `/health`, in seconds; infinity if it failed.
        broken: Streams that did not go on.
        back: The share of good answers from 5 s after the run on.
    """

    answers: list[Answer]
    began: float
    goodput: float
    p99: float
    health: float
    broken: int
    back: float


async def _measure(gateway: Gateway, run: Run, seconds: float, processes: ProcessPoolExecutor) -> Found:
    loop = asyncio.get_running_loop()
    client = Client(gateway.port)
    long = request("long", stream=True, key=gateway.key)
    streams = [asyncio.create_task(client.ask(long, due=time.monotonic())) for _ in range(_STREAMS)]
    health: list[Answer] = []
    probing = asyncio.create_task(_probe(gateway.port, health))
    payload = request("bench", key=gateway.key)
    began = time.monotonic()
    answers = await loop.run_in_executor(processes, come, gateway.port, payload, run, seconds)
    ended = time.monotonic()
    broken = sum(task.done() for task in streams)
    for task in streams:
        task.cancel()
    await asyncio.sleep(max(0.0, began + seconds + _BACK - ended))
    after = await loop.run_in_executor(processes, come, gateway.port, payload, Run(0.5, True), 3.0)
    probing.cancel()
    good = [answer for answer in answers if answer.good]
    within = [answer for answer in good if answer.due + answer.latency <= began + seconds]
    firsts = sorted(answer.latency for answer in good)
    return Found(
        answers=answers,
        began=began,
        goodput=len(within) / seconds,
        p99=firsts[math.ceil(0.99 * len(firsts)) - 1] if firsts else math.inf,
        health=max(answer.latency if answer.status == 200 else math.inf for answer in health),
        broken=broken,
        back=sum(answer.good for answer in after) / len(after),
    )


def _findings(found: dict[Run, Found]) -> list[Finding]:
    once = found[RUNS[0]].goodput
    least = {RUNS[1]: 0.90, RUNS[2]: 0.70, RUNS[3]: 0.65}
    findings = []
    for run, each in found.items():
        statuses = Counter(answer.status for answer in each.answers)
        told = ", ".join(f"{number} × {status or 'none'}" for status, number in sorted(statuses.items()))
        if run in least:
            share = each.goodput / once
            findings.append(at_least(f"{run.name}: goodput of that at 1 ×", share, least[run], "{:.0%}"))
        findings += [
            at_most(f"{run.name}: p99 of accepted requests, in s", each.p99, 2.0, "{:.2f}", more=f" ({told})"),
            at_most(f"{run.name}: slowest /health, in s", each.health, 1.0, "{:.2f}"),
            at_most(f"{run.name}: of {_STREAMS} running streams broke off", each.broken, 0),
            at_least(f"{run.name}: good answers 5 s later", each.back, 0.95, "{:.0%}"),
        ]
    return findings


def _goodput(found: Found) -> Series:
    seconds = Counter(int(each.due + each.latency - found.began) for each in found.answers if each.good)
    return [(float(second), float(seconds[second])) for second in range(max(seconds, default=0) + 1)]


async def _run(seconds: float) -> dict[Run, Found]:
    found: dict[Run, Found] = {}
    async with everything_on(parallel=_PARALLEL) as gateway:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
            for run in RUNS:
                progress(f"{run.name}: {seconds:g} s")
                found[run] = await _measure(gateway, run, seconds, processes)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    commands = parser("overload", __doc__)
    commands.add_argument("--seconds", type=float, default=15.0, help="of each run (default 15)")
    options = commands.parse_args(arguments)
    found = uvloop.run(_run(options.seconds))
    series = {run.name: _goodput(each) for run, each in found.items()}
    title = "Good answers a second, by how many times the capacity is asked for"
    return report("overload", _findings(found), series, title=title, options=options)


if __name__ == "__main__":
    sys.exit(main())
