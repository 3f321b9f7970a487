"""One line for each request: who asked what of whom, how it ended, how much it took and how long."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TextIO

from .. import conventions
from ..decision import Attempt, Decision
from ..events import RequestEnded, RequestStarted

logger = logging.getLogger("xrouter")

_LONGEST = 256  # characters of what a client chose


class AccessLog:
    """The observer that writes the access log.

    Args:
        sink: Takes each line, without its end, and must not block; None buffers them for the standard output.
            `logging.getLogger("xrouter.access").info` hands them to the logging of the standard library, at ten times
            the price.
        readable: Lines for the eye in place of JSON; None writes them if the standard output is a terminal.

    Nothing that a client or an upstream said gets in, but for the path without its query, the method and names of
    models, which are cut. In JSON what is not known is left out. Durations are in seconds, sizes in bytes.
    """

    def __init__(self, sink: Callable[[str], object] | None = None, *, readable: bool | None = None) -> None:
        self._sink = LineBuffer() if sink is None else sink
        self._readable = sink is None and sys.stdout.isatty() if readable is None else readable
        self._running = 0

    def __call__(self, event: object) -> None:
        """Write the line of a request that ended."""
        if isinstance(event, RequestStarted):
            self._running += 1
        elif isinstance(event, RequestEnded):
            self._running -= 1
            self._sink(readable(event) if self._readable else as_json(event))
            # Nobody is held up, and a server that a signal is about to kill leaves no line behind.
            if self._running <= 0 and isinstance(self._sink, LineBuffer):
                self._sink.flush()


def as_json(event: RequestEnded) -> str:
    """The line as one JSON object. `first_token` is there for a stream only: its head waits for the first token."""
    context = event.context
    status = "" if event.status is None else f'"status":{event.status},'
    line = (
        f'{{"time":"{_timestamp()}","request_id":"{context.request_id}",{status}'
        f'"complete":{"true" if event.complete else "false"},"duration":{event.duration:.6f},'
        f'"received":{event.received},"sent":{event.sent},"attempts":{len(context.attempts)}'
    )
    if event.first_byte is not None:
        line += f',"first_byte":{event.first_byte:.6f}'
        if context.streamed:
            line += f',"first_token":{event.first_byte:.6f}'
    if context.trace_id is not None:
        line += f',"trace_id":"{context.trace_id}"'
    if (usage := context.usage) is not None:
        line += f',"prompt_tokens":{usage.prompt_tokens},"completion_tokens":{usage.completion_tokens}'
        line += f',"cached_tokens":{usage.cached_tokens}'
    if context.error is not None:
        line += f',"error":"{conventions.error_type(context.error)}"'
    if not context.decision.is_trivial:
        line += "," + _as_members(_unusual(context.decision))
    what = _what(
        event.client,
        event.method[:16],
        event.path[:_LONGEST],
        context.endpoint,
        context.model and context.model[:_LONGEST],
        context.provider,
        context.upstream_model and context.upstream_model[:_LONGEST],
        context.principal and context.principal.id,
        context.principal and context.principal.owner,
    )
    return line + what


def _timestamp() -> str:
    now = time.time()
    seconds = int(now)
    return f"{_second(seconds)}.{int((now - seconds) * 1000):03d}+00:00"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


@lru_cache(maxsize=1024)
def _what(
    client: str | None,
    method: str,
    path: str,
    endpoint: str | None,
    model: str | None,
    provider: str | None,
    upstream_model: str | None,
    principal: str | None,
    owner: str | None,
) -> str:
    """The end of a line: what many requests have in common."""
    fields = {
        "client": client,
        "method": method,
        "path": path,
        "endpoint": endpoint,
        "model": model,
        "provider": provider,
        "upstream_model": upstream_model,
        "principal": principal,
        "owner": owner,
    }
    return f",{_as_members({name: value for name, value in fields.items() if value})}}}"


def _as_members(fields: Mapping[str, object]) -> str:
    """The inside of a JSON object, with all escaped that the encoding of the standard output may lack."""
    return json.dumps(fields, separators=(",", ":"))[1:-1]


def _unusual(decision: Decision) -> Mapping[str, object]:
    """What a line says of a request that did not simply go to the first target."""
    fields: dict[str, object] = {
        "config": decision.version,
        "attempts_made": [_made(attempt) for attempt in decision.attempts],
        "excluded": {name: str(why) for name, why in decision.excluded.items()},
        "hedges": decision.hedges,
    }
    return {name: value for name, value in fields.items() if value}


def _made(attempt: Attempt) -> Mapping[str, object]:
    made: dict[str, object] = {"target": attempt.target}
    if attempt.error is not None:
        made["error"] = conventions.error_type(attempt.error)
    if attempt.ended is not None:
        made["took"] = round(attempt.ended - attempt.started, 6)
    return made


def readable(event: RequestEnded) -> str:
    """The same for the eye, shorter: what is known, from left to right."""
    context = event.context
    served = f"{context.model} -> {context.provider}/{context.upstream_model}" if context.provider else context.model
    usage = context.usage and f"{context.usage.prompt_tokens}+{context.usage.completion_tokens} tokens"
    parts = (
        f"{datetime.now():%H:%M:%S}",
        str(event.status or "---"),
        f"{event.method[:16]} {event.path[:_LONGEST]}",
        f"{event.duration:.3f} s",
        served and served[:_LONGEST],
        usage,
        None if context.decision.is_trivial else _detour(context.decision),
        None if event.complete else "cut off",
        context.error and conventions.error_type(context.error),
        context.principal and context.principal.id,
        context.request_id,
    )
    line = "  ".join(part for part in parts if part)
    # A path may hold anything, also what orders a terminal about.
    return line if line.isprintable() else "".join(char if char.isprintable() else "?" for char in line)


def _detour(decision: Decision) -> str:
    """Such as `a/m connect_refused, without b/m (circuit open for 3.2 s), 1 hedged`."""
    failures = ((attempt.target, attempt.error) for attempt in decision.attempts if attempt.error is not None)
    failed = [f"{target} {conventions.error_type(error)}" for target, error in failures]
    passed_over = [f"without {name} ({why})" for name, why in decision.excluded.items()]
    hedged = [f"{decision.hedges} hedged"] if decision.hedges else []
    return ", ".join((*failed, *passed_over, *hedged))


class LineBuffer:
    """Writes lines many at a time, which costs a tenth of writing each, and again when the program exits.

    Args:
        stream: Where to; None takes the standard output of the moment.
        delay: Seconds that a line may wait for others.
        limit: Lines that may wait.
    """

    def __init__(self, stream: TextIO | None = None, *, delay: float = 0.1, limit: int = 1000) -> None:
        self._stream = stream
        self._delay = delay
        self._limit = limit
        self._lines: list[str] = []
        self._due_in: asyncio.AbstractEventLoop | None = None
        # Runs at exit, and when nobody has the buffer any more.
        weakref.finalize(self, _write, self._lines, stream)

    def __call__(self, line: str) -> None:
        """Take a line. Outside an event loop it is written at once."""
        self._lines.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if len(self._lines) >= self._limit:
            self.flush()
        elif self._due_in is not loop:  # another one may have ended without ever calling
            self._due_in = loop
            loop.call_later(self._delay, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        self._due_in = None
        _write(self._lines, self._stream)


def _write(lines: list[str], stream: TextIO | None) -> None:
    count = len(lines)
    if not count:
        return
    text = "\n".join(lines[:count]) + "\n"
    del lines[:count]
    out = stream or sys.stdout
    try:
        try:
            out.write(text)
        except UnicodeEncodeError:
            out.write(text.encode("ascii", "replace").decode("ascii"))
        out.flush()
    except (OSError, ValueError) as error:  # a full disk, a closed pipe or file
        logger.warning("%d lines of the access log are lost: %s", count, error)
