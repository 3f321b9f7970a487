"""The entry of a request that has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from ..context import CostEstimate, RequestContext
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
    return Entry(  # by position: two dozen keywords take three times as long
        id,
        at,
        context.request_id,
        None if principal is None else _clean(principal.id),
        None if principal is None else _clean(principal.owner or principal.id),
        context.endpoint or _OTHER,
        _model(context, models),
        context.provider,
        context.upstream_model and _clean(context.upstream_model[:_NAME]),
        usage.prompt_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.completion_tokens,
        usage.reasoning_tokens,
        None if cost is None or not cost.priced else cost.amount,
        estimated or (cost is not None and cost.estimated),
        event.status,
        None if context.error is None else error_type(context.error),
        event.complete,
        context.streamed,
        len(context.attempts),
        event.duration,
        event.first_byte,
        tuple(sorted({_clean(group) for group in principal.groups})) if principal and principal.groups else (),
        _labels(context.metadata, labels) if labels else {},
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
    """What the limits have settled; without limits of money the same sum, made here. None if there are no prices."""
    if context.cost is not None or prices is None:
        return context.cost
    estimate = _UNKNOWN if context.usage is not None else _estimate(context)
    return spending(context, estimate.prompt_tokens, model=context.model or "", prices=prices).with_reserved(0)


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
