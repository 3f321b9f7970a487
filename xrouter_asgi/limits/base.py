"""The contract of a store of counts: reserve an estimate before the work, settle the actual cost after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from .limit import Limit
from .periods import Span

SLICES: Final = 60
"""A window is counted in this many slices; the oldest slice counts as a whole.

So no window of any start admits more than the limit, at the price of 1/60 of the rate. A log of every request would
promise the same with one entry for each request; one fixed window, or two weighted ones, do not promise it.
"""

SLOT_RETRY_AFTER: Final = 1.0  # seconds after which to ask again for a slot: nobody knows when another request ends


Counted: TypeAlias = tuple[str, str, str | None, str | None]
"""What a charge is counted under: subject, name of the limit, pattern of models, period of the calendar."""


@dataclass(slots=True)
class Charge:
    """A cost that counts against the limit of one subject. Nobody changes it: the same one may be reserved again.

    Attributes:
        subject: Whose count: any text, which stores never show to others.
        cost: From 0 to the limit's amount, because more could never be admitted.
        models: The pattern of models that have a count of their own together; None for all models.
        span: The period that it is counted in; None unless the limit is of the calendar.
        counted: Charges that share it share a count.
    """

    subject: str
    limit: Limit
    cost: int = 1
    models: str | None = None
    span: Span | None = None
    counted: Counted = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.cost <= self.limit.amount:
            raise ValueError(f"A cost of {self.cost} can never be had from a limit of {self.limit}.")
        if (self.span is None) != (self.limit.calendar is None):
            raise ValueError(
                f"A limit of {self.limit} is counted {'in a period' if self.limit.calendar else 'anytime'}."
            )
        self.counted = (self.subject, self.limit.name, self.models, None if self.span is None else self.span.name)

    @property
    def held(self) -> bool:
        """Whether it is held while the request runs, and given back at its end."""
        return self.limit.window == 0


@dataclass(slots=True)
class LimitStatus:
    """How much of a limit is left."""

    limit: Limit
    remaining: int  # at least 0
    reset: float  # seconds until the whole amount is free again, if nothing more is charged; 0 for `parallel`


@dataclass(slots=True)
class Reservation:
    """A store's answer to `reserve()`."""

    admitted: bool  # the store took every charge, or none
    refused: Limit | None = None  # the limit with the longest wait; None if admitted, or if the store could not count
    retry_after: float = 0.0  # seconds until the same reservation may succeed
    statuses: Sequence[LimitStatus] = ()  # one for each charge, in their order; empty if the store could not count
    local: bool = False  # this process decided alone, because the shared store is unavailable


class LimitStore(Protocol):
    """Keeps counts, in this process or shared between processes."""

    @property
    def backlog(self) -> int:
        """How many settlements are not counted yet."""

    async def connect(self) -> None:
        """Get ready, so that the first reservation need not wait. Never fails. A host without lifespan skips it."""

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        """Take all the charges, or none. An unavailable store is an answer too, never an exception.

        No two charges may have the same count. A lease that is reserved twice is taken once. Every caller
        of `reserve()` must call `settle()`, also when it is cancelled while it waits here.

        Args:
            lease: A name for this reservation that nobody can guess.
        """

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        """Replace the reserved costs by the actual ones, one for each charge. None gives everything back.

        The first call for a lease counts; a lease that is unknown, refused or settled is ignored. Never waits and never
        fails, so that no cancellation can interrupt it; a store sends in the background what it has to send.

        Unused cost returns to the slice of the window it was taken from. It is lost once that slice has left the
        window, because it must not become credit. Additional cost counts from now on. What exceeds the limit is a
        debt: it is paid out of the next windows before they admit anything. What a limit without a window counts, such
        as parallel requests, is given back, whatever it has cost. What a period of the calendar counts stays in it: a
        debt ends with the period.
        """

    async def read(self, charges: Sequence[Charge]) -> Sequence[LimitStatus]:
        """How far the counts of these charges are used up, in their order, whatever they would cost; changes nothing.

        Sees every settlement before it. Empty if the store could not count: only a shared store knows what all
        processes have used.
        """

    async def aclose(self) -> None:
        """Send the settlements that are left, then close connections."""
