"""What `xrouter serve` takes besides the work on requests: its start, its memory when idle, the memory of open streams.

The start ends with the first answer to a chat, from files that Python has compiled. Memory is the proportional set size
(PSS): pages that processes share count in parts. A stream is open when its client has its first event. The median of
several starts counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import uvloop

from xrouter_asgi.admission import raise_descriptors

from .subject import HERE, SKINS, command, served

_EPILOG = """\
examples:
  python -m benchmarks.footprint                      this checkout, with keys, limits and metrics
  python -m benchmarks.footprint --bare               with the access log alone
  python -m benchmarks.footprint --against ../main    another checkout first, then this one

Linux only.
"""
_TICK = os.sysconf("SC_CLK_TCK")
_CHATS = 50  # before memory counts as idle


class Footprint(NamedTuple):
    """Seconds by the clock and of the CPU until the first answer, MiB when idle, KiB of an open stream."""

    start: float
    start_cpu: float
    idle: float
    stream: float


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.footprint",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", type=Path, metavar="DIR", help="measure this checkout first")
    parser.add_argument("--bare", action="store_true", help="without keys, limits and metrics")
    parser.add_argument("--streams", type=int, default=1000, help="open streams (default 1000)")
    parser.add_argument("--starts", type=int, default=5, help="starts of each (default 5)")
    options = parser.parse_args()
    raise_descriptors()
    for tree in [HERE] if options.against is None else [options.against.resolve(), HERE]:
        measured = [uvloop.run(_measure(tree, options)) for _ in range(options.starts + 1)][1:]  # the first compiles
        found = Footprint(*(statistics.median(column) for column in zip(*measured, strict=True)))
        print(f"{tree}: first answer after {found.start:.2f} s ({found.start_cpu:.2f} s of CPU)")
        print(f"    {found.idle:.1f} MiB when idle, {found.stream:.1f} KiB for each of {options.streams} open streams")


async def _measure(tree: Path, options: argparse.Namespace) -> Footprint:
    async with served(tree, launcher=[sys.executable, *command(tree)], parts=() if options.bare else SKINS) as subject:
        await subject.ask()
        start, start_cpu = time.perf_counter() - subject.began, _cpu(subject.pid)
        for _ in range(_CHATS):
            await subject.ask()
        idle = _pss(subject.pid)
        await subject.open_streams(options.streams)
        streams = _pss(subject.pid) - idle
    return Footprint(start, start_cpu, idle / 1024, streams / options.streams)


def _pss(pid: int) -> float:
    """KiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1])
    raise RuntimeError("The kernel does not tell the memory of a process.")


def _cpu(pid: int) -> float:
    """Seconds that the kernel charged to the process."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / _TICK


if __name__ == "__main__":
    main()
