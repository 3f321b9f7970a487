"""The way of one request through the package: which of our functions it enters, and in which files.

`xrouter serve` runs in its own process in front of an OpenAI-compatible upstream, over real sockets. After ten
requests that warm it up, `sys.setprofile` records each function of the package that begins on the thread of the event
loop. A coroutine that continues after an await is not counted again, and a comprehension counts as part of its
function. Control changes file when a function begins in another file than the function before it. Timers may fall into
a recording, so the shortest of fifteen counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, TypeAlias

import uvloop

from .report import save, table
from .subject import HERE, SKINS, Subject, entry_point, served

_EPILOG = """\
examples:
  python -m benchmarks.trace                       a plain chat with default settings: the access log alone
  python -m benchmarks.trace --skins               the same with keys, limits and metrics
  python -m benchmarks.trace --stream 8 --list     a stream of 8 words, and every file in the order of the way
  python -m benchmarks.trace --against ../main     another checkout first, then this one
  python -m benchmarks.trace --table --save        a chat and a stream, without skins and with: into docs/performance.md
"""
_WARM = 10
_RECORDINGS = 15
_REST = 0.05  # seconds after an answer in which the server finishes the request

Entries: TypeAlias = list[tuple[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trace",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stream", type=int, metavar="N", help="trace a stream of N words instead of a whole answer")
    parser.add_argument("--skins", action="store_true", help="add keys, limits and metrics")
    parser.add_argument("--list", action="store_true", help="print files and functions in the order of their entries")
    parser.add_argument("--against", type=Path, metavar="DIR", help="trace this checkout first")
    parser.add_argument("--table", action="store_true", help="trace a chat and a stream, bare and with skins")
    parser.add_argument("--save", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    if options.table:
        text = uvloop.run(_table())
        print(text)
        if options.save:
            save("trace", text)
        return
    for tree in [HERE] if options.against is None else [options.against.resolve(), HERE]:
        entries = uvloop.run(_traced(tree, options.stream, options.skins))
        _print(tree, entries, options)


async def _table() -> str:
    rows = []
    for parts, skins in (("default settings", False), ("keys, limits and metrics", True)):
        for what, stream in (("a plain chat", None), ("a stream of 8 words", 8)):
            entries = await _traced(HERE, stream, skins)
            files = len({file for file, _ in entries})
            rows.append((f"{what}, {parts}", str(len(entries)), str(files), str(_changes(entries))))
    return table(("", "functions entered", "files", "changes of file"), rows)


async def _traced(tree: Path, stream: int | None, skins: bool) -> Entries:
    reading, writing = os.pipe()
    recorder = [sys.executable, "-P", str(Path(__file__).with_name("recorder.py")), str(writing), entry_point(tree)]
    with os.fdopen(reading, "rb") as answers, os.fdopen(writing, "wb"):
        async with served(tree, launcher=recorder, parts=SKINS if skins else (), pass_fds=[writing]) as subject:
            for _ in range(_WARM):
                await subject.ask(words=stream)
            recordings = [await _recording(subject, answers, stream) for _ in range(_RECORDINGS)]
    return min(recordings, key=len)


async def _recording(subject: Subject, answers: BinaryIO, words: int | None) -> Entries:
    await asyncio.sleep(_REST)
    os.kill(subject.pid, signal.SIGUSR1)
    answers.readline()
    await subject.ask(words=words)
    await asyncio.sleep(_REST)
    os.kill(subject.pid, signal.SIGUSR2)
    return [(file, function) for file, function in json.loads(answers.readline())]


def _print(tree: Path, entries: Entries, options: argparse.Namespace) -> None:
    files = {file for file, _ in entries}
    print(f"{tree}")
    print(
        f"  {len(entries)} entries of {len(set(entries))} functions in {len(files)} files; "
        f"{_changes(entries)} changes of file",
        flush=True,
    )
    if options.list:
        for file, stay in groupby(entries, key=itemgetter(0)):
            print(f"  {file:<40} {' '.join(function for _, function in stay)}")


def _changes(entries: Entries) -> int:
    return sum(before != after for (before, _), (after, _) in pairwise(entries))


if __name__ == "__main__":
    main()
