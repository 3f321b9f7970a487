"""`xrouter keys list | show`: which keys there are, and what was done to one."""

from __future__ import annotations

from ...keys import KeyFilter
from ...keys.base import utc_now
from ...keys.documents import history_document, key_document
from ..base import say
from .text import key_table, key_text
from .work import KeyWork


async def list_keys(work: KeyWork) -> None:
    options, now = work.options, utc_now()
    where = KeyFilter(owner=options.owner, group=options.group, name=options.name, states=frozenset(options.state))
    size: int | None = options.page_size
    # One more than is shown says whether more follow.
    keys = await work.issuer.list(where, after=options.after, most=None if size is None else size + 1)
    shown = keys[:size]
    work.tell(key_table(shown, now) if shown else "There are no keys.", [key_document(key, now) for key in shown])
    if len(keys) > len(shown):
        say(f"More keys follow: --after {shown[-1].id}")


async def show(work: KeyWork) -> None:
    key, now = await work.store.get(work.options.id), utc_now()
    history = await work.store.audit(key.id)
    work.tell(key_text(key, now, history), key_document(key, now) | {"history": history_document(history)})
