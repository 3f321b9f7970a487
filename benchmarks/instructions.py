"""Instructions that the server executes for one plain chat, and for one event of a stream that it passes on.

callgrind counts the instructions of the process of `xrouter serve`, without those of the kernel. One client takes
turns with the server over one connection, and string hashes are fixed, so the figures repeat to half a percent, even
on a busy machine. The figure of a chat is the difference between many chats and few, divided by their number; that of
an event is the difference between a long stream and a short one.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import uvloop

from . import load
from .report import save, table
from .subject import HERE, SETTLE, SKINS, Subject, command, served
from .turns import progress

_EPILOG = """\
examples:
  python -m benchmarks.instructions                        this checkout, in a quarter of a minute
  python -m benchmarks.instructions --parts                a table: bare, each part alone, everything
  python -m benchmarks.instructions --parts --save         put it into docs/performance.md
  python -m benchmarks.instructions --parts bare tracing   two rows of it
  python -m benchmarks.instructions --dialects responses   an event of that dialect, too
  python -m benchmarks.instructions --native               events that are passed on as they came, and cached answers
  python -m benchmarks.instructions --refusals             a refusal, a chat with everything on, and a constant answer
  python -m benchmarks.instructions --against ../main      another checkout, this one, and the ratio

Needs valgrind (https://valgrind.org). Linux only.
"""
ROWS: dict[str, tuple[str, ...]] = {
    "bare": (),
    "keys": ("keys",),
    "limits": ("keys", "limits"),
    "money": ("keys", "limits", "money"),
    "admin": ("keys", "admin"),
    "metrics": ("metrics",),
    "skins": SKINS,
    "tracing-0": ("tracing-0",),
    "tracing-0.1": ("tracing-0.1",),
    "tracing": ("tracing",),
    "everything": (*SKINS, "tracing"),
}
"""What is measured with which parts; the number is the share of the traces that is sampled."""

_WARM = 30  # requests of each kind before anything is counted
_FEW = 20  # requests, or events, that both terms of a difference contain
_SETTLED = 5.0  # seconds in which a late event loop has come to refuse all that it does
_REPEATS = 5  # counts of each, because timers fall into some of them

_TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)


class Counts(NamedTuple):
    """Instructions of one chat, and of one event of a stream in each dialect."""

    chat: float
    events: dict[str, float]

    @property
    def event(self) -> float:
        """Of a chat."""
        return self.events["chat"]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", type=Path, metavar="DIR", help="count this checkout first, and print the ratio")
    dialects = [name for name in load.DIALECTS if name != "chat"]
    parser.add_argument("--dialects", nargs="*", choices=dialects, default=[], help="also count events of these")
    parser.add_argument("--parts", nargs="*", choices=ROWS, help="count these, or all of them, and print a table")
    parser.add_argument("--refusals", action="store_true", help="count refusals for want of room")
    parser.add_argument("--save", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--native", action="store_true", help="count events of other dialects, and cached answers")
    parser.add_argument("--requests", type=int, default=200, help="chats to count (default 200)")
    parser.add_argument("--words", type=int, default=200, help="events to count (default 200)")
    options = parser.parse_args()
    if options.refusals:
        text = uvloop.run(_count_refusals(options.requests))
        print(text)
        if options.save:
            save("refusals", text)
        return
    if options.native:
        uvloop.run(_count_native(options.requests, options.words))
        return
    trees = [HERE] if options.against is None else [options.against.resolve(), HERE]
    if options.parts is not None:
        text = _table(trees, options)
        print(text)
        if options.save:
            save("instructions", text)
        return
    counts = [uvloop.run(_count(tree, (), options)) for tree in trees]
    for tree, found in zip(trees, counts, strict=True):
        print(f"{tree}: {found.chat / 1000:.1f} thousand a chat, {found.event / 1000:.1f} thousand an event")
        for dialect, event in found.events.items():
            if dialect != "chat":
                print(f"    {event / 1000:.1f} thousand an event of {dialect}, {event / found.event:.2f} times as many")
    if len(counts) == 2:
        before, after = counts
        print(f"ratio: {after.chat / before.chat:.3f} a chat, {after.event / before.event:.3f} an event")


def _table(trees: Sequence[Path], options: argparse.Namespace) -> str:
    """One row for each part: thousands of instructions of a chat and of an event, in each checkout."""
    names = [f", {tree.name}" for tree in trees] if len(trees) > 1 else [""]
    heads = [what + name for what in ("a chat", "an event") for name in names]
    rows = []
    for row in options.parts or ROWS:
        counts = [uvloop.run(_count(tree, ROWS[row], options)) for tree in trees]
        cells = [*(found.chat for found in counts), *(found.event for found in counts)]
        rows.append((row, *(f"{cell / 1000:,.0f}" for cell in cells)))
        print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    return table(("thousand instructions", *heads), rows)


async def _count(tree: Path, parts: Sequence[str], options: argparse.Namespace) -> Counts:
    with tempfile.TemporaryDirectory() as folder:
        progress(f"{tree}: starting")
        async with served(tree, launcher=_callgrind(tree, Path(folder)), parts=parts) as subject:
            for turn in range(_WARM):
                progress(f"{tree}: warming up, {turn + 1} of {_WARM}")
                await subject.ask()
                for dialect in ("chat", *options.dialects):
                    await subject.ask(words=2, dialect=dialect)
            traced = any(part.startswith("tracing") for part in parts)
            counter = Counter(subject.pid, Path(folder), settle=SETTLE if traced else 0)
            chat = await _difference(partial(counter.chats, subject), options.requests, f"{tree}: chats")
            events = {}
            for dialect in ("chat", *options.dialects):
                count = partial(counter.stream, subject, dialect)
                events[dialect] = await _difference(count, options.words, f"{tree}: events of {dialect}")
    progress("")
    return Counts(chat, events)


async def _count_refusals(requests: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        constant_command = [*callgrind_options(Path(folder)), sys.executable, "-m", "benchmarks.constant"]
        constant = await _chats(constant_command, Path(folder), requests, "constant")
        command = _callgrind(HERE, Path(folder))
        everything = ROWS["everything"]
        accepted = await _chats(command, Path(folder), requests, "accepted", parts=everything)
        refused = await _refused(command, Path(folder), requests, accepted)
    progress("")
    rows = [
        ("an accepted chat, everything on", f"{accepted / 1000:,.0f}", "1"),
        ("a refusal for want of room", f"{refused / 1000:,.0f}", f"{refused / accepted:.2f}"),
        ("a constant answer", f"{constant / 1000:,.0f}", f"{constant / accepted:.2f}"),
    ]
    return table(("", "thousand instructions", "of a chat"), rows)


async def _count_native(requests: int, words: int) -> None:
    names = ("chat", "native-messages", "native-responses")
    with tempfile.TemporaryDirectory() as folder:
        async with served(HERE, launcher=_callgrind(HERE, Path(folder)), parts=("native",)) as subject:
            for turn in range(_WARM):
                progress(f"warming up, {turn + 1} of {_WARM}")
                await subject.ask()
                await subject.ask(dialect="cached")
                for name in names:
                    await subject.ask(words=10, dialect=name)
            counter = Counter(subject.pid, Path(folder))
            chat, hit = [
                await _difference(partial(counter.chats, subject, dialect=name), requests, f"{name}: answers")
                for name in ("chat", "cached")
            ]
            events = [await _difference(partial(counter.stream, subject, name), words, name) for name in names]
    progress("")
    print(f"{chat / 1000:.1f} thousand a chat, {hit / 1000:.1f} a cached one, {hit / chat:.2f} of it")
    for name, event in zip(names, events, strict=True):
        print(f"{event / 1000:.1f} thousand an event of {name}, {event / events[0]:.2f} of one of chat")


async def _chats(command: list[str], folder: Path, requests: int, title: str, parts: Sequence[str] = ()) -> float:
    """Instructions of one chat."""
    async with served(HERE, launcher=command, parts=parts) as subject:
        for turn in range(_WARM):
            progress(f"{title}: warming up, {turn + 1} of {_WARM}")
            await subject.ask()
        counter = Counter(subject.pid, folder, settle=SETTLE if parts else 0)
        return await _difference(partial(counter.chats, subject), requests, title)


async def _refused(command: list[str], folder: Path, requests: int, accepted: float) -> float:
    """Instructions of one request that is refused, of a server that is late and lets some pass.

    Raises:
        RuntimeError: The server was hardly ever late.
    """
    async with served(HERE, launcher=command, parts=ROWS["everything"], late=True) as subject:
        for turn in range(_WARM):
            progress(f"refused: warming up, {turn + 1} of {_WARM}")
            await subject.ask()
        await asyncio.sleep(_SETTLED)
        counter = Counter(subject.pid, folder)
        counter.zero()
        passed = 0
        for turn in range(requests):
            progress(f"refused: {turn + 1} of {requests}")
            passed += await subject.ask()
        await asyncio.sleep(SETTLE)
        counted = counter.read()
    if passed > requests / 2:
        raise RuntimeError(f"{passed} of {requests} requests passed, so the rest says little. Keep the machine busy.")
    return (counted - passed * accepted) / (requests - passed)


async def _difference(count: Callable[[int], Awaitable[int]], more: int, title: str) -> float:
    """Instructions of one thing: those of many, less those of few. Timers only add, so the least count is the best."""
    many, few = [], []
    for repeat in range(_REPEATS):
        progress(f"{title}, {repeat + 1} of {_REPEATS}")
        many.append(await count(_FEW + more))
        few.append(await count(_FEW))
    return (min(many) - min(few)) / more


def _callgrind(tree: Path, folder: Path) -> list[str]:
    """The command that runs `xrouter` under callgrind. It starts uncounted, which is 20 times as fast."""
    return [*callgrind_options(folder), sys.executable, *command(tree)]


def callgrind_options(folder: Path) -> list[str]:
    """A command that runs another one under callgrind, uncounted, for a `Counter` of the folder."""
    options = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder / 'counts'}"]
    return ["valgrind", "--quiet", *options]


class Counter:
    """Reads the counts of a process that runs under callgrind.

    Args:
        settle: Seconds to wait after chats for what follows them.
    """

    def __init__(self, pid: int, folder: Path, *, settle: float = 0) -> None:
        self._pid = pid
        self._settle = settle
        self._folder = folder
        self.control("--instr=on")

    async def chats(self, subject: Subject, requests: int, *, dialect: str = "chat") -> int:
        """Instructions of so many chats, or other whole answers."""
        self.zero()
        for _ in range(requests):
            await subject.ask(dialect=dialect)
        await asyncio.sleep(self._settle)
        return self.read()

    async def stream(self, subject: Subject, dialect: str, words: int) -> int:
        """Instructions of one stream with so many events."""
        self.zero()
        await subject.ask(words=words, dialect=dialect)
        return self.read()

    def zero(self) -> None:
        self.control("--zero")

    def read(self) -> int:
        found = _TOTALS.search(self.dump())
        if found is None:
            raise RuntimeError("callgrind has written no totals.")
        return int(found[1])

    def dump(self) -> str:
        """What callgrind has counted, in its format."""
        self.control("--dump")
        [file] = self._folder.glob("counts.*")
        text = file.read_text()
        file.unlink()
        return text

    def control(self, order: str) -> None:
        subprocess.run(["callgrind_control", order, str(self._pid)], check=True, capture_output=True)


if __name__ == "__main__":
    main()
