"""All kinds of trouble at once, for long; afterwards nothing may be left of it.

Whole answers and streams, clients that leave, slow readers, an upstream that fails one time in ten, keys that are made
and revoked, and settings that are loaded again. At the end descriptors, tasks, slots, leases and memory are compared
with those before.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import uvloop

from .everything import Gateway, everything_on
from .report import parser, report
from .resilience.arrivals import Client, request
from .resilience.goal import Finding, at_most, progress
from .subject import HERE, entry_point

_PARALLEL = 20
_QUIET = 20.0  # seconds until idle connections to the upstream are closed, and leases have run out
_WARM = 20.0
_MORE_MEMORY = 20 << 20  # bytes that caches may grow by after the warm-up
_TROUBLE = {"whole": 8, "stream": 4, "leave": 3, "dawdle": 1}
"""Kinds of clients, and how many of each run at any time."""


class Soak:
    """The trouble, and what it came to.

    Attributes:
        counts: How often what happened.
    """

    def __init__(self, gateway: Gateway, census: int) -> None:
        self.counts = Counter[str]()
        self._gateway = gateway
        self._census = census
        self._client = Client(gateway.port)
        self._dice = random.Random(1)
        self._key = gateway.key

    async def trouble(self, seconds: float) -> None:
        """Make all kinds of it for so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for kind, number in _TROUBLE.items():
                    for _ in range(number):
                        group.create_task(self._again(getattr(self, f"_{kind}"), pause=0.05))
                group.create_task(self._again(self._change_key, pause=5.0))
                group.create_task(self._again(self._reload, pause=5.0))

    async def _again(self, what: Callable[[], Awaitable[object]], *, pause: float) -> None:
        while True:
            await what()
            await asyncio.sleep(self._dice.uniform(0.5, 1.5) * pause)

    async def _whole(self, *, stream: bool = False) -> None:
        answer = await self._client.ask(request("bench", stream=stream, key=self._key), due=time.monotonic())
        self.counts[f"status {answer.status}"] += 1

    async def _stream(self) -> None:
        await self._whole(stream=True)

    async def _leave(self) -> None:
        """Leave at any moment."""
        self.counts["left"] += 1
        model = self._dice.choice(("bench", "long"))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._dice.uniform(0, 0.3)):
                await self._client.ask(request(model, stream=True, key=self._key), due=time.monotonic())

    async def _dawdle(self) -> None:
        """Read a long stream slowly, and leave."""
        self.counts["read slowly"] += 1
        loop = asyncio.get_running_loop()
        with socket.socket() as connection:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            await loop.sock_connect(connection, ("127.0.0.1", self._gateway.port))
            await loop.sock_sendall(connection, request("long", stream=True, key=self._key))
            for _ in range(10):
                await loop.sock_recv(connection, 256)
                await asyncio.sleep(0.3)

    async def _change_key(self) -> None:
        self.counts["keys changed"] += 1
        text, old = self._gateway.config.read_text(), self._key
        self._key = await self._gateway.stand.key(text)
        if old != self._gateway.key:
            await self._gateway.stand.revoke(old)

    async def _reload(self) -> None:
        self.counts["reloads"] += 1
        os.kill(self._gateway.pid, signal.SIGHUP)

    async def census(self) -> dict[str, int]:
        """What is open in the gateway now."""
        os.kill(self._gateway.pid, signal.SIGUSR1)
        line = await asyncio.to_thread(os.read, self._census, 4096)
        found: dict[str, int] = json.loads(line)
        found["descriptors"] = len(os.listdir(f"/proc/{self._gateway.pid}/fd"))
        found["memory"] = self._gateway.resident()
        return found

    def close(self) -> None:
        self._client.close()


async def _run(minutes: float) -> tuple[list[Finding], list[tuple[float, float]]]:
    reading, writing = os.pipe()
    launcher = [sys.executable, "-P", str(HERE / "benchmarks" / "census.py"), str(writing), entry_point(HERE)]
    memory: list[tuple[float, float]] = []
    async with everything_on(parallel=_PARALLEL, launcher=launcher, pass_fds=[writing]) as gateway:
        os.close(writing)
        soak = Soak(gateway, reading)
        await gateway.upstream.fail("500", "reset", "empty", share=0.1)
        progress(f"soak: warming up for {_WARM:g} s, and resting for {_QUIET:g} s")
        await soak.trouble(_WARM)
        await asyncio.sleep(_QUIET)
        before = await soak.census()
        began = time.monotonic()
        while (past := time.monotonic() - began) < minutes * 60:
            await soak.trouble(min(10.0, minutes * 60 - past))
            memory.append((time.monotonic() - began, gateway.resident() / (1 << 20)))
            progress(f"soak: {past + 10:.0f} of {minutes * 60:.0f} s; {dict(soak.counts)}")
        soak.close()
        progress(f"soak: resting for {_QUIET:g} s")
        await asyncio.sleep(_QUIET)
        after = await soak.census()
    os.close(reading)
    told = f" ({', '.join(f'{number} × {what}' for what, number in sorted(soak.counts.items()))})"
    defects = soak.counts["status 0"]
    return [
        at_most("requests without an answer", defects, 0, more=told),
        *(at_most(f"{what} at the end", after[what], before[what]) for what in ("tasks", "descriptors")),
        *(at_most(f"{what} at the end", after[what], 0) for what in ("slots", "leases")),
        at_most(
            "memory that was added, in MiB",
            (after["memory"] - before["memory"]) / (1 << 20),
            _MORE_MEMORY / (1 << 20),
            "{:.1f}",
        ),
    ], memory


def main(arguments: Sequence[str] | None = None) -> int:
    commands = parser("soak", __doc__)
    commands.add_argument("--minutes", type=float, default=60.0, help="default 60")
    options = commands.parse_args(arguments)
    findings, memory = uvloop.run(_run(options.minutes))
    return report(
        "soak", findings, {"memory of the gateway, MiB": memory}, title="Memory under trouble", options=options
    )


if __name__ == "__main__":
    sys.exit(main())
