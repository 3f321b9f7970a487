"""What the operator's API answers. Times are RFC 3339, durations seconds; null is what nobody knows."""

from __future__ import annotations

from datetime import datetime

from typing_extensions import TypedDict


class Process(TypedDict):
    """Whose memory the answer comes from."""

    number: int
    of: int


class Quantiles(TypedDict):
    p50: float | None
    p95: float | None


class MinuteSums(TypedDict):
    at: datetime
    requests: int
    failed: int
    refused: int
    prompt_tokens: int
    completion_tokens: int
    first_token_p95: float | None
    duration_p95: float | None


class ProblemEntry(TypedDict):
    """`subject` is a target, a provider, or `limits`."""

    kind: str
    subject: str
    since: datetime
    until: datetime | None
    text: str


class Overview(TypedDict):
    """`first_token` and `duration` are those of the last hour, as are the `minutes`, the oldest first."""

    well: bool
    process: Process
    release: str
    settings: str | None
    started: datetime
    uptime: float
    in_flight: int
    first_token: Quantiles
    duration: Quantiles
    minutes: list[MinuteSums]
    problems: list[ProblemEntry]


class RequestEntry(TypedDict):
    """A request that has ended. `number` counts the requests of the process; `attempts` and `hedges` are numbers.

    `cost` is a text with its currency, so that nothing is rounded; null if there are no prices.
    """

    number: int
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
    error: str | None
    provider: str | None
    upstream_model: str | None
    cost: str | None
    cache: str | None
    attempts: int
    hedges: int


class RequestList(TypedDict):
    """`before` asks for the page that follows; null if nothing follows."""

    process: Process
    requests: list[RequestEntry]
    before: int | None


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


class Explained(TypedDict):
    """Where a request would go: the candidates in the order in which they would be asked, then those passed over."""

    strategy: str | None
    candidates: list[CandidateEntry]


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


class TargetState(TypedDict):
    """`state` is `ready`, or why it is not asked at once: `circuit_open`, `cooling`, `queue_full`."""

    target: str
    state: str
    until: datetime | None
    text: str | None


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
    process: Process
    models: list[ModelEntry]


class LastAttempt(TypedDict):
    at: datetime
    error: str | None


class SlotsEntry(TypedDict):
    limit: int
    in_use: int
    waiting: int


class ProviderEntry(TypedDict):
    name: str
    last: LastAttempt | None
    targets: list[TargetState]
    slots: list[SlotsEntry]


class Providers(TypedDict):
    process: Process
    providers: list[ProviderEntry]


class Probed(TypedDict):
    """`failure` says why it listed no models."""

    provider: str
    seconds: float
    models: list[str]
    failure: str | None


class KeyEntry(TypedDict):
    id: str
    name: str
    owner: str | None
    kind: str
    created_at: datetime
    not_before: datetime | None
    expires_at: datetime | None
    scopes: list[str]
    models: list[str]
    limits: list[str]
    last_used_at: datetime | None
    groups: list[str]
    state: str


class KeyList(TypedDict):
    """`after` asks for the page that follows; null if nothing follows."""

    keys: list[KeyEntry]
    after: str | None


class IssuedKey(KeyEntry):
    """The secret is kept nowhere, and shown this once."""

    secret: str
    warnings: list[str]


class AuditItem(TypedDict):
    at: datetime
    by: str
    action: str
    before: dict[str, object]
    after: dict[str, object]
    reason: str | None


class Audit(TypedDict):
    """The changes of a key, the oldest first."""

    audit: list[AuditItem]


class SettingsInForce(TypedDict):
    """`layers` and `warnings` are what `xrouter check` says. Secrets are hidden. `source` is the file."""

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
