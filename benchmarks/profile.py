"""Instructions of one request, by the function of Python that executes them.

callgrind sees the interpreter, not the functions that it runs. Since Python 3.12 `-X perf` gives each of them a few
instructions of machine code of its own, which callgrind takes for a function without a name; a file of Python's says
whose they are. `own` are the instructions of a function with what it calls in C, such as a regular expression or
`dict()`; `all` are those with the functions of Python that it calls, too. A coroutine is entered anew each time that
it goes on after an await. All figures are a fifth higher than those of `benchmarks.instructions`, because no function
can run within the frame of the one that calls it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import uvloop

from . import instructions
from .report import table
from .subject import HERE, SETTLE, command, served
from .turns import progress

_EPILOG = """\
examples:
  python -m benchmarks.profile                     the 60 functions of a bare chat that take the most
  python -m benchmarks.profile everything          with keys, limits, metrics and tracing
  python -m benchmarks.profile native --cached     of an answer out of the cache
  python -m benchmarks.profile limits --by all     the functions, with those that they call
  python -m benchmarks.profile --lines 500 > now   to compare with another checkout by diff

Needs valgrind (https://valgrind.org) and Python 3.12. Linux only.
"""
_WARM = 60  # requests before anything is counted, after which the interpreter has adapted its code
_CONTEXT = 20  # frames of C and Python in which the next function of Python is looked for
_ADDRESS = re.compile(r"0x([0-9a-f]{16})")
_NUMBERED = re.compile(r"\((\d+)\)(?: (.*))?")
_FOLDERS = re.compile(r"^.*/(?=xrouter_asgi/|site-packages/|python3\.\d+/)")


class Share(NamedTuple):
    """What one function takes of a request, in instructions.

    Attributes:
        name: Its name, and its file after a colon.
        calls: How often it is entered.
    """

    name: str
    own: float
    all: float
    calls: float


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rows = [*instructions.ROWS, "native"]
    parser.add_argument("row", nargs="?", default="bare", choices=rows, help="which parts are on (default bare)")
    parser.add_argument("--cached", action="store_true", help="ask for an answer out of the cache; only with native")
    parser.add_argument("--by", choices=("own", "all", "calls"), default="own", help="what to sort by (default own)")
    parser.add_argument("--requests", type=int, default=100, help="chats to count (default 100)")
    parser.add_argument("--lines", type=int, default=60, help="functions to print (default 60)")
    options = parser.parse_args()
    if sys.version_info < (3, 12):
        parser.error(f"This is Python {sys.version_info[0]}.{sys.version_info[1]}; the option -X perf came with 3.12.")
    found = sorted(uvloop.run(_profile(options)), key=attrgetter(options.by), reverse=True)
    cells = [
        (share.name, *(f"{part / 1000:.1f}" for part in (share.own, share.all)), f"{share.calls:.1f}")
        for share in found[: options.lines]
    ]
    print(table(("thousand instructions", "own", "all", "calls"), cells))


async def _profile(options: argparse.Namespace) -> list[Share]:
    dialect = "cached" if options.cached else "chat"
    parts = instructions.ROWS.get(options.row, (options.row,))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        context = f"--separate-callers{_CONTEXT}=0x*"
        launcher = [*instructions.callgrind_options(folder), context, sys.executable, "-X", "perf", *command(HERE)]
        async with served(HERE, launcher=launcher, parts=parts) as subject:
            for turn in range(_WARM):
                progress(f"warming up, {turn + 1} of {_WARM}")
                await subject.ask(dialect=dialect)
            counter = instructions.Counter(subject.pid, folder)
            counter.zero()
            for turn in range(options.requests):
                progress(f"counting, {turn + 1} of {options.requests}")
                await subject.ask(dialect=dialect)
            await asyncio.sleep(SETTLE if "tracing" in options.row else 0)
            progress("")
            return _shares(counter.dump(), _names(subject.pid), options.requests)


def _names(pid: int) -> dict[int, str]:
    """The functions of Python by the address of their code, from the file that Python writes."""
    file = Path(f"/tmp/perf-{pid}.map")  # noqa: S108  # Python does not ask where
    found = {}
    for line in file.read_text().splitlines():
        address, _, name = line.split(" ", 2)
        function, _, path = name.removeprefix("py::").rpartition(":")
        found[int(address, 16)] = f"{function}: {_FOLDERS.sub('', path)}"
    file.unlink()
    return found


def _shares(dump: str, names: Mapping[int, str], requests: int) -> list[Share]:
    everything, called, calls = Counter[str](), Counter[str](), Counter[str]()
    for chain, cost, entered in _costs(dump):
        # The chain is a function, the one that calls it, and so on; most of them are the interpreter's own.
        function, *callers = (_python(part, names) for part in chain.split("'"))
        if function is not None:
            everything[function] += cost
            calls[function] += entered
            called[next(filter(None, callers), "")] += cost
    return [
        Share(name, (cost - called[name]) / requests, cost / requests, calls[name] / requests)
        for name, cost in everything.items()
    ]


def _python(part: str, names: Mapping[int, str]) -> str | None:
    found = _ADDRESS.fullmatch(part)
    return None if found is None else names.get(int(found[1], 16))


def _costs(dump: str) -> Iterator[tuple[str, int, int]]:
    """Name, instructions and calls of each function in callgrind's file, piece by piece.

    See https://valgrind.org/docs/manual/cl-format.html: a name stands once beside its number, and then the number
    alone; a line of costs after `calls=` is what that call took in all.
    """
    names: dict[str, str] = {}

    def name(text: str) -> str:
        found = _NUMBERED.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no name of callgrind's.")
        return names.setdefault(found[1], found[2])

    function = callee = ""
    for line in dump.splitlines():
        key, _, value = line.partition("=")
        if key == "fn":
            function = name(value)
        elif key == "cfn":
            callee = name(value)
        elif key == "calls":
            yield callee, 0, int(value.split()[0])
        elif function and line[:1] in "0123456789+-*" and line:
            yield function, int(line.split()[-1]), 0


if __name__ == "__main__":
    main()
