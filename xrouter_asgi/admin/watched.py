"""What the operator's app asks of each process that serves, and what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from typing_extensions import TypedDict

from ..limits.rules import Subject
from ..live import Seen
from .api.answers import (
    CapabilitiesEntry,
    DetailFacts,
    LastAttempt,
    PriceEntry,
    ProbeFacts,
    ProblemFacts,
    RequestFacts,
    SlotsEntry,
    StateFacts,
)
from .api.explaining import Explained, ExplainQuery
from .api.filters import RequestFilter
from .api.key_answers import LimitUse


class MinuteFacts(TypedDict):
    """The sums of a `live.Minute`."""

    number: int
    requests: int
    failed: int
    refused: int
    prompt_tokens: int
    completion_tokens: int
    cost: int
    in_flight: int
    durations: list[int]
    first_bytes: list[int]


class ProcessStatus(TypedDict):
    """How a process is. The minutes are the last 60, the oldest first. The currency is that of their costs."""

    started: datetime
    currency: str
    in_flight: int
    minutes: list[MinuteFacts]
    problems: list[ProblemFacts]


class Remembered(TypedDict):
    """Requests of a filter, the latest first; and since when all that ended are remembered."""

    requests: list[RequestFacts]
    complete_since: datetime


class TargetFacts(TypedDict):
    """A target of a model. `times` are the seconds that its attempts of the last hour took."""

    model: str
    provider: str
    state: StateFacts
    weight: float
    price: PriceEntry | None
    capabilities: CapabilitiesEntry
    attempts: int
    failed: int
    times: list[float]


class ProviderFacts(TypedDict):
    name: str
    last: LastAttempt | None
    slots: list[SlotsEntry]
    token_expires: datetime | None


class Upstreams(TypedDict):
    """The targets in the order of the settings."""

    targets: list[TargetFacts]
    providers: list[ProviderFacts]


class News(TypedDict):
    """What has happened since `seen` was asked for last time, and how much more it was."""

    seen: Seen
    requests: list[RequestFacts]
    problems: list[ProblemFacts]
    dropped: int


class Watched(Protocol):
    """A process that serves. Every method raises ConnectionError if it is away, and TimeoutError if it is too busy.

    Attributes:
        number: From 1.
    """

    @property
    def number(self) -> int: ...

    async def status(self) -> ProcessStatus: ...

    async def requests(self, which: RequestFilter, /) -> Remembered:
        """The requests of a filter, and one more than its limit if there are more."""

    async def request(self, id: str, /) -> DetailFacts | None: ...

    async def upstreams(self) -> Upstreams: ...

    async def limits(self, subjects: Sequence[Subject], /) -> list[list[LimitUse]] | None:
        """How far the limits of each are used up, as this process counts. None if it cannot tell."""

    async def explain(self, query: ExplainQuery, /) -> Explained | None:
        """Where a request would go now. None if nothing serves its model."""

    async def probe(self, provider: str, /) -> ProbeFacts | None:
        """Ask a provider for its models, for 10 s at most. None if it has no provider of this name."""

    async def close(self, target: str, /) -> StateFacts | None:
        """Let the next call to a target through. None if it has no target of this name."""

    async def news(self, seen: Seen | None, /) -> News:
        """What has happened since; nothing for None, which asks what to say next time."""
