"""What a limit is, and the one thing that is done with it: reserve an estimate, settle the truth."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, Protocol, TypeAlias, cast, get_args

Unit: TypeAlias = Literal["requests", "tokens", "parallel"]
Subject: TypeAlias = Literal["key", "owner", "model", "address", "all"]

PARTS: Final = 60
"""A window is counted in so many parts, and the whole oldest part with it.

So no more than the limit is admitted in *any* window, for at most 1/60 of the rate. A log of every hit would keep that
promise too, at N entries a key; a fixed window or two weighted ones do not keep it.
"""

PLACE_WAIT: Final = 1.0
"""Seconds after which to ask again for a parallel request: nobody knows when one of the others ends."""

_NOTATION = re.compile(
    r"""\s* (?P<amount>[0-9]{1,15})
        \s* (?: (?P<parallel>parallel)
              | (?: (?P<unit>requests?|tokens?) \s* )? (?P<window> (?:/|per\b) \s* (?:[1-9][0-9]{0,5})? \s* [a-z]+ ) )
        (?: \s+ per \s+ (?P<per>[a-z]+) )? \s*""",
    re.VERBOSE | re.IGNORECASE,
)
_SECONDS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so much of something, for each subject.

    Attributes:
        amount: At least 1.
        unit: What is counted: `requests`, `tokens`, or `parallel` requests.
        window: Seconds, above 0; 0 for `parallel`.
        per: Whose count it is: each key, its owner, each model, each address, or all together.
    """

    amount: int
    unit: Unit = "requests"
    window: float = 60.0
    per: Subject = "key"

    def __post_init__(self) -> None:
        if self.amount < 1:
            raise ValueError(f"The amount of a limit must be at least 1, not {self.amount}.")
        if (self.window > 0) == (self.unit == "parallel") or self.window < 0:
            raise ValueError(f"A limit of {self.unit} cannot have a window of {self.window:g} seconds.")

    @property
    def kind(self) -> tuple[Unit, float, Subject]:
        """What makes one limit stand in place of another: all but the amount."""
        return self.unit, self.window, self.per

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read `60/minute`, `100000 tokens/day per owner` or `8 parallel`.

        The window is written as in the library `limits`: `/minute`, `/10 seconds`, `per 2 hours`.

        Raises:
            ValueError: With what may be written instead.
        """
        match = _NOTATION.fullmatch(text)
        per = (match["per"] or "key").lower() if match else ""
        if match is None or per not in get_args(Subject):
            raise _unreadable(text)
        unit: Unit = "tokens" if (match["unit"] or "").lower().startswith("token") else "requests"
        if match["parallel"]:
            return cls(int(match["amount"]), "parallel", 0.0, cast(Subject, per))
        return cls(int(match["amount"]), unit, _window(match["window"], text), cast(Subject, per))

    def __str__(self) -> str:
        """As it is told to clients: `60 per 1 minute`, `100000 tokens per 1 day`, `8 parallel requests`."""
        if self.unit == "parallel":
            return f"{self.amount} parallel requests"
        what = f"{self.amount} tokens" if self.unit == "tokens" else f"{self.amount}"
        for name, seconds in _SECONDS:
            count, rest = divmod(self.window, seconds)
            if not rest:
                return f"{what} per {count:g} {name}{'s' if count > 1 else ''}"
        return f"{what} per {self.window:g} seconds"


def _window(text: str, whole: str) -> float:
    # Here, because the import takes 80 ms and only those who set limits need it.
    from limits import parse

    try:
        return float(parse(f"1 {text}").get_expiry())
    except ValueError as error:
        raise _unreadable(whole) from error


def _unreadable(text: str) -> ValueError:
    subjects = ", ".join(get_args(Subject))
    return ValueError(
        f"The limit {text!r} cannot be read. Write it like '60/minute', '100000 tokens/day per owner' or '8 parallel'; "
        f"the subject after the last 'per' is one of {subjects}."
    )


@lru_cache(maxsize=4096)  # keys bring limits of their own, as text, with every request
def _parse_text(text: str) -> tuple[Limit, ...]:
    return tuple(Limit.parse(part) for part in re.split("[;,|]", text) if part.strip())


def parse_limits(limits: str | Limit | Iterable[str | Limit]) -> tuple[Limit, ...]:
    """Read several limits: `60/minute; 8 parallel`, or any iterable of such texts and of limits.

    Raises:
        ValueError: One cannot be read, or two are of the same kind.
    """
    given = (limits,) if isinstance(limits, str | Limit) else limits
    found = tuple(limit for item in given for limit in (_parse_text(item) if isinstance(item, str) else (item,)))
    if len({limit.kind for limit in found}) < len(found):
        raise ValueError(f"Two of these limits are of the same kind: {'; '.join(map(str, found))}.")
    return found


@dataclass(frozen=True, slots=True)
class Charge:
    """A cost that counts against a limit of one subject.

    Attributes:
        subject: Whose: any text; budgets never show it to others.
        cost: At least 0 and at most the limit's amount, for more could never be had; 1 for `parallel`.
    """

    subject: str
    limit: Limit
    cost: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.cost <= self.limit.amount:
            raise ValueError(f"A cost of {self.cost} can never be had from a limit of {self.limit}.")


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """How far a limit is used up.

    Attributes:
        remaining: What may still be had, at least 0.
        reset: Seconds until all of it is there again if nothing more is asked; 0 for `parallel`.
    """

    limit: Limit
    remaining: int
    reset: float


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a budget says to a reservation.

    Attributes:
        admitted: Whether everything asked for is reserved; otherwise nothing is.
        refused: The limit that keeps the caller waiting longest. None with a refusal: it could not be counted.
        retry_after: Seconds until the same reservation may succeed.
        standings: One for each charge, in their order; none when it could not be counted.
        local: Whether this process decided alone, because the count it shares with others is away.
    """

    admitted: bool
    refused: Limit | None = None
    retry_after: float = 0.0
    standings: tuple[LimitStatus, ...] = field(default=())
    local: bool = False


class LimitStore(Protocol):
    """Keeps the counts. One contract, whether they are in this process or shared."""

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        """Take all the charges, or none. Never raises for a count that is away: that is an answer too.

        No two charges are of the same subject and limit.

        A lease that is asked for twice is taken once. Whoever reserves must settle, also after a cancellation in here.

        Args:
            lease: An unguessable name for this reservation.
        """

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        """Say what it came to, one cost for each charge; None gives all back.

        Takes effect once: a lease that is unknown, refused or settled already is let be. Never waits and never fails,
        so that no cancellation can come between; what has to be sent somewhere is sent in the background.

        What was not used goes back to the part of the window it was taken from, or nowhere once that has left the
        window: it must not become credit. What was used on top counts from now on. A parallel request ends here.
        """

    async def aclose(self) -> None:
        """Finish what is being sent, then let go of connections."""
