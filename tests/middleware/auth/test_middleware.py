from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.asgi_client import Answer, Exchange, get, http_scope, post
from xrouter_asgi import APIKeyMiddleware, LLMRouter, Principal, RequestContext
from xrouter_asgi.errors import KeyStoreUnavailable, PermissionDenied
from xrouter_asgi.keys import APIKey, CachedKeys, Hasher, Issuer, KeySpec, MemoryKeyStore, new_secret
from xrouter_asgi.testing.scripted import ScriptedProvider, chat

from .guarded import BEARER, KEY, SECRET, CountingKeys, Inside, bearer

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def principal_of(scope: Scope) -> Principal:
    principal = scope["xrouter"].principal
    assert isinstance(principal, Principal)
    return principal


class TestAKey:
    async def test_lets_in_and_tells_who_is_calling(self) -> None:
        inside = Inside()
        answer = await get(APIKeyMiddleware(inside, store=CountingKeys()), "/", headers=BEARER)
        assert (answer.status, answer.body) == (200, b"inside")
        assert principal_of(inside.scopes[0]) == KEY.principal()

    async def test_leaves_the_hosts_scope_as_it_was(self) -> None:
        scope = http_scope("GET", "/", headers=BEARER)
        before = {**scope, "headers": list(scope["headers"])}
        await Exchange(APIKeyMiddleware(Inside(), store=CountingKeys()), scope).run()
        assert scope == before

    async def test_that_is_missing_is_told_without_a_code(self) -> None:
        inside, store = Inside(), CountingKeys()
        answer = await get(APIKeyMiddleware(inside, store=store), "/")
        assert answer.status == 401
        assert (answer.error["type"], answer.error["code"]) == ("invalid_request_error", None)
        assert answer.header("www-authenticate") == 'Bearer realm="xrouter"'
        assert (inside.scopes, store.lookups) == ([], 0)

    async def test_that_is_wrong_is_told_with_the_code_that_clients_match(self) -> None:
        inside = Inside()
        answer = await get(APIKeyMiddleware(inside, store=CountingKeys()), "/", headers=bearer(new_secret()))
        assert answer.status == 401
        assert (answer.error["type"], answer.error["code"]) == ("invalid_request_error", "invalid_api_key")
        assert answer.header("www-authenticate") == 'Bearer realm="xrouter", error="invalid_token"'
        assert inside.scopes == []

    @pytest.mark.parametrize(
        "key",
        [
            dataclasses.replace(KEY, active=False),
            dataclasses.replace(KEY, expires_at=NOW - DAY),
            dataclasses.replace(KEY, not_before=NOW + DAY),
        ],
        ids=["revoked", "expired", "not yet good"],
    )
    async def test_that_is_not_usable_is_answered_as_an_unknown_one(self, key: APIKey) -> None:
        inside, store = Inside(), CountingKeys(key)
        app = APIKeyMiddleware(inside, store=store)
        request_id = (b"x-request-id", b"the-same")
        refused = await get(app, "/", headers=[*BEARER, request_id])
        unknown = await get(app, "/", headers=[*bearer(new_secret()), request_id])
        assert refused.messages == unknown.messages
        assert (inside.scopes, store.lookups) == ([], 2)

    async def test_is_never_repeated_in_an_answer_or_a_log(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        store = CountingKeys(dataclasses.replace(KEY, active=False))
        app = APIKeyMiddleware(Inside(), store=store)
        answers = [await get(app, "/", headers=BEARER)]
        store.error = RuntimeError("lost")
        wrong = new_secret()
        answers += [await get(app, "/", headers=bearer(wrong)), await get(app, "/", headers=[*BEARER, *bearer(wrong)])]
        assert {answer.status for answer in answers} == {401, 503}
        for secret in (SECRET, wrong):
            assert secret not in repr([answer.messages for answer in answers]) + caplog.text + repr(vars(app))

    async def test_of_another_pepper_is_unknown(self) -> None:
        store, hasher = MemoryKeyStore(), Hasher({1: "p" * 32})
        bearer_of_new = bearer((await Issuer(store, by="test", hasher=hasher).create(KeySpec())).secret)
        assert (await get(APIKeyMiddleware(Inside(), store=store), "/", headers=bearer_of_new)).status == 401
        keys = CachedKeys(store, hasher=hasher)
        assert (await get(APIKeyMiddleware(Inside(), store=keys), "/", headers=bearer_of_new)).status == 200

    async def test_can_be_found_by_a_function(self) -> None:
        async def find(digest: bytes) -> APIKey | None:
            return KEY if digest == Hasher().digest("of-another-gateway") else None

        app = APIKeyMiddleware(Inside(), store=find)
        assert (await get(app, "/", headers=bearer("of-another-gateway"))).status == 200
        assert (await get(app, "/", headers=bearer("of-no-gateway"))).status == 401

    async def test_is_looked_up_through_the_hosts_own_cache(self) -> None:
        store = CountingKeys()
        keys = CachedKeys(store)
        assert await keys.check(SECRET) == KEY
        assert (await get(APIKeyMiddleware(Inside(), store=keys), "/", headers=BEARER)).status == 200
        assert store.lookups == 1


class TestAStoreThatIsAway:
    async def test_is_a_503_and_lets_nobody_in(self) -> None:
        inside, store = Inside(), CountingKeys()
        store.error = KeyStoreUnavailable("Gone.")
        answer = await get(APIKeyMiddleware(inside, store=store), "/", headers=BEARER)
        assert (answer.status, answer.error["code"]) == (503, "store_unavailable")
        assert answer.header("retry-after") == "1"
        assert answer.header("www-authenticate") is None
        assert inside.scopes == []

    @pytest.mark.parametrize("error", [RuntimeError("defect"), OSError("socket"), TimeoutError()], ids=repr)
    async def test_is_a_503_whatever_it_raises(self, error: Exception) -> None:
        store = CountingKeys()
        store.error = error
        answer = await get(APIKeyMiddleware(Inside(), store=store), "/", headers=BEARER)
        assert (answer.status, answer.error["code"]) == (503, "store_unavailable")

    async def test_is_no_failure_of_the_caller(self) -> None:
        store = CountingKeys()
        store.error = KeyStoreUnavailable("Gone.")
        app = APIKeyMiddleware(Inside(), store=store)
        assert {(await get(app, "/", headers=BEARER)).status for _ in range(10)} == {503}


class TestTheHost:
    async def test_finds_the_caller_in_starlettes_places(self) -> None:
        inside = Inside()
        key = dataclasses.replace(KEY, scopes=frozenset({"read", "chat"}))
        await get(APIKeyMiddleware(inside, store=CountingKeys(key)), "/", headers=BEARER)
        (scope,) = inside.scopes
        assert scope["state"]["principal"] == key.principal()
        user, auth = scope["user"], scope["auth"]
        assert (user.is_authenticated, user.identity, user.display_name) == (True, "key_00000001", "alice")
        assert list(auth.scopes) == ["authenticated", "chat", "read"]

    async def test_sees_a_key_without_an_owner_by_its_id(self) -> None:
        inside = Inside()
        await get(APIKeyMiddleware(inside, store=CountingKeys(APIKey("key_2"))), "/", headers=BEARER)
        assert inside.scopes[0]["user"].display_name == "key_2"

    async def test_does_not_take_a_key_without_scopes_for_one_with_all(self) -> None:
        """`@requires("admin")` must not open to every key of the gateway."""
        inside = Inside()
        await get(APIKeyMiddleware(inside, store=CountingKeys()), "/", headers=BEARER)
        assert list(inside.scopes[0]["auth"].scopes) == ["authenticated"]

    async def test_keeps_the_user_it_has(self) -> None:
        inside = Inside()
        state = {"principal": "host's", "other": 1}
        scope = http_scope("GET", "/", headers=BEARER, user="host's", auth="host's", state=state)
        await Exchange(APIKeyMiddleware(inside, store=CountingKeys()), scope).run()
        (seen,) = inside.scopes
        assert (seen["user"], seen["auth"], seen["state"]) == ("host's", "host's", state)
        assert principal_of(seen) == KEY.principal()

    async def test_learns_the_refusal_from_the_context(self) -> None:
        """A log outside of it made the context, and still holds the same object."""
        scope = http_scope("GET", "/")
        context = RequestContext.of(scope)
        await Exchange(APIKeyMiddleware(Inside(), store=CountingKeys()), scope).run()
        assert context.error is not None
        assert (context.error.status, context.principal) == (401, None)


class TestScopes:
    @pytest.mark.parametrize(
        ("given", "status"),
        [("reports", 403), ("reports admin", 200), ("reports admin more", 200), ("", 403)],
    )
    async def test_each_must_have_been_given_by_name(self, given: str, status: int) -> None:
        store = CountingKeys(dataclasses.replace(KEY, scopes=frozenset(given.split())))
        app = APIKeyMiddleware(Inside(), store=store, scopes=["reports", "admin"])
        assert (await get(app, "/", headers=BEARER)).status == status

    async def test_one_that_lacks_is_named(self) -> None:
        app = APIKeyMiddleware(Inside(), store=CountingKeys(), scopes=["reports"])
        answer = await get(app, "/", headers=BEARER)
        assert answer.error["code"] == "insufficient_scope"
        assert "'reports'" in answer.error["message"]
        assert answer.header("www-authenticate") == 'Bearer realm="xrouter", error="insufficient_scope"'

    async def test_of_the_router_and_its_models_are_the_keys(self) -> None:
        provider = ScriptedProvider()
        key = dataclasses.replace(KEY, scopes=frozenset({"chat"}), models=("small-*",))
        app = APIKeyMiddleware(LLMRouter({"*": provider}), store=CountingKeys(key))
        assert (await post(app, "/v1/chat/completions", chat("small-1"), headers=BEARER)).status == 200
        assert (await post(app, "/v1/chat/completions", chat("large-1"), headers=BEARER)).status == 403
        answer = await post(app, "/v1/embeddings", {"model": "small-1", "input": "x"}, headers=BEARER)
        assert (answer.status, answer.error["code"]) == (403, "insufficient_scope")
        assert len(provider.calls) == 1


class TestIdentify:
    async def test_takes_the_hosts_own_principal(self) -> None:
        async def later(scope: Scope) -> Principal | None:
            return Principal(scope["query_string"].decode())

        def at_once(scope: Scope) -> Principal | None:
            return Principal(scope["query_string"].decode())

        identifies: list[Callable[[Scope], Awaitable[Principal | None] | Principal | None]] = [later, at_once]
        for identify in identifies:
            inside = Inside()
            scope = http_scope("GET", "/", query_string=b"bob")
            await Exchange(APIKeyMiddleware(inside, identify=identify), scope).run()
            assert principal_of(inside.scopes[0]) == Principal("bob")

    async def test_that_knows_nobody_is_a_401(self) -> None:
        inside = Inside()
        answer = await get(APIKeyMiddleware(inside, identify=lambda scope: None), "/", headers=BEARER)
        assert (answer.status, answer.error["code"]) == (401, None)
        assert inside.scopes == []

    async def test_may_refuse_in_its_own_words(self) -> None:
        def identify(scope: Scope) -> Principal | None:
            raise PermissionDenied("Not from here.")

        answer = await get(APIKeyMiddleware(Inside(), identify=identify), "/")
        assert (answer.status, answer.error["message"]) == (403, "Not from here.")

    async def test_that_fails_lets_nobody_in_and_tells_only_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        def identify(scope: Scope) -> Principal | None:
            raise KeyError("session-table")

        inside = Inside()
        answer = await get(APIKeyMiddleware(inside, identify=identify), "/")
        assert (answer.status, answer.error["code"]) == (500, None)
        assert str(answer.header("x-request-id")) in answer.error["message"]
        assert b"session-table" not in answer.body
        assert "session-table" in caplog.text
        assert inside.scopes == []


class TestOtherTraffic:
    @pytest.mark.parametrize("kind", ["lifespan", "webtransport"])
    async def test_passes_untouched(self, kind: str) -> None:
        seen: list[Message] = []

        async def receive() -> Message:
            raise AssertionError("never asked for")

        async def send(message: Message) -> None:
            seen.append(message)

        scope: Scope = {"type": kind}
        await APIKeyMiddleware(Inside(), store=CountingKeys())(scope, receive, send)
        assert seen[0]["scope"] is scope
        assert scope == {"type": kind}

    async def test_what_the_app_receives_and_sends_is_handed_on_as_it_is(self) -> None:
        given: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            given.extend((receive, send))

        async def receive() -> Message:
            raise AssertionError("never asked for")

        async def send(message: Message) -> None:
            raise AssertionError("never sent")

        await APIKeyMiddleware(app, store=CountingKeys())(http_scope("GET", "/", headers=BEARER), receive, send)
        assert given == [receive, send]

    async def test_an_error_of_the_app_is_the_hosts(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise PermissionDenied("The app's own.")

        with pytest.raises(PermissionDenied, match="The app's own"):
            await get(APIKeyMiddleware(app, store=CountingKeys()), "/", headers=BEARER)


class TestMistakes:
    @pytest.mark.parametrize(
        "options",
        [{}, {"store": CountingKeys(), "identify": lambda scope: None}],
        ids=["neither", "both"],
    )
    def test_a_store_or_a_function_is_needed(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="and not both"):
            APIKeyMiddleware(Inside(), **options)


async def test_a_refused_request_is_not_read() -> None:
    exchange = Exchange(APIKeyMiddleware(Inside(), store=CountingKeys()), http_scope("POST", "/"))
    answer: Answer = await exchange.run()
    assert (answer.status, exchange.received) == (401, 0)
    assert json.loads(answer.body).keys() == {"error"}
