"""100 requests a second with everything on: errors, memory, and what the gateway adds to the time of its upstream.

Every other second the requests go to the upstream itself, which takes 50 ms, so that whatever else the machine does
falls on both alike.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import uvloop

from .everything import everything_on
from .plot import Series
from .report import parser, report
from .resilience.arrivals import Answer, arrive, p99, request
from .resilience.goal import Finding, at_most, progress

_RATE = 100.0
_MEMORY = 150 << 20


async def _run(minutes: float) -> tuple[list[Finding], dict[str, Series]]:
    through: list[Answer] = []
    direct: list[Answer] = []
    memory: list[tuple[float, float]] = []
    async with everything_on() as gateway:
        asked, bare = request("bench", key=gateway.key), request("bench")
        await arrive(gateway.port, asked, rate=_RATE, seconds=2)  # connections, caches
        began = time.monotonic()
        seconds = round(minutes * 60)
        for second in range(0, seconds, 2):
            if second % 10 == 0:
                progress(f"steady: {second} of {seconds} s")
            through += await arrive(gateway.port, asked, rate=_RATE, seconds=1)
            direct += await arrive(gateway.upstream.port, bare, rate=_RATE, seconds=1)
            memory.append((time.monotonic() - began, gateway.resident() / (1 << 20)))
    added = (p99(through) - p99(direct)) * 1000
    findings = [
        at_most("errors", sum(not answer.good for answer in through), 0, more=f" of {len(through)}"),
        at_most("memory, in MiB", max(each for _, each in memory), _MEMORY / (1 << 20), "{:.0f}"),
        at_most("added p99, in ms", added, 15.0, "{:.1f}", more=f" ({p99(through) * 1000:.1f} in all)"),
    ]
    return findings, {"p99 through the gateway, ms": _p99s(through, began), "of the upstream": _p99s(direct, began)}


def _p99s(answers: Sequence[Answer], began: float) -> Series:
    """The p99 of each second's requests, in milliseconds."""
    seconds: dict[int, list[Answer]] = {}
    for answer in answers:
        seconds.setdefault(int(answer.due - began), []).append(answer)
    return [(float(second), p99(each) * 1000) for second, each in sorted(seconds.items())]


def main(arguments: Sequence[str] | None = None) -> int:
    commands = parser("steady", __doc__)
    commands.add_argument("--minutes", type=float, default=10.0, help="default 10")
    options = commands.parse_args(arguments)
    findings, series = uvloop.run(_run(options.minutes))
    return report(
        "steady", findings, series, title="Milliseconds within which 99 of 100 were answered", options=options
    )


if __name__ == "__main__":
    sys.exit(main())
