"""The line between a worker and its supervisor, on a real pair of sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic_core import to_json

from xrouter_asgi.server.worker import READY, Answer, Questions, WorkerLine


@asynccontextmanager
async def line(answers: Mapping[str, Answer], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Questions]:
    """Asks a worker. When the line ends, the worker ends its process: here it only says so."""
    ended = asyncio.Event()
    monkeypatch.setattr(os, "kill", lambda pid, sig: ended.set() if sig == signal.SIGTERM else None)
    ours, theirs = socket.socketpair()
    worker = WorkerLine(theirs, answers=answers)
    worker.open("")
    reader, writer = await asyncio.open_connection(sock=ours)
    assert await reader.readline() == READY
    questions = Questions(writer)

    async def take() -> None:
        async for told in reader:
            questions.take(told)
        questions.close()

    taking = asyncio.create_task(take())
    yield questions
    writer.close()
    taking.cancel()
    await ended.wait()


async def echo(params: Any) -> bytes:
    return to_json({"told": params})


async def test_questions_are_answered_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = asyncio.Event()

    async def slow(params: Any) -> bytes:
        await hold.wait()
        return b"1"

    async with line({"echo": echo, "slow": slow}, monkeypatch) as questions:
        waiting = asyncio.create_task(questions.ask("slow", None, patience=20))
        assert await questions.ask("echo", ["ä", None], patience=20) == {"told": ["ä", None]}
        assert not waiting.done()
        hold.set()
        assert await waiting == 1


async def test_an_answer_that_is_late_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = asyncio.Event()

    async def slow(params: Any) -> bytes:
        await hold.wait()
        return b"1"

    async with line({"echo": echo, "slow": slow}, monkeypatch) as questions:
        with pytest.raises(TimeoutError):
            await questions.ask("slow", None, patience=0.01)
        hold.set()
        assert await questions.ask("echo", 2, patience=20) == {"told": 2}


async def test_a_worker_that_cannot_answer_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(params: Any) -> bytes:
        raise RuntimeError("inside")

    async with line({"echo": echo, "broken": broken}, monkeypatch) as questions:
        with pytest.raises(ConnectionError, match="log of the worker"):
            await questions.ask("broken", None, patience=20)
        with pytest.raises(ConnectionError):
            await questions.ask("unknown", None, patience=20)
        assert await questions.ask("echo", 2, patience=20) == {"told": 2}
    assert "inside" in caplog.text


async def test_who_waits_hears_that_the_worker_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(params: Any) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    async with line({"never": never}, monkeypatch) as questions:
        waiting = asyncio.create_task(questions.ask("never", None, patience=20))
        await asyncio.sleep(0)  # it asks
        questions.close()
        with pytest.raises(ConnectionError, match="has ended"):
            await waiting
