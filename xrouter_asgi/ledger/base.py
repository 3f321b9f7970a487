"""What requests cost: one entry each, the sums of entries, and the contract of a store that keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, get_args

from ..errors import XRouterError

SUMS_KEPT: Final = timedelta(days=5 * 366)  # how much longer than entries their sums are kept
PRUNED_AT_ONCE: Final = 1000  # entries that one call of `prune` deletes at most, because others wait meanwhile

Dimension: TypeAlias = Literal["day", "month", "key", "owner", "group", "model", "provider"]
DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)
"""What sums can be split by. Days begin at midnight in the time zone of the store. What belongs to several groups is
in the sum of each."""


class LedgerUnavailable(XRouterError):
    """Nobody can say now what was spent."""

    status = 503
    type = "service_unavailable_error"
    code = "ledger_unavailable"


class Entry(NamedTuple):
    """One request that asked an upstream. It holds no prompt, no answer, no header and no address.

    Attributes:
        id: Names this entry and no other. Not the id of the request: a client can choose that, and send it twice.
        at: When the request came in.
        owner: Whom it counts for: the key's owner, else the key itself.
        groups: Of the owner, in the order of the alphabet.
        model: As the table of models names it. For a pattern of it, what the client asked for, if somebody answered;
            else `other`.
        provider, upstream_model: Who answered; None if nobody did.
        input: All tokens of input, as `Usage` counts them, for all attempts together; so are the other counts.
        cost: In nano-units of the currency; None if a model that worked has no price.
        estimated: Whether some of these counts are estimates, because an upstream told none.
        status: Of the answer; None if the client left before there was one.
        error: One word, as in metrics; None if nothing went wrong, also when the client left.
        complete: Whether the client got all of its answer.
        duration, first: Seconds until the end, and until the first byte of the answer.
        labels: Of the request's `metadata`.
    """

    id: str
    at: datetime
    request_id: str
    key: str | None
    owner: str | None
    endpoint: str
    model: str
    provider: str | None
    upstream_model: str | None
    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int
    cost: int | None
    estimated: bool
    status: int | None
    error: str | None
    complete: bool
    streamed: bool
    attempts: int
    duration: float
    first: float | None
    groups: tuple[str, ...] = ()
    labels: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)
class Totals:
    """What requests took together. Tokens are as in `Entry`."""

    requests: int = 0
    errors: int = 0
    unpriced: int = 0  # requests that have no price, and are not in the cost
    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost: int = 0  # nano-units

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Totals:
        columns = dict(zip(Entry._fields, zip(*entries, strict=True), strict=True))
        return cls(
            requests=len(entries),
            errors=len(entries) - columns["error"].count(None),
            unpriced=columns["cost"].count(None),
            **{kind: sum(columns[kind]) for kind in ("input", "cached", "cache_write", "output", "reasoning")},
            cost=sum(cost for cost in columns["cost"] if cost is not None),
        )

    def include(self, other: Totals) -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.unpriced += other.unpriced
        self.input += other.input
        self.cached += other.cached
        self.cache_write += other.cache_write
        self.output += other.output
        self.reasoning += other.reasoning
        self.cost += other.cost


@dataclass(frozen=True, slots=True)
class Sum:
    """The totals of the requests that have the same values in each dimension that was asked for."""

    by: Mapping[Dimension, str]  # "" for none, such as the key of a request without one
    totals: Totals


@dataclass(frozen=True, slots=True)
class Where:
    """Which requests are meant. None means all."""

    key: str | None = None
    owner: str | None = None
    group: str | None = None
    model: str | None = None  # a name or a pattern with one `*`, in any case
    provider: str | None = None


ALL: Final = Where()


class Cursor(NamedTuple):
    """The place of an entry among all, by time."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, the latest first, and where the next page begins; None after the last one."""

    entries: Sequence[Entry]
    before: Cursor | None


class LedgerStore(Protocol):
    """Keeps entries, and their sums by day and month. Every method raises LedgerUnavailable if the store is away."""

    async def write(self, entries: Sequence[Entry], /) -> None:
        """Keep all of them or, if it raises, none. An entry that is there already is not counted again."""

    async def spent(self, where: Where, since: datetime, /) -> int:
        """Nano-units that the requests since then have cost. Where entries are pruned, it counts the whole day."""

    async def sums(
        self, *, by: Sequence[Dimension], since: datetime, until: datetime, where: Where = ALL
    ) -> Sequence[Sum]:
        """The totals from the day of `since` to that of `until`, both included, the dearest first."""

    async def entries(self, *, where: Where = ALL, before: Cursor | None = None, limit: int = 100) -> Page:
        """A page of entries, the latest first."""

    async def prune(self, before: datetime, /) -> int:
        """Delete entries of earlier times, `PRUNED_AT_ONCE` at most, and sums of months that are `SUMS_KEPT` older.
        Returns how many entries it has deleted."""

    async def aclose(self) -> None: ...
