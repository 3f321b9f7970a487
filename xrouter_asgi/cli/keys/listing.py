"""`xrouter keys list | show`: which keys there are, and what was done to one."""

from __future__ import annotations

from datetime import datetime

from ...keys import KeyFilter
from ...keys.base import utc_now
from ...keys.documents import history_document, key_document
from ..base import say
from .text import SpentInMonth, key_table, key_text
from .work import KeyWork


async def list_keys(work: KeyWork) -> None:
    options, now = work.options, utc_now()
    where = KeyFilter(owner=options.owner, group=options.group, name=options.name, states=frozenset(options.state))
    size: int | None = options.page_size
    # One more than is shown says whether more follow.
    keys = await work.issuer.list(where, after=options.after, most=None if size is None else size + 1)
    shown = keys[:size]
    spent = await _spent(work, now) if shown else None
    documents = [key_document(key, now) | ({} if spent is None else spent.document(key.id)) for key in shown]
    work.tell(key_table(shown, now, spent) if shown else "There are no keys.", documents)
    if len(keys) > len(shown):
        say(f"More keys follow: --after {shown[-1].id}")


async def _spent(work: KeyWork, now: datetime) -> SpentInMonth | None:
    """What the keys have spent in this month; None if nobody writes that down, or it cannot be asked now."""
    if work.ledger is None:
        return None
    from ...ledger import LedgerUnavailable, SQLLedger  # here, because it needs an extra

    url, currency, timezone = work.ledger
    ledger = SQLLedger(url, timezone=timezone)
    first = now.astimezone(timezone).replace(day=1)
    try:
        sums = await ledger.sums(by=("key",), since=first, until=now)
    except LedgerUnavailable as error:
        say(f"What the keys have spent cannot be asked. {error.detail or error.message}")
        return None
    finally:
        await ledger.aclose()
    return SpentInMonth(f"{first:%Y-%m}", currency, {each.by["key"]: each.totals.cost for each in sums})


async def show(work: KeyWork) -> None:
    key, now = await work.store.get(work.options.id), utc_now()
    history = await work.store.audit(key.id)
    work.tell(key_text(key, now, history), key_document(key, now) | {"history": history_document(history)})
