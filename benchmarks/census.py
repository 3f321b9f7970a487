"""Runs `xrouter` and counts what is open in it. Part of `benchmarks.soak`.

python -P census.py DESCRIPTOR ENTRY_POINT COMMAND...

At SIGUSR1 it writes a line of JSON to the descriptor: tasks, calls that hold or await a slot, leases of limits.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pkgutil
import signal
import sys
from typing import Any
from weakref import WeakSet

from xrouter_asgi.limits import MemoryLimits
from xrouter_asgi.queueing.slots import Slots

_slots: WeakSet[Slots] = WeakSet()
_limits: WeakSet[MemoryLimits] = WeakSet()


def _noted(kind: type[Any], made: WeakSet[Any]) -> None:
    """Note each object of a class, so that nobody has to search for them."""
    init = kind.__init__

    def note(self: Any, *given: Any, **named: Any) -> None:
        init(self, *given, **named)
        made.add(self)

    kind.__init__ = note


def _count(*_: object) -> None:
    gc.collect()
    counts = {
        "tasks": len(asyncio.all_tasks()),
        "slots": sum(each.in_flight + each.waiting for each in _slots),
        "leases": sum(len(each._leases) for each in _limits),
    }
    os.write(_descriptor, json.dumps(counts).encode() + b"\n")


if __name__ == "__main__":
    _descriptor = int(sys.argv[1])
    _noted(Slots, _slots)
    _noted(MemoryLimits, _limits)
    signal.signal(signal.SIGUSR1, _count)
    sys.exit(pkgutil.resolve_name(sys.argv[2])(sys.argv[3:]))
