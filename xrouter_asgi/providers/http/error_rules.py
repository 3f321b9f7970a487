"""What an operator knows of an upstream's errors, which comes before the table of this package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ...checks import CheckedByItself
from ...errors import UpstreamError, UpstreamQuotaExceeded, UpstreamUnauthorized
from .blame import Blame, blame
from .bodies import UpstreamErrorBody
from .redaction import Redaction


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """Whose fault an upstream's error is, where this package does not know it or is wrong.

    Attributes:
        kind: Whose fault it is, as in `Blame`.
        status: One or more of 400 to 599; by default any. An error in a stream or under status 200 has the status that
            it tells itself, else what its code implies, else 500.
        match: One text or more, of which one has to stand in the first 8 KiB of the message, of the code or of the
            type, in upper or lower case; it is no pattern. By default any error with this status.

    Raises:
        ValueError: For an unknown kind or status, for an empty text, and for neither `status` nor `match`.
    """

    kind: Blame
    status: CheckedByItself[int | Sequence[int] | None] = None
    match: CheckedByItself[str | Sequence[str] | None] = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Blame):
            raise ValueError(f"'kind' is {self.kind!r}. Write one of {', '.join(get_args(Blame))}.")
        if self.status is None and self.match is None:
            raise ValueError("it has neither 'status' nor 'match', so it would hold for any error. Write one of them.")
        if self.status is not None and not _are(_listed(self.status), _is_status):
            raise ValueError(f"'status' is {self.status!r}. Write a number from 400 to 599, or a list of them.")
        if self.match is not None and not _are(_listed(self.match), _is_text):
            raise ValueError(f"'match' is {self.match!r}. Write a text that is not empty, or a list of them.")

    def holds(self, status: int, said: UpstreamErrorBody) -> bool:
        """Whether it is about an error with this status that says this."""
        if self.status is not None and status not in _listed(self.status):
            return False
        if self.match is None:
            return True
        told = [text.casefold() for text in (said.words or said.message or "", *said.codes)]
        return any(text.casefold() in each for text in _listed(self.match) for each in told)


def _listed(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _are(values: Sequence[object], kind: Callable[[object], bool]) -> bool:
    return bool(values) and all(map(kind, values))


def _is_status(value: object) -> bool:
    return type(value) is int and 400 <= value <= 599


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


@dataclass(frozen=True, slots=True)
class ErrorReader:
    """Reads the errors of one upstream.

    Attributes:
        redact: Takes out of their words what no client may see.
        rules: The first that holds says whose fault an error is; if none does, the table of `blame` does.
    """

    redact: Redaction
    rules: Sequence[ErrorRule] = ()

    def read(self, body: bytes) -> UpstreamErrorBody:
        """Read a body. See `UpstreamErrorBody.of`."""
        return UpstreamErrorBody.of(body, self.redact)

    def read_value(self, value: object) -> UpstreamErrorBody:
        """Read a decoded body or event. See `UpstreamErrorBody.of_value`."""
        return UpstreamErrorBody.of_value(value, self.redact)

    def ruling(self, status: int, said: UpstreamErrorBody) -> Blame | None:
        """What the rules say; None if they say nothing."""
        return next((rule.kind for rule in self.rules if rule.holds(status, said)), None)

    def blame(self, status: int, said: UpstreamErrorBody) -> Blame:
        """Whose fault an error is."""
        return self.ruling(status, said) or blame(status, said)


def about_the_account(kind: Literal["credential", "quota"]) -> UpstreamError:
    """The error for what an upstream holds against the gateway's own account, of which clients are told no more."""
    if kind == "credential":
        return UpstreamUnauthorized("The upstream refused this gateway's credentials.")
    return UpstreamQuotaExceeded("The quota of this gateway's account at the upstream is used up.")
