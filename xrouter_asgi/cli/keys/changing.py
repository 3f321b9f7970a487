"""`xrouter keys update | suspend | resume | rotate | revoke`: what becomes of a key."""

from __future__ import annotations

from ...keys import APIKey, KeySpec
from ...keys.base import utc_now
from ...keys.documents import key_document
from ..base import say
from .arguments import CLEARED, fields_of
from .creation import show_once
from .text import key_text
from .work import KeyWork

NOTICED = "Servers notice at once through PostgreSQL or the Redis of their limits, otherwise within 5 seconds."


async def update(work: KeyWork) -> None:
    options = work.options
    given, none = fields_of(options), KeySpec()
    cleared = {CLEARED[option]: getattr(none, CLEARED[option]) for option in options.clear}
    if twice := given.keys() & cleared.keys():
        raise ValueError(f"{min(twice)} is both set and cleared.")
    if not given and not cleared:
        raise ValueError("There is nothing to change. Name a field, such as --limit 60/minute or --clear expires.")
    for warning in KeySpec(**given).warnings:
        say(warning)
    key = await work.issuer.update(options.id, reason=options.reason, **{**given, **cleared})
    _tell(work, key, "is as asked for")


async def suspend(work: KeyWork) -> None:
    key = await work.issuer.suspend(work.options.id, reason=work.options.reason)
    _tell(work, key, "is suspended until it is resumed")


async def resume(work: KeyWork) -> None:
    key = await work.issuer.resume(work.options.id, reason=work.options.reason)
    _tell(work, key, "is resumed")


async def revoke(work: KeyWork) -> None:
    key = await work.issuer.revoke(work.options.id, reason=work.options.reason)
    _tell(work, key, "is revoked")


async def rotate(work: KeyWork) -> None:
    options = work.options
    issued = await work.issuer.rotate(
        options.id, overlap=options.overlap, expires_at=options.expires, reason=options.reason
    )
    show_once(work, issued, f"Key {issued.key.id} has another secret.")


def _tell(work: KeyWork, key: APIKey, what: str) -> None:
    now = utc_now()
    work.tell(f"Key {key.id} {what}. {NOTICED}\n\n{key_text(key, now)}", key_document(key, now))
