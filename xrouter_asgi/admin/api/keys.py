"""The keys: what `xrouter keys` does, with the same words and checks."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import Field, with_config
from starlette.types import Receive, Scope

from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...errors import InvalidRequest, NotFound
from ...keys import APIKey, Hasher, Issued, Issuer, KeyFields, KeyFilter, KeyRegistry, KeySpec, UnknownKey
from ...keys.base import State, utc_now
from ...keys.documents import history_document, key_document
from ...keys.issuer import MAX_REASON, OVERLAP
from .key_answers import Audit, IssuedKey, KeyDetail, KeyEntry, KeyList
from .key_limits import KeyLimits
from .operation import STRICT, AdminOperation, Body, Query, answer, body_of, query_of

Reason: TypeAlias = Annotated[str | None, Field(max_length=MAX_REASON)]


class KeyQuery(Query):
    """Which keys, oldest first; `after` is the id of a key."""

    owner: str | None = None
    group: str | None = None
    name: str = ""
    state: State | None = None
    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


@with_config(STRICT)
class NewKeyBody(KeyFields, total=False):
    """The fields of a key; see docs/authentication.md."""

    kind: Literal["live", "test", "admin"]


@with_config(STRICT)
class ChangeBody(KeyFields, total=False):
    """Those fields of a key that are to change, and why, for the audit."""

    reason: Reason


class ReasonBody(Body):
    """Why, for the audit."""

    reason: Reason = None


class RotationBody(ReasonBody):
    """For how many seconds the old secret stays good, and a new end of the key."""

    overlap: Annotated[float, Field(ge=0, le=3.2e9)] = OVERLAP
    expires_at: datetime | None = None


class KeysAPI:
    """`/api/keys`. Each change is in the audit, by the operator's id."""

    def __init__(self, registry: KeyRegistry, hasher: Hasher, limits: KeyLimits, *, currency: str | None) -> None:
        self._registry = registry
        self._hasher = hasher
        self._limits = limits
        self._currency = currency

    def operations(self) -> list[AdminOperation]:
        one = "/api/keys/{id}"
        get = partial(AdminOperation, method="GET")
        post = partial(AdminOperation, method="POST", errors=(400, 404))
        made: dict[str, Any] = {"answer": IssuedKey, "status": 201, "body": NewKeyBody, "errors": (400,)}
        rotated: dict[str, Any] = {"answer": IssuedKey, "body": RotationBody}
        altered: dict[str, Any] = {"answer": KeyEntry, "body": ReasonBody}
        found: dict[str, Any] = {"answer": KeyList, "query": KeyQuery, "errors": (400, 404)}
        return [
            get("/api/keys", self._list, "The keys, oldest first.", **found),
            post("/api/keys", self._create, "Make a key. Its secret is shown this once.", **made),
            get(one, self._show, "A key.", answer=KeyDetail, errors=(404,)),
            post(one, self._update, "Change fields of a key.", answer=KeyEntry, body=ChangeBody),
            post(f"{one}/rotate", self._rotate, "Give a key another secret, which is shown this once.", **rotated),
            post(f"{one}/suspend", self._suspend, "Refuse a key until it is resumed.", **altered),
            post(f"{one}/resume", self._resume, "Let a suspended key in again.", **altered),
            post(f"{one}/revoke", self._revoke, "End a key for good.", **altered),
            get(f"{one}/audit", self._audit, "The changes of a key, oldest first.", answer=Audit, errors=(404,)),
        ]

    async def found(self, query: KeyQuery) -> KeyList:
        """The keys of a query."""
        states = frozenset[State]() if query.state is None else frozenset({query.state})
        where = KeyFilter(owner=query.owner, group=query.group, name=query.name, states=states)
        with _told():
            found = await Issuer(self._registry, by="").list(where, after=query.after, most=query.limit + 1)
        shown, now = found[: query.limit], utc_now()
        more = shown[-1].id if len(found) > len(shown) else None
        entries: list[KeyDetail] = [
            {**_entry(each, now), "limits_used": used}
            for each, used in zip(shown, await self._limits.used(shown), strict=True)
        ]
        return {"keys": entries, "after": more}

    async def one(self, id: str) -> KeyDetail:
        """Raises NotFound."""
        with _told():
            key = await self._registry.get(id)
        (used,) = await self._limits.used([key])
        return {**_entry(key, utc_now()), "limits_used": used}

    async def create(self, body: NewKeyBody, context: RequestContext) -> IssuedKey:
        """Raises InvalidRequest."""
        fields: Any = {**body}
        kind = fields.pop("kind", "live")
        with _told():
            spec = KeySpec(**fields)
            return _issued(await self._issuer(context).create(spec, kind=kind), spec)

    async def rotate(self, id: str, body: RotationBody, context: RequestContext) -> IssuedKey:
        """Raises NotFound, InvalidRequest."""
        with _told():
            issued = await self._issuer(context).rotate(
                id, overlap=body.overlap, expires_at=body.expires_at, reason=body.reason
            )
        return _issued(issued, KeySpec())

    async def suspend(self, id: str, body: ReasonBody, context: RequestContext) -> KeyEntry:
        """Raises NotFound, InvalidRequest."""
        return await _altered(self._issuer(context).suspend(id, reason=body.reason))

    async def resume(self, id: str, body: ReasonBody, context: RequestContext) -> KeyEntry:
        """Raises NotFound, InvalidRequest."""
        return await _altered(self._issuer(context).resume(id, reason=body.reason))

    async def revoke(self, id: str, body: ReasonBody, context: RequestContext) -> KeyEntry:
        """Raises NotFound."""
        return await _altered(self._issuer(context).revoke(id, reason=body.reason))

    async def history(self, id: str) -> Audit:
        """The changes of a key. Raises NotFound."""
        with _told():
            await self._registry.get(id)
            entries: list[Any] = history_document(await self._registry.audit(id))
        return {"audit": entries}

    async def _list(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, await self.found(query_of(scope, KeyQuery)))

    async def _create(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        body = await body_of(scope, receive, NewKeyBody)
        await answer(send, context, await self.create(body, context), status=201)

    async def _show(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        await answer(send, context, await self.one(id))

    async def _update(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        body = await body_of(scope, receive, ChangeBody)
        await answer(send, context, await _altered(self._issuer(context).update(id, **body)))

    async def _rotate(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        body = await body_of(scope, receive, RotationBody)
        await answer(send, context, await self.rotate(id, body, context))

    async def _suspend(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        body = await body_of(scope, receive, ReasonBody)
        await answer(send, context, await self.suspend(id, body, context))

    async def _resume(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        body = await body_of(scope, receive, ReasonBody)
        await answer(send, context, await self.resume(id, body, context))

    async def _revoke(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        body = await body_of(scope, receive, ReasonBody)
        await answer(send, context, await self.revoke(id, body, context))

    async def _audit(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        await answer(send, context, await self.history(id))

    def _issuer(self, context: RequestContext) -> Issuer:
        return Issuer(self._registry, by=context.caller, hasher=self._hasher, currency=self._currency)


@contextmanager
def _told() -> Iterator[None]:
    """Tell the operator what an `Issuer` says."""
    try:
        yield
    except UnknownKey as error:
        raise NotFound(str(error)) from None
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


async def _altered(changing: Awaitable[APIKey]) -> KeyEntry:
    with _told():
        return _entry(await changing, utc_now())


def _entry(key: APIKey, now: datetime) -> KeyEntry:
    return cast(KeyEntry, key_document(key, now) | {"scopes": sorted(key.scopes)})


def _issued(issued: Issued, spec: KeySpec) -> IssuedKey:
    return {**_entry(issued.key, utc_now()), "secret": issued.secret, "warnings": list(spec.warnings)}
