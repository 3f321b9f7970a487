"""Runs `xrouter` and records which of its functions begin on the event loop's thread. Part of `benchmarks.trace`.

python -P recorder.py DESCRIPTOR ENTRY_POINT COMMAND...

SIGUSR1 starts a recording, SIGUSR2 ends it. The recorder answers each with a line of JSON on the descriptor: first
null, then the recording, a list of pairs of file and function.
"""

from __future__ import annotations

import json
import os
import pkgutil
import signal
import sys
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import xrouter_asgi

_PACKAGE = str(Path(xrouter_asgi.__file__).parent) + os.sep
_INLINE = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")  # counted as parts of the function around them

_entered: list[CodeType] = []


def _note(frame: FrameType, event: str, arg: Any) -> None:
    if event == "call" and _ours(frame.f_code) and _begins(frame.f_code, frame.f_lasti):
        _entered.append(frame.f_code)


@cache
def _ours(code: CodeType) -> bool:
    return code.co_filename.startswith(_PACKAGE) and code.co_name not in _INLINE


@cache
def _begins(code: CodeType, instruction: int) -> bool:
    """Whether the function begins at this instruction, and does not continue after a yield or an await.

    `sys.setprofile` reports both as `call`. The instruction is RESUME, and its argument is 0 where a function begins
    (https://docs.python.org/3/library/dis.html#opcode-RESUME).
    """
    return code.co_code[instruction + 1] & 3 == 0


def _begin(*_: object) -> None:
    _say(None)
    _entered.clear()
    sys.setprofile(_note)


def _end(*_: object) -> None:
    sys.setprofile(None)
    _say([(code.co_filename.removeprefix(_PACKAGE), code.co_qualname) for code in _entered])


def _say(value: object) -> None:
    os.write(_descriptor, json.dumps(value).encode() + b"\n")


if __name__ == "__main__":
    _descriptor = int(sys.argv[1])
    signal.signal(signal.SIGUSR1, _begin)
    signal.signal(signal.SIGUSR2, _end)
    sys.exit(pkgutil.resolve_name(sys.argv[2])(sys.argv[3:]))
