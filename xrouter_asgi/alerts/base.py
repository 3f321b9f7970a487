"""What a rule concludes, what a channel is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule concludes from an event.

    Attributes:
        subject: What is wrong or well: `requests`, the name of a provider. One of few, never chosen by a client.
        wrong: Or well again.
        text: A sentence for the operator, without secrets.
    """

    subject: str
    wrong: bool
    text: str


class Rule(Protocol):
    """Looks at events and tells signs of one kind. It may repeat itself."""

    @property
    def name(self) -> str:
        """One word for what it watches, such as `circuit_open`."""
        ...

    def __call__(self, event: object, now: float, /) -> Finding | None:
        """What the event shows, if anything. `now` is in seconds of the clock of `Alerts`."""
        ...


@dataclass(frozen=True, slots=True)
class Alert:
    """What somebody should know.

    Attributes:
        rule, subject, text: See `Rule` and `Finding`.
        recovered: Whether it is over.
        time: Unix time in seconds.
    """

    rule: str
    subject: str
    text: str
    recovered: bool
    time: float


Channel: TypeAlias = Callable[[Alert], Awaitable[object] | None]
"""Where alerts go: a function, or a coroutine function. It must not block the event loop."""


class Undelivered(Exception):
    """A channel could not pass an alert on. The message is for the log and holds no secret."""
