"""The keys: what `xrouter keys` does, with the same words and checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.types import Receive, Scope

from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...errors import InvalidRequest, NotFound
from ...keys import APIKey, Hasher, Issued, Issuer, KeyFields, KeyFilter, KeyRegistry, KeySpec, UnknownKey
from ...keys.base import State, utc_now
from ...keys.documents import history_document, key_document
from ...keys.issuer import MAX_REASON, OVERLAP
from .answers import Audit, IssuedKey, KeyEntry, KeyList
from .operation import AdminOperation, Body, Query, answer, body_of, query_of

Change = Callable[[Issuer], Awaitable[APIKey]]


class KeyQuery(Query):
    """Which keys, oldest first; `after` is the id of a key."""

    owner: str | None = None
    group: str | None = None
    name: str = ""
    state: State | None = None
    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class KeyBody(Body):
    """The fields of a key; see docs/authentication.md. Those that are left out stay as they are."""

    name: str = ""
    owner: str | None = None
    groups: tuple[str, ...] = ()
    not_before: datetime | None = None
    expires_at: datetime | None = None
    scopes: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    def fields(self) -> KeyFields:
        """Those that were given."""
        given: Any = {name: getattr(self, name) for name in self.model_fields_set & KeyFields.__annotations__.keys()}
        fields: KeyFields = given
        return fields


class NewKeyBody(KeyBody):
    kind: Literal["live", "test", "admin"] = "live"


class ReasonBody(Body):
    """Why, for the audit."""

    reason: Annotated[str | None, Field(max_length=MAX_REASON)] = None


class ChangeBody(KeyBody, ReasonBody):
    pass


class RotationBody(ReasonBody):
    """For how many seconds the old secret stays good, and a new end of the key."""

    overlap: Annotated[float, Field(ge=0, le=3.2e9)] = OVERLAP
    expires_at: datetime | None = None


class KeysAPI:
    """`/api/keys`. Each change is in the audit, by the operator's id."""

    def __init__(self, registry: KeyRegistry, hasher: Hasher, *, currency: str | None) -> None:
        self._registry = registry
        self._hasher = hasher
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
            get(one, self._show, "A key.", answer=KeyEntry, errors=(404,)),
            post(one, self._update, "Change fields of a key.", answer=KeyEntry, body=ChangeBody),
            post(f"{one}/rotate", self._rotate, "Give a key another secret, which is shown this once.", **rotated),
            post(f"{one}/suspend", self._suspend, "Refuse a key until it is resumed.", **altered),
            post(f"{one}/resume", self._resume, "Let a suspended key in again.", **altered),
            post(f"{one}/revoke", self._revoke, "End a key for good.", **altered),
            get(f"{one}/audit", self._audit, "The changes of a key, oldest first.", answer=Audit, errors=(404,)),
        ]

    async def _list(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        query = query_of(scope, KeyQuery)
        states = frozenset[State]() if query.state is None else frozenset({query.state})
        where = KeyFilter(owner=query.owner, group=query.group, name=query.name, states=states)
        with _told():
            found = await self._issuer(context).list(where, after=query.after, most=query.limit + 1)
        shown, now = found[: query.limit], utc_now()
        more = shown[-1].id if len(found) > len(shown) else None
        await answer(send, context, {"keys": [_entry(each, now) for each in shown], "after": more})

    async def _create(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        body = await body_of(scope, receive, NewKeyBody)
        with _told():
            spec = KeySpec(**body.fields())
            issued = await self._issuer(context).create(spec, kind=body.kind)
        await answer(send, context, _issued(issued, spec), status=201)

    async def _show(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        with _told():
            key = await self._registry.get(id)
        await answer(send, context, _entry(key, utc_now()))

    async def _update(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        body = await body_of(scope, receive, ChangeBody)
        with _told():
            key = await self._issuer(context).update(id, reason=body.reason, **body.fields())
        await answer(send, context, _entry(key, utc_now()))

    async def _rotate(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        body = await body_of(scope, receive, RotationBody)
        with _told():
            issued = await self._issuer(context).rotate(
                id, overlap=body.overlap, expires_at=body.expires_at, reason=body.reason
            )
        await answer(send, context, _issued(issued, KeySpec()))

    async def _suspend(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        body = await body_of(scope, receive, ReasonBody)
        await self._change(send, context, lambda issuer: issuer.suspend(id, reason=body.reason))

    async def _resume(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        body = await body_of(scope, receive, ReasonBody)
        await self._change(send, context, lambda issuer: issuer.resume(id, reason=body.reason))

    async def _revoke(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        body = await body_of(scope, receive, ReasonBody)
        await self._change(send, context, lambda issuer: issuer.revoke(id, reason=body.reason))

    async def _audit(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        with _told():
            await self._registry.get(id)
            history = await self._registry.audit(id)
        entries = history_document(history)
        await answer(send, context, {"audit": entries})

    async def _change(self, send: Outgoing, context: RequestContext, change: Change) -> None:
        with _told():
            key = await change(self._issuer(context))
        await answer(send, context, _entry(key, utc_now()))

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


def _entry(key: APIKey, now: datetime) -> dict[str, object]:
    return key_document(key, now) | {"scopes": sorted(key.scopes)}


def _issued(issued: Issued, spec: KeySpec) -> dict[str, object]:
    return _entry(issued.key, utc_now()) | {"secret": issued.secret, "warnings": list(spec.warnings)}
