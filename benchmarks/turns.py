"""Servers take turns at the same requests, so that whatever else the machine does falls on all of them.

What counts is the ratio of one server's turn to another's of the same round: its median, and the lowest and highest.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from . import load
from .servers import TICK, Server
from .upstream import BURST, CHUNKS

_PATIENCE = 60.0  # seconds after which a turn has failed


class Scenario(NamedTuple):
    """What is asked.

    Attributes:
        units: Of each answer; CPU time is told for one of them.
        members: What else the body holds.
        requests: Of a turn, which then has no bound in time.
    """

    title: str
    connections: int
    units: int = 1
    stream: bool = False
    members: Mapping[str, object] = {}
    requests: int | None = None


PLAIN = Scenario("a chat, 32 connections", 32)
SINGLE = Scenario("a chat, one connection", 1)
PACED = Scenario("an event that comes alone", 32, CHUNKS + 2, stream=True)
BURSTS = Scenario(f"an event of {BURST} at once", 32, BURST + 2, stream=True, members=load.BURST)
LONG = Scenario("a chat of 1 MB", 4, members=load.LONG)
SCENARIOS = (PLAIN, SINGLE, PACED, BURSTS, LONG)


class Turn(NamedTuple):
    """What one turn showed: µs of CPU for a unit, answers a second, and milliseconds until an answer was whole."""

    cpu: float
    rate: float
    p50: float
    p99: float


class Failed(NamedTuple):
    """Why a server has no turns."""

    reason: str


Turns: TypeAlias = Sequence[Turn]


async def take_turns(
    servers: Mapping[str, tuple[Server, Scenario]], *, rounds: int, seconds: float, title: str
) -> dict[str, Turns | Failed]:
    """Give each server a turn a round, after one that warms it up.

    Args:
        seconds: Of a turn, which ends with the answers to what was asked until then.
        title: What progress is told of.

    A server that answers anything but a 200 has no more turns.
    """
    payloads = {
        name: server.payloads(stream=scenario.stream, members=scenario.members)
        for name, (server, scenario) in servers.items()
    }
    turns: dict[str, list[Turn]] = {name: [] for name in servers}
    failed: dict[str, Failed] = {}
    for number in range(-1, rounds):
        for name, (server, scenario) in servers.items():
            if name in failed:
                continue
            progress(f"{title}, round {max(number + 1, 0)} of {rounds}: {name}")
            try:
                turn = await _turn(server, scenario, payloads[name], seconds)
            except (OSError, RuntimeError, TimeoutError) as error:
                failed[name] = Failed(" ".join(str(error).split())[:400] or "took too long")
                progress(f"{title}: {name} fails: {failed[name].reason}\n")
            else:
                turns[name] += [turn] if number >= 0 else []
    progress("")
    return {name: failed.get(name, turns[name]) for name in servers}


async def _turn(server: Server, scenario: Scenario, payloads: Iterator[bytes], seconds: float) -> Turn:
    loop = asyncio.get_running_loop()
    before, began = server.cpu(), loop.time()
    async with asyncio.timeout(seconds + _PATIENCE):
        latencies = await load.run(
            server.port,
            payloads,
            connections=scenario.connections,
            requests=scenario.requests,
            seconds=math.inf if scenario.requests else seconds,
        )
    taken = loop.time() - began
    used = max(server.cpu() - before, TICK)  # less cannot be told
    latencies.sort()
    return Turn(
        cpu=used / (len(latencies) * scenario.units) * 1e6,
        rate=len(latencies) / taken,
        p50=statistics.median(latencies) * 1000,
        p99=latencies[math.ceil(0.99 * len(latencies)) - 1] * 1000,
    )


class Ratio(NamedTuple):
    """Of one server's turns to another's of the same rounds: the median, the lowest, the highest."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{_short(self.middle)} ({_short(self.low)}–{_short(self.high)})"


def ratio(turns: Turns, reference: Turns, measure: str) -> Ratio:
    """The ratio of one measure, a field of `Turn`."""
    ratios = [getattr(one, measure) / getattr(other, measure) for one, other in zip(turns, reference, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def middle(turns: Turns, measure: str) -> float:
    """The median of one measure."""
    each: list[float] = [getattr(turn, measure) for turn in turns]
    return statistics.median(each)


def cells(turns: Mapping[str, Turns | Failed], reference: str, measure: str, form: str = "{:,.0f}") -> dict[str, str]:
    """What a table says of each server: its ratio to one of them, whose own cell has the number behind the 1.

    Args:
        form: Writes this number, with its unit.
    """
    base = turns[reference]
    if isinstance(base, Failed):
        raise RuntimeError(f"{reference} failed: {base.reason}")
    told = {}
    for name, each in turns.items():
        if isinstance(each, Failed):
            told[name] = "fails"
        elif name == reference:
            told[name] = f"1 = {form.format(middle(each, measure))}"
        else:
            told[name] = str(ratio(each, base, measure))
    return told


def progress(text: str) -> None:
    """Show what is being done in place of what was shown, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _short(number: float) -> str:
    return f"{number:.2f}" if number < 10 else f"{number:.1f}" if number < 100 else f"{number:.0f}"
