from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from xrouter_asgi.asgi import lifespan as shutdown
from xrouter_asgi.asgi.lifespan import Close, ClosingAtShutdown, in_thread


async def run_lifespan(app: ClosingAtShutdown) -> list[str]:
    """The messages that a server hears, from start to end."""
    asked = iter(["lifespan.startup", "lifespan.shutdown"])
    heard = []

    async def receive() -> Message:
        return {"type": next(asked)}

    async def send(message: Message) -> None:
        heard.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    return heard


class Noting:
    """An application that notes its end."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def closes(self, name: str) -> Close:
        async def close() -> None:
            self.ended.append(name)

        return close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.ended.append("app")
        await send({"type": "lifespan.shutdown.complete"})


async def test_everything_is_closed_after_the_application_and_before_the_server_hears_of_the_end() -> None:
    app = Noting()
    lines: list[str] = []
    closing: dict[str, Close] = {"keys": app.closes("keys"), "lines": lambda: lines.append("flushed")}
    assert await run_lifespan(ClosingAtShutdown(app, closing=closing)) == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert app.ended == ["app", "keys"]
    assert lines == ["flushed"]


async def test_what_fails_keeps_nothing_else_open(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError("no")

    app = Noting()
    await run_lifespan(ClosingAtShutdown(app, closing={"log": fail, "keys": app.closes("keys")}))
    assert app.ended == ["app", "keys"]
    assert caplog.messages == ["The log could not be closed."]


async def test_what_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(shutdown, "PATIENCE", 0)
    app = Noting()
    await run_lifespan(ClosingAtShutdown(app, closing={"tracing": asyncio.Event().wait}))
    assert caplog.messages == ["Closing the tracing took more than 0 s, and was given up."]


async def test_requests_pass_untouched() -> None:
    seen: list[Any] = []

    async def app(*arguments: Any) -> None:
        seen.extend(arguments)

    given: list[Any] = [{"type": "http"}, object(), object()]
    await ClosingAtShutdown(app, closing={})(*given)
    assert all(one is other for one, other in zip(seen, given, strict=True))


async def test_what_blocks_runs_in_a_thread_that_does_not_hold_up_the_end() -> None:
    threads: list[threading.Thread] = []
    await in_thread(lambda: threads.append(threading.current_thread()))
    assert threads[0] is not threading.current_thread()
    assert threads[0].daemon


async def test_what_fails_in_a_thread_fails_here() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)


async def test_a_thread_that_nobody_waits_for_any_more_ends_quietly() -> None:
    go, gone = threading.Event(), threading.Event()

    def work() -> None:
        go.wait()
        gone.set()

    waiting = asyncio.ensure_future(in_thread(work))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go.set()
    assert await asyncio.to_thread(gone.wait, 10)
