"""`xrouter serve` and `demo` inside this process: the server has the main thread, and a test asks from another."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Awaitable, Callable

import pytest

from xrouter_asgi.cli.main import main


class Said(io.StringIO):
    """What is printed, for another thread to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._grown = threading.Condition()

    def write(self, text: str, /) -> int:
        with self._grown:
            self._grown.notify_all()
            return super().write(text)

    def until(self, pattern: str) -> str:
        """All of it, once the pattern is there."""
        with self._grown:
            assert self._grown.wait_for(lambda: re.search(pattern, self.getvalue()), timeout=20), self.getvalue()
            return self.getvalue()


def serve(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, ready: str, ask: Callable[[str], Awaitable[None]]
) -> tuple[str, str]:
    """Run a command until it serves, ask, and end it by SIGTERM. Returns its standard output and standard error.

    Args:
        ready: A pattern of what it says once it serves.
        ask: Called with what it said until then.
    """
    out, err = Said(), Said()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    failures: list[BaseException] = []

    async def ask_and_end() -> None:
        said = (out if arguments[0] == "demo" else err).until(ready)
        try:
            await ask(said)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def other_thread() -> None:
        try:
            asyncio.run(ask_and_end())
        except BaseException as failure:  # the test must fail, not the thread
            failures.append(failure)

    asking = threading.Thread(target=other_thread)
    hang_up, threshold = signal.getsignal(signal.SIGHUP), gc.get_threshold()
    interval = sys.getswitchinterval()
    asking.start()
    try:
        assert main(arguments) == 0
    finally:
        asking.join()
        signal.signal(signal.SIGHUP, hang_up)
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)
    for failure in failures:
        raise failure
    return out.getvalue(), err.getvalue()
