"""The entry of a request that has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from ..context import Attempt, CostEstimate, RequestContext
from ..conventions import error_type
from ..decision import Cost, Usage
from ..events import RequestEnded
from ..ledger import Entry
from ..limits import Prices
from ..limits.spending import parts, spending

NameModel: TypeAlias = Callable[[str], str | None]
"""The name or pattern of the table that serves a model; None if none does."""

_LABEL: Final = 64  # characters
_NAME: Final = 128  # characters of a model's name, which a client may have chosen
_OTHER: Final = "other"
_UNKNOWN: Final = CostEstimate("", 0)


def entry_of(
    event: RequestEnded,
    *,
    id: str,
    at: datetime,
    prices: Prices | None,
    models: NameModel | None,
    labels: Sequence[str],
) -> Entry:
    """What is written down of a request. `RequestEnded` comes after the limits are settled, so its cost is known."""
    context, principal = event.context, event.context.principal
    usage, estimated = _tokens(context)
    cost = _cost(context, prices)
    return Entry(
        id=id,
        at=at,
        request_id=context.request_id,
        key=None if principal is None else _clean(principal.id),
        owner=None if principal is None else _clean(principal.owner or principal.id),
        endpoint=context.endpoint or _OTHER,
        model=_model(context, models),
        provider=context.provider,
        upstream_model=context.upstream_model and _clean(context.upstream_model[:_NAME]),
        input=usage.prompt_tokens,
        cached=usage.cached_tokens,
        cache_write=usage.cache_write_tokens,
        output=usage.completion_tokens,
        reasoning=usage.reasoning_tokens,
        cost=None if cost is None else cost.amount,
        estimated=estimated or (cost is not None and cost.estimated),
        status=event.status,
        error=None if context.error is None else error_type(context.error),
        complete=event.complete,
        streamed=context.streamed,
        attempts=len(context.attempts),
        duration=event.duration,
        first=event.first_byte,
        groups=() if principal is None else tuple(sorted({_clean(group) for group in principal.groups})),
        labels=_labels(context.metadata, labels) if labels else {},
    )


def _tokens(context: RequestContext) -> tuple[Usage, bool]:
    """The tokens of all attempts together, and whether some of them are estimated."""
    if len(context.attempts) == 1 and context.usage is not None:
        return context.usage, False
    found, estimated = Usage(0), False
    for _, usage, guessed in parts(context, _estimate(context).prompt_tokens):
        estimated |= guessed
        if usage is not None:
            found = Usage(*map(sum, zip(found, usage, strict=True)))
    return found, estimated


def _cost(context: RequestContext, prices: Prices | None) -> Cost | None:
    """What the limits have settled; without limits of money the same sum, made here. None if there is no price."""
    if prices is not None and not all(_has_price(context, attempt, prices) for attempt in context.attempts):
        return None
    if context.cost is not None or prices is None:
        return context.cost
    estimate = _UNKNOWN if context.usage is not None else _estimate(context)
    return spending(context, estimate.prompt_tokens, model=context.model or "", prices=prices).with_reserved(0)


def _has_price(context: RequestContext, attempt: Attempt, prices: Prices) -> bool:
    """Whether `spending` finds a price for it, or needs none."""
    return (
        attempt.provider in context.own_keys
        or prices.of(f"{attempt.provider}/{attempt.model}") is not None
        or prices.most(context.model or "") is not None
    )


def _estimate(context: RequestContext) -> CostEstimate:
    return context.estimate or _UNKNOWN


def _model(context: RequestContext, models: NameModel | None) -> str:
    """A name from the table. For a pattern of it, what the client asked for, if somebody answered that."""
    asked, answered = context.model or _OTHER, context.provider is not None
    name = "*" if models is None else models(asked)
    if name is None or "*" not in name:
        return name or _OTHER
    return _clean(asked[:_NAME]) if answered else _OTHER


def _labels(metadata: object, names: Sequence[str]) -> Mapping[str, str]:
    """Those members of the request's metadata that are texts."""
    if not isinstance(metadata, dict):
        return {}
    return {name: _clean(value[:_LABEL]) for name in names if isinstance(value := metadata.get(name), str)}


def _clean(text: str) -> str:
    """Without what PostgreSQL cannot keep: NUL, and half a surrogate pair."""
    if text.isprintable():
        return text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\N{REPLACEMENT CHARACTER}")
