"""What `xrouter serve` takes besides the work on requests: its start, its memory when idle, the memory of open streams.

The start ends with the first answer to a chat, from files that Python has compiled. Memory is the proportional set size
(PSS): pages that processes share count in parts. A stream is open when its client has its first event. The median of
several starts counts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import uvloop

from xrouter_asgi.admission import raise_descriptors

from .report import save, table
from .servers import cpu, pss
from .subject import HERE, SKINS, command, served

_EPILOG = """\
examples:
  python -m benchmarks.footprint                      this checkout, with the access log alone, with skins, everything
  python -m benchmarks.footprint --against ../main    another checkout first, then this one
  python -m benchmarks.footprint --save               put the table into docs/performance.md

Linux only.
"""
_ROWS: dict[str, tuple[str, ...]] = {
    "the access log alone": (),
    "with keys, limits and metrics": SKINS,
    "everything": (*SKINS, "tracing"),
}
_CHATS = 50  # before memory counts as idle


class Footprint(NamedTuple):
    """Seconds by the clock and of the CPU until the first answer, MiB when idle, KiB of an open stream."""

    start: float
    start_cpu: float
    idle: float
    stream: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.footprint",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", type=Path, metavar="DIR", help="measure this checkout first")
    parser.add_argument("--streams", type=int, default=1000, help="open streams (default 1000)")
    parser.add_argument("--starts", type=int, default=5, help="starts of each (default 5)")
    parser.add_argument("--save", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args(arguments)
    raise_descriptors()
    against: Path | None = options.against
    trees = {"": HERE} if against is None else {f", {against.name}": against.resolve(), "": HERE}
    found = {
        row + name: uvloop.run(_median(tree, parts, options))
        for row, parts in _ROWS.items()
        for name, tree in trees.items()
    }
    text = table(
        ("", *found),
        [
            ("seconds until the first answer", *(f"{each.start:.2f}" for each in found.values())),
            ("CPU seconds until the first answer", *(f"{each.start_cpu:.2f}" for each in found.values())),
            ("memory when idle, MiB", *(f"{each.idle:.0f}" for each in found.values())),
            ("memory of one open stream, KiB", *(f"{each.stream:.0f}" for each in found.values())),
        ],
    )
    print(text)
    if options.save:
        save("footprint", text)
    return 0


async def _median(tree: Path, parts: Sequence[str], options: argparse.Namespace) -> Footprint:
    # The first start compiles.
    measured = [await _measure(tree, parts, options.streams) for _ in range(options.starts + 1)][1:]
    return Footprint(*(statistics.median(column) for column in zip(*measured, strict=True)))


async def _measure(tree: Path, parts: Sequence[str], streams: int) -> Footprint:
    async with served(tree, launcher=[sys.executable, *command(tree)], parts=parts) as subject:
        await subject.ask()
        start, start_cpu = time.perf_counter() - subject.began, cpu(subject.pid)
        for _ in range(_CHATS):
            await subject.ask()
        idle = pss(subject.pid)
        await subject.open_streams(streams)
        of_streams = pss(subject.pid) - idle
    return Footprint(start, start_cpu, idle / 1024, of_streams / streams)


if __name__ == "__main__":
    sys.exit(main())
