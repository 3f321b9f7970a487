"""A client in JavaScript: one process that answers lines of JSON with lines of JSON."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from .asking import Answer, Failed, Question
from .contract import Client

PROGRAMS = Path(__file__).with_name("js")
_LONGEST_LINE = 8 << 20


@asynccontextmanager
async def javascript(program: str, *arguments: str) -> AsyncIterator[Client]:
    """A program of `tests/clients/js` that runs until the end; see `js/lines.mjs`."""
    assert (PROGRAMS / "node_modules").exists(), "Run `npm ci --prefix tests/clients/js`, or `tox -e js`, which does."
    process = await asyncio.create_subprocess_exec(
        "node", PROGRAMS / program, *arguments, stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    to_client, from_client = process.stdin, process.stdout

    async def ask(question: Question) -> Answer:
        to_client.write(json.dumps(asdict(question)).encode() + b"\n")
        line = await from_client.readline()
        assert line, f"{program} ended. What it said stands on standard error."
        told = json.loads(line)
        if "error" in told:
            raise Failed(**told["error"])
        return Answer.of(told["understood"])

    try:
        yield ask
    finally:
        to_client.close()
        await process.wait()
