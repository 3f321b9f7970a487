"""What the operator's API answers. Times are RFC 3339, durations seconds; null is what nobody knows."""

from __future__ import annotations

from datetime import datetime

from typing_extensions import TypedDict


class Workers(TypedDict):
    """How many processes serve, and how many of them have answered: only what these remember is shown."""

    answering: int
    of: int


class Quantiles(TypedDict):
    p50: float | None
    p95: float | None


class MinuteSums(TypedDict):
    """The cost is a text, so that nothing is rounded; `in_flight` is how many ran when the first request ended."""

    at: datetime
    requests: int
    failed: int
    refused: int
    prompt_tokens: int
    completion_tokens: int
    cost: str
    in_flight: int
    first_token_p95: float | None
    duration_p95: float | None


class ProblemFacts(TypedDict):
    """`subject` is a target, a provider, or `limits`."""

    kind: str
    subject: str
    since: datetime
    until: datetime | None
    text: str


class ProblemEntry(ProblemFacts):
    """`workers` are the numbers of the processes that have it."""

    workers: list[int]


class Overview(TypedDict):
    """Of all workers. `first_token`, `duration` and `minutes`, the oldest first, are those of the last hour."""

    well: bool
    workers: Workers
    release: str
    settings: str | None
    started: datetime
    uptime: float
    currency: str
    in_flight: int
    first_token: Quantiles
    duration: Quantiles
    minutes: list[MinuteSums]
    problems: list[ProblemEntry]


class RequestFacts(TypedDict):
    """A request that has ended. `at` is when it came in; `attempts` and `hedges` are numbers."""

    id: str
    at: datetime
    endpoint: str | None
    model: str | None
    key: str | None
    owner: str | None
    status: int | None
    complete: bool
    failed: bool
    duration: float
    first_byte: float | None
    streamed: bool
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    cost: str | None  # with its currency
    error: str | None
    provider: str | None
    upstream_model: str | None
    cache: str | None
    attempts: int
    hedges: int


class RequestEntry(RequestFacts):
    """`worker` is the number of the process that remembers it, with its decision; null for one of the ledger."""

    worker: int | None


class RequestList(TypedDict):
    """`before` asks for the page that follows; null if nothing follows. `missing` says what could not be asked."""

    workers: Workers
    requests: list[RequestEntry]
    before: datetime | None
    missing: str | None


class CandidateEntry(TypedDict):
    """`excluded` says why it was passed over."""

    target: str
    score: float | None
    excluded: str | None


class AttemptEntry(TypedDict):
    """Times are seconds since the request was here."""

    target: str
    started: float
    first: float | None
    ended: float | None
    error: str | None
    hint: str | None


class DecisionEntry(TypedDict):
    version: str | None
    strategy: str | None
    candidates: list[CandidateEntry]
    attempts: list[AttemptEntry]


class DetailFacts(TypedDict):
    request: RequestFacts
    decision: DecisionEntry


class RequestDetail(TypedDict):
    request: RequestEntry
    decision: DecisionEntry


class PriceEntry(TypedDict):
    """Of a million tokens, as texts, so that nothing is rounded."""

    input: str
    output: str


class CapabilitiesEntry(TypedDict):
    tools: bool
    vision: bool
    json_schema: bool
    context: int | None


class StateFacts(TypedDict):
    """`state` is `ready`, or why it is not asked at once: `circuit_open`, `cooling`, `queue_full`."""

    target: str
    state: str
    until: datetime | None
    text: str | None


class TargetState(StateFacts):
    """It is `ready` if it is so in all workers; otherwise `workers` are those where it is not."""

    workers: list[int]


class TargetEntry(TargetState):
    """What is counted is what is remembered of the last hour. `share` is of the attempts for this name."""

    provider: str
    weight: float
    price: PriceEntry | None
    capabilities: CapabilitiesEntry
    attempts: int
    failed: int
    share: float | None
    p95: float | None


class ModelEntry(TypedDict):
    name: str
    targets: list[TargetEntry]


class Models(TypedDict):
    workers: Workers
    models: list[ModelEntry]


class LastAttempt(TypedDict):
    at: datetime
    error: str | None


class SlotsEntry(TypedDict):
    limit: int
    in_use: int
    waiting: int


class ProviderEntry(TypedDict):
    """Each worker has slots of its own: these are those of all together. `token_expires` is when the first token does
    that a worker has got from the provider; null if there is none."""

    name: str
    last: LastAttempt | None
    targets: list[TargetState]
    slots: list[SlotsEntry]
    token_expires: datetime | None


class Providers(TypedDict):
    workers: Workers
    providers: list[ProviderEntry]


class ProbeFacts(TypedDict):
    """`failure` says why it listed no models."""

    provider: str
    seconds: float
    models: list[str]
    failure: str | None


class Probed(ProbeFacts):
    """Of all workers the one that failed, else the one that took longest."""

    worker: int


class SettingsInForce(TypedDict):
    """`layers` and `warnings` are what `xrouter check` says. Secrets are shown as references: `env:NAME`."""

    source: str
    version: str
    settings: dict[str, object]
    layers: list[list[str]]
    warnings: list[str]


class ReloadOutcome(TypedDict):
    """`problems` say why the old settings stay; `restart` names the tables that need one."""

    reloaded: bool
    version: str
    before: str
    problems: list[str]
    restart: list[str]
