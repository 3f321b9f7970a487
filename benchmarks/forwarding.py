"""CPU per request and per streamed event: `xrouter serve` against a bare app that only forwards.

They run at the same time and take turns, so that a noisy machine is noisy for all; what counts is the ratio of the CPU
seconds that the kernel charged to each process, not the clock. `python -m benchmarks.compare` has other gateways, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from .report import save, table
from .servers import Server, Servers
from .subject import HERE, SKINS
from .turns import PACED, PLAIN, SCENARIOS, Scenario, cells, take_turns

_EPILOG = """\
examples:
  python -m benchmarks.forwarding
  python -m benchmarks.forwarding --rounds 9 --seconds 2
  python -m benchmarks.forwarding --everything                    also with keys, limits, metrics and tracing
  python -m benchmarks.forwarding --everything --against ../main  also another checkout
  python -m benchmarks.forwarding --everything --save             put the table into docs/performance.md

Needs the extra `dev` and `pip install httpx-aiohttp`. Linux only.
"""
_BARE: dict[str, tuple[str, ...]] = {"bare": ()}
_EVERYTHING = {
    **_BARE,
    "tracing": ("tracing",),
    "everything, sampling 0.1": (*SKINS, "tracing-0.1"),
    "everything": (*SKINS, "tracing"),
}
"""What is served, with which parts."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.forwarding",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a turn (default 1)")
    parser.add_argument("--everything", action="store_true", help="also serve with keys, limits, metrics and tracing")
    parser.add_argument("--against", type=Path, metavar="DIR", help="also serve this checkout")
    parser.add_argument("--save", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args(arguments)
    found = uvloop.run(_measure(options))
    print(found)
    if options.save:
        save("ratios", found)
    return 0


async def _measure(options: argparse.Namespace) -> str:
    """The table: a row for each server, a column for each scenario."""
    scenarios: Sequence[Scenario] = SCENARIOS if options.everything else (PLAIN, PACED)
    trees = {"": HERE} if options.against is None else {f" {options.against.name}": options.against.resolve(), "": HERE}
    rows = _EVERYTHING if options.everything else _BARE
    async with Servers() as servers:
        running: dict[str, Server] = {"forwarder": await servers.asgi("forwarder", "benchmarks.floor:app")}
        for row, parts in rows.items():
            for name, tree in trees.items():
                running[row + name] = await servers.gateway(row + name, parts, tree=tree)
        columns = []
        for scenario in scenarios:
            turns = await take_turns(
                {name: (server, scenario) for name, server in running.items()},
                rounds=options.rounds,
                seconds=options.seconds,
                title=scenario.title,
            )
            columns.append(cells(turns, "forwarder", "cpu", "{:,.0f} µs"))
    titles = ["CPU time", *(scenario.title for scenario in scenarios)]
    return table(titles, [(name, *(column[name] for column in columns)) for name in running])


if __name__ == "__main__":
    sys.exit(main())
