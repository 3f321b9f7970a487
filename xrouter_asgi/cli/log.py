"""The lines that commands log: on the standard error, for the eye or as JSON."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from .base import say

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record holds. All else was added by `extra`."""


def set_up_log() -> None:
    """Write warnings for the eye: what a command logs that says everything else by printing it."""
    lines = logging.StreamHandler()
    lines.setFormatter(LineFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[lines], level=logging.WARNING)


def set_up_log_of_server(level: str, *, readable: bool) -> None:
    """Write the lines of this package from a level on, each with its time, and warnings of everything else."""
    formatter = LineFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s") if readable else JSONFormatter()
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, LineFormatter | JSONFormatter):
            handler.setFormatter(formatter)
    logging.getLogger("xrouter").setLevel(level.upper())


class Announcer:
    """Tells what a server does, whatever the level of its log.

    Args:
        readable: Whether for the eye; otherwise as lines of the log in JSON.
    """

    def __init__(self, *, readable: bool) -> None:
        self._readable = readable

    def tell(self, text: str, *, more: str = "", **facts: object) -> None:
        """Tell it, with `more` for the eye, and `facts` for programs."""
        if self._readable:
            say(f"{text}\n{more}" if more else text)
        else:
            level = {"levelno": logging.INFO, "levelname": "INFO"}
            say(
                JSONFormatter().format(logging.makeLogRecord({"name": "xrouter.server", "msg": text, **level, **facts}))
            )


class LineFormatter(logging.Formatter):
    """Ends a line about a request with its id, as its client knows it, and with the attempt."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- the name that logging calls
        line = super().formatMessage(record)
        match vars(record):
            case {"request_id": str(request_id), "provider": str(provider), "attempt": attempt}:
                return f"{line} ({request_id}, attempt {attempt} at {provider})"
            case {"request_id": str(request_id)}:
                return f"{line} ({request_id})"
        return line


class JSONFormatter(logging.Formatter):
    """A JSON object on a line of ASCII: `time`, `level`, `logger`, `message`, `exception` and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
