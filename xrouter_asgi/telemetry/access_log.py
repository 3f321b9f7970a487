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

from pydantic_core import to_json

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
        self._readable = sink is None and sys.stdout.isatty() if readable is None else readable
        self._excluded = ExcludedPaths(exclude_paths)

    def __call__(self, event: object) -> None:
        """Write the line of a request that ended."""
        if isinstance(event, RequestEnded):
            if not self._excluded.cover(event.path):
                self._sink(_readable_line(event) if self._readable else _json_line(event))
            # No request is held up by this, and a server that a signal is about to kill loses no line.
            if not event.running and isinstance(self._sink, LineBuffer):
                self._sink.flush()


def _json_line(event: RequestEnded) -> str:
    """One JSON object on one line of ASCII, without what is not known. Durations are in seconds, sizes in bytes."""
    context = event.context
    line: dict[str, object] = {
        "time": _utc_time(),
        "request_id": context.request_id,
        "status": event.status,
        "complete": event.complete,
        "duration": _microseconds(event.duration),
        "received": event.received,
        "sent": event.sent,
        "attempts": len(context.attempts),
    }
    if event.status is None:
        del line["status"]
    if event.first_byte is not None:
        line["first_byte"] = _microseconds(event.first_byte)
        if context.streamed:
            line["first_token"] = line["first_byte"]  # the head of a stream waits for its first token
    if context.trace_id is not None:
        line["trace_id"] = context.trace_id
    if (usage := context.usage) is not None:
        line["prompt_tokens"], line["completion_tokens"] = usage.prompt_tokens, usage.completion_tokens
        line["cached_tokens"], line["cache_write_tokens"] = usage.cached_tokens, usage.cache_write_tokens
    if context.cache is not None:
        line["cache"] = context.cache
    if context.error is not None:
        line["error"] = error_type(context.error)
    if not context.decision.is_trivial:
        _add_detour(line, context.decision)
    _add_names(line, event)
    return _encode(line)


def _add_names(line: dict[str, object], event: RequestEnded) -> None:
    """Who asked what of whom; an empty name is left out like an unknown one."""
    context = event.context
    if event.client is not None:
        line["client"] = event.client
    line["method"] = event.method[:_METHOD]
    if event.path:
        line["path"] = event.path[:_LONGEST]
    if context.endpoint is not None:
        line["endpoint"] = context.endpoint
    if context.model:
        line["model"] = context.model[:_LONGEST]
    if context.provider:
        line["provider"] = context.provider
    if context.upstream_model:
        line["upstream_model"] = context.upstream_model[:_LONGEST]
    if (principal := context.principal) is not None:
        line["principal"] = principal.id
        if principal.owner:
            line["owner"] = principal.owner


def _microseconds(seconds: float) -> float:
    """Seconds, rounded to microseconds, at a quarter of the price of `round(seconds, 6)`."""
    return round(seconds * 1e6) / 1e6


def _utc_time() -> str:
    now = time.time()
    return f"{_second(int(now))}.{int(now % 1 * 1000):03}+00:00"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _encode(line: Mapping[str, object]) -> str:
    """JSON in printable ASCII. Other letters may be missing in the output's encoding, or give orders to a terminal."""
    try:
        data = to_json(line)
        if not data.isascii():
            data = to_json(line, ensure_ascii=True)  # takes half as long again, so it is left to the lines that need it
        return data.replace(b"\x7f", rb"\u007f").decode("ascii")
    except ValueError:  # a lone surrogate, which UTF-8 cannot hold
        return json.dumps(line, separators=(",", ":"))


def _add_detour(line: dict[str, object], decision: Decision) -> None:
    """The members about a request that did not simply go to its first target."""
    if decision.version is not None:
        line["config"] = decision.version
    if decision.attempts:
        line["attempts_made"] = [_attempt(attempt) for attempt in decision.attempts]
    if excluded := decision.excluded:
        line["excluded"] = {name: str(why) for name, why in excluded.items()}
    if decision.hedges:
        line["hedges"] = decision.hedges


def _attempt(attempt: Attempt) -> Mapping[str, object]:
    made: dict[str, object] = {"target": attempt.target}
    if attempt.error is not None:
        made["error"] = error_type(attempt.error)
    if attempt.ended is not None:
        made["took"] = _microseconds(attempt.ended - attempt.started)
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
            loop.call_later(DELAY, self.flush)

    def flush(self) -> None:
        """Write the lines that wait."""
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
