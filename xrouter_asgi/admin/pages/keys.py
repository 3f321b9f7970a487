"""Keys: who may ask, and what operators do about it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from starlette.types import Receive, Scope

from ...asgi.routes import Endpoint
from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...errors import InvalidRequest
from ...keys.base import utc_now
from ...ledger import LedgerUnavailable
from ..api.key_answers import KeyDetail, KeyEntry, LimitEntry
from ..api.keys import KeyQuery, KeysAPI, NewKeyBody, ReasonBody, RotationBody
from ..api.operation import checked
from ..api.spend import SpendAPI
from ..forms import go_to, query_fields, read_form
from .charts import WIDTH, Bar, bar
from .frame import PART, Frame
from .spend import spent_by_key

HOUR: Final = 3600.0
STATES: Final = ("active", "unused", "waiting", "expired", "suspended", "revoked")

_NEW = ("name", "owner", "groups", "kind", "scopes", "models", "limits", "expires")
_LISTS = ("groups", "scopes", "models")

Alter = Callable[[str, ReasonBody, RequestContext], Awaitable[KeyEntry]]


class LimitBar(NamedTuple):
    """A limit: how far it is used up, also in units of `WIDTH`."""

    use: LimitEntry
    used: Bar | None
    share: float


class KeyPages:
    """`/keys`, `/keys/new`, and those of one key."""

    def __init__(self, frame: Frame, keys: KeysAPI, spend: SpendAPI | None) -> None:
        self._frame = frame
        self._keys = keys
        self._spend = spend

    def paths(self) -> dict[str, dict[str, Endpoint]]:
        one = "/keys/{id}"
        return {
            "/keys": {"GET": self._list, "HEAD": self._list},
            "/keys/new": {"GET": self._new, "HEAD": self._new, "POST": self._create},
            one: {"GET": self._one, "HEAD": self._one},
            f"{one}/rotate": {"POST": self._rotate},
            f"{one}/suspend": {"POST": self._altering(self._keys.suspend)},
            f"{one}/resume": {"POST": self._altering(self._keys.resume)},
            f"{one}/revoke": {"GET": self._ask, "HEAD": self._ask, "POST": self._altering(self._keys.revoke)},
        }

    async def _list(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        asked = query_fields(scope)
        found = await self._keys.found(checked(KeyQuery, asked))
        more = None if found["after"] is None else urlencode({**asked, "after": found["after"]})
        await self._frame.show(
            scope,
            send,
            context,
            "keys",
            keys=[(each, fullest(each)) for each in found["keys"]],
            whole=WIDTH,
            more=more,
            asked=dict.fromkeys(KeyQuery.model_fields, "") | asked,
            filtered=bool(asked),
            states=STATES,
            **await self._spent(),
        )

    async def _new(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await self._frame.show(scope, send, context, "new_key", given=dict.fromkeys(_NEW, ""), problem=None)

    async def _create(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        given = await read_form(scope, receive)
        try:
            made = await self._keys.create(checked(NewKeyBody, _fields_of(given)), context)
        except InvalidRequest as error:
            shown = dict.fromkeys(_NEW, "") | given
            await self._frame.show(
                scope, send, context, "new_key", status=error.status, given=shown, problem=error.message
            )
            return
        await self._frame.show(scope, send, context, "secret", status=201, key=made, rotated=False)

    async def _one(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        key = await self._keys.one(id)
        shown: dict[str, Any] = {"key": key, "used": limit_bars(key), "whole": WIDTH}
        if PART not in query_fields(scope):  # only limits change by themselves
            shown["audit"] = list(reversed((await self._keys.history(id))["audit"]))
            shown |= await self._spent()
        await self._frame.show(scope, send, context, "key", **shown)

    async def _spent(self) -> dict[str, Any]:
        """What each key has spent this month; nothing where there is no ledger, or where it is away."""
        if self._spend is not None:
            with suppress(LedgerUnavailable):
                return await spent_by_key(self._spend)
        return {"spent": {}, "currency": ""}

    async def _rotate(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        given = await read_form(scope, receive)
        body: dict[str, Any] = {"reason": given.get("reason")}
        if "overlap" in given:
            body["overlap"] = HOUR * float(given["overlap"]) if given["overlap"].isdecimal() else given["overlap"]
        made = await self._keys.rotate(id, checked(RotationBody, body), context)
        await self._frame.show(scope, send, context, "secret", key=made, rotated=True)

    async def _ask(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        await self._frame.show(scope, send, context, "revoke", key=await self._keys.one(id))

    def _altering(self, alter: Alter) -> Endpoint:
        async def altered(scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
            given = await read_form(scope, receive)
            await alter(id, checked(ReasonBody, {"reason": given.get("reason")}), context)
            await go_to(scope, send, context, f"keys/{id}")

        return altered


def limit_bars(key: KeyDetail) -> list[LimitBar]:
    """The limits of a key, the most used first; none if nobody can tell."""
    bars = [_limit_bar(each) for each in key["limits_used"] or ()]
    return sorted(bars, key=lambda each: -each.share)


def fullest(key: KeyDetail) -> LimitBar | None:
    """Of the limits that are not those of all, the most used one."""
    return next((each for each in limit_bars(key) if each.use["per"] != "all"), None)


def _limit_bar(use: LimitEntry) -> LimitBar:
    amount, used = float(use["amount"]), float(use["used"])
    return LimitBar(use, bar(0, used, amount) if used else None, used / amount)


def _fields_of(given: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a new key, as the API takes them. Raises InvalidRequest for an end that is no day."""
    body: dict[str, Any] = {name: given[name] for name in ("name", "owner", "kind") if name in given}
    body |= {name: tuple(re.findall(r"[^\s,]+", given[name])) for name in _LISTS if name in given}
    if "limits" in given:
        body["limits"] = tuple(each.strip() for each in re.split(r"[\n,;]", given["limits"]) if each.strip())
    if "expires" in given:
        body["expires_at"] = _end_of(given["expires"])
    return body


def _end_of(text: str) -> datetime:
    """The end of a day in UTC, or so many days from now."""
    try:
        if text.isdecimal():
            return utc_now() + timedelta(days=int(text))
        return datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise InvalidRequest("'expires' is no day. Write one such as 2027-01-31.", param="expires") from None
