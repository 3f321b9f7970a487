"""The access log: one line for each request, with who asked what of whom, how it ended, and what it took."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import TextIO

from ..asgi.excluded_paths import ExcludedPaths
from ..conventions import error_type
from ..decision import Attempt, Decision
from ..events import RequestEnded, RequestObserver

logger = logging.getLogger("xrouter")

DELAY = 0.1
"""Seconds that a line may wait for others."""
LIMIT = 1000
"""Lines that may wait."""

_METHOD = 16  # characters of a method, which a client chooses
_LONGEST = 256  # characters of a path or of a model's name, which a client chooses, too
_NAMES = ("method", "path", "endpoint", "model", "provider", "upstream_model", "principal", "owner")

_quoted = json.encoder.encode_basestring_ascii


class AccessLog(RequestObserver):
    """The observer that writes the access log.

    No line holds what a client or an upstream said, but for the path without its query, the method, and names of
    models, which are cut.

    Args:
        sink: Takes each line, without its end, and must not block. None collects lines for the standard output.
            `logging.getLogger("xrouter.access").info` passes them to the logging of the standard library, at ten times
            the price.
        readable: Write lines for the eye in place of JSON. None does so if the standard output is a terminal.
        exclude_paths: Paths that get no line, as clients ask for them: `/health`, or `/docs/*` for all below `/docs`.
            To leave them out of metrics and alerts, too, give them to `RequestEventsMiddleware`.
    """

    def __init__(
        self,
        sink: Callable[[str], object] | None = None,
        *,
        readable: bool | None = None,
        exclude_paths: Iterable[str] = (),
    ) -> None:
        self._sink = LineBuffer() if sink is None else sink
        readable = sink is None and sys.stdout.isatty() if readable is None else readable
        self._line = _readable_line if readable else _json_line
        self._excluded = ExcludedPaths(exclude_paths)

    def __call__(self, event: object) -> None:
        """Write the line of a request that ended."""
        if isinstance(event, RequestEnded):
            if not self._excluded.cover(event.path):
                self._sink(self._line(event))
            # No request is held up by this, and a server that a signal is about to kill loses no line.
            if not event.running and isinstance(self._sink, LineBuffer):
                self._sink.flush()


def _json_line(event: RequestEnded) -> str:
    """One JSON object on one line, without what is not known. Durations are in seconds, sizes in bytes.

    All of it is printable ASCII: other letters may be missing in the output's encoding, or give orders to a terminal.
    """
    context = event.context
    status = "" if event.status is None else f'"status":{event.status},'
    line = (
        f'{{"time":"{_utc_time()}","request_id":{_quoted(context.request_id)},{status}'
        f'"complete":{"true" if event.complete else "false"},"duration":{event.duration:.6f},'
        f'"received":{event.received},"sent":{event.sent},"attempts":{len(context.attempts)}'
    )
    if event.first_byte is not None:
        line += f',"first_byte":{event.first_byte:.6f}'
        if context.streamed:
            line += f',"first_token":{event.first_byte:.6f}'  # the head of a stream waits for its first token
    if context.trace_id is not None:
        line += f',"trace_id":"{context.trace_id}"'
    if (usage := context.usage) is not None:
        line += f',"prompt_tokens":{usage.prompt_tokens},"completion_tokens":{usage.completion_tokens}'
        line += f',"cached_tokens":{usage.cached_tokens},"cache_write_tokens":{usage.cache_write_tokens}'
    if context.cache is not None:
        line += f',"cache":"{context.cache}"'
    if context.error is not None:
        line += f',"error":{_quoted(error_type(context.error))}'
    if not context.decision.is_trivial and (detour := _detour(context.decision)):
        line += f",{json.dumps(detour, separators=(',', ':'))[1:-1]}"
    if event.client is not None:
        line += f',"client":{_quoted(event.client)}'
    return f"{line}{_names_of(event)}}}"


def _names_of(event: RequestEnded) -> str:
    context, principal = event.context, event.context.principal
    return _names(
        event.method[:_METHOD],
        event.path[:_LONGEST],
        context.endpoint,
        context.model and context.model[:_LONGEST],
        context.provider,
        context.upstream_model and context.upstream_model[:_LONGEST],
        principal and principal.id,
        principal and principal.owner,
    )


@lru_cache(maxsize=256)  # most lines repeat the names of an earlier one
def _names(*values: str | None) -> str:
    """Who asked what of whom; an empty name is left out like an unknown one."""
    return "".join(f',"{name}":{_quoted(value)}' for name, value in zip(_NAMES, values, strict=True) if value)


def _utc_time() -> str:
    now = time.time()
    return f"{_second(int(now))}.{int(now % 1 * 1000):03}+00:00"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _detour(decision: Decision) -> Mapping[str, object]:
    """The members about a request that did not simply go to its first target."""
    members: dict[str, object] = {}
    if decision.version is not None:
        members["config"] = decision.version
    if decision.attempts:
        members["attempts_made"] = [_attempt(attempt) for attempt in decision.attempts]
    if excluded := decision.excluded:
        members["excluded"] = {name: str(why) for name, why in excluded.items()}
    if decision.hedges:
        members["hedges"] = decision.hedges
    return members


def _attempt(attempt: Attempt) -> Mapping[str, object]:
    made: dict[str, object] = {"target": attempt.target}
    if attempt.error is not None:
        made["error"] = error_type(attempt.error)
    if attempt.ended is not None:
        made["took"] = round(attempt.ended - attempt.started, 6)
    return made


def _readable_line(event: RequestEnded) -> str:
    context = event.context
    served = f"{context.model} -> {context.provider}/{context.upstream_model}" if context.provider else context.model
    usage = context.usage and f"{context.usage.prompt_tokens}+{context.usage.completion_tokens} tokens"
    parts = (
        f"{datetime.now():%H:%M:%S}",
        str(event.status or "---"),
        f"{event.method[:_METHOD]} {event.path[:_LONGEST]}",
        f"{event.duration:.3f} s",
        served and served[:_LONGEST],
        usage,
        "cached" if context.cache == "hit" else None,
        None if context.decision.is_trivial else _readable_detour(context.decision),
        None if event.complete else "cut off",
        context.error and error_type(context.error),
        context.principal and context.principal.id,
        context.request_id,
    )
    line = "  ".join(part for part in parts if part)
    # A path may hold anything, also what gives orders to a terminal.
    return line if line.isprintable() else "".join(char if char.isprintable() else "?" for char in line)


def _readable_detour(decision: Decision) -> str:
    """Such as `a/m connect_refused, without b/m (circuit open for 3.2 s), 1 hedged`."""
    failed = [f"{each.target} {error_type(each.error)}" for each in decision.attempts if each.error is not None]
    passed_over = [f"without {name} ({why})" for name, why in decision.excluded.items()]
    hedged = [f"{decision.hedges} hedged"] if decision.hedges else []
    return ", ".join((*failed, *passed_over, *hedged))


class LineBuffer:
    """Writes lines many at a time, at a tenth of the price of writing each. Writes the rest when the program exits.

    A line waits for others for 0.1 s at most.

    Args:
        stream: Where lines go. None is the standard output at the time of writing.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._due_in: asyncio.AbstractEventLoop | None = None
        # Runs at exit, and when the buffer is garbage.
        weakref.finalize(self, _write, self._lines, stream)

    def __call__(self, line: str) -> None:
        """Take a line. Outside an event loop it is written at once."""
        self._lines.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if len(self._lines) >= LIMIT:
            self.flush()
        elif self._due_in is not loop:  # an earlier loop may have ended before its call was due
            self._due_in = loop
            loop.call_later(DELAY, self._ring)

    def flush(self) -> None:
        """Write the lines that wait."""
        _write(self._lines, self._stream)

    def _ring(self) -> None:
        self._due_in = None
        self.flush()


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
