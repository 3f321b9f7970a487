"""Requests as the ledger has them: of those that asked an upstream, without the decision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from ...ledger import Cursor, Entry, Spend, Where
from ...limits.prices import in_units
from .answers import RequestEntry
from .filters import RequestFilter

_AT_ONCE = 500  # entries
_MOST = 5000  # entries that are looked through for one page


class Written(NamedTuple):
    """Some requests, the latest first, and the moment before which there are more; None after the last one."""

    requests: Sequence[RequestEntry]
    before: datetime | None


async def written_requests(spend: Spend, which: RequestFilter) -> Written:
    """Requests of a filter, and one more than its limit if there are more. Raises LedgerUnavailable.

    The ledger knows nothing of outcomes, so these are looked for in 5,000 entries. Then a page may have fewer than its
    limit, and goes on all the same.
    """
    where = Where(key=which.key, owner=which.owner, model=which.model)
    cursor = None if which.before is None else Cursor(which.before, "")
    looks = which.status is not None or which.error is not None
    found: list[RequestEntry] = []
    for _ in range(_MOST // _AT_ONCE):
        size = _AT_ONCE if looks else which.limit + 1
        page = await spend.ledger.entries(where=where, before=cursor, limit=size)
        found += [_entry(each, spend.currency) for each in page.entries if which.has_outcome(each.status, each.error)]
        cursor = page.before
        if cursor is None or len(found) > which.limit:
            break
    return Written(found, None if cursor is None else cursor.at)


def _entry(entry: Entry, currency: str) -> RequestEntry:
    return {
        "id": entry.request_id,
        "at": entry.at,
        "endpoint": entry.endpoint,
        "model": entry.model,
        "key": entry.key,
        "owner": entry.owner,
        "status": entry.status,
        "complete": entry.complete,
        "failed": entry.error is not None and not 400 <= (entry.status or 0) < 500,
        "duration": entry.duration,
        "first_byte": entry.first,
        "streamed": entry.streamed,
        "prompt_tokens": entry.input,
        "completion_tokens": entry.output,
        "cached_tokens": entry.cached,
        "cost": None if entry.cost is None else f"{in_units(entry.cost)} {currency}",
        "error": entry.error,
        "provider": entry.provider,
        "upstream_model": entry.upstream_model,
        "cache": None,
        "attempts": entry.attempts,
        "hedges": 0,
        "worker": None,
    }
