"""Responses that refer to others: what is kept, for whom, and what is shown of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.asgi_client import Answer, Exchange, body_messages, http_scope, post, request
from xrouter_asgi import LLMRouter, Principal, RequestContext
from xrouter_asgi.context import CostEstimate
from xrouter_asgi.errors import UnsupportedOperation, UpstreamUnavailable
from xrouter_asgi.kept import MemoryResponses
from xrouter_asgi.testing.scripted import ScriptedProvider, chunk
from xrouter_asgi.wire import KeptResponse
from xrouter_asgi.wire.sse import EventReader

PATH = "/v1/responses"


def router_of(provider: ScriptedProvider | None = None, **options: Any) -> LLMRouter:
    return LLMRouter({"scripted": provider or ScriptedProvider()}, **options)


async def create(app: ASGIApp, input: Any = "hi", **members: Any) -> dict[str, Any]:
    answer = await post(app, PATH, {"model": "scripted", "input": input, **members})
    assert answer.status == 200, answer.json
    value: dict[str, Any] = answer.json if not members.get("stream") else final(answer)
    return value


def final(answer: Answer) -> dict[str, Any]:
    """The response in the last event."""
    value: dict[str, Any] = json.loads(EventReader().feed(answer.body)[-1])["response"]
    return value


async def ask(app: ASGIApp, method: str, target: str) -> Answer:
    """A request without a body; its target may have a query."""
    path, _, query = target.partition("?")
    return await request(app, method, path, query=query)


async def refused(app: ASGIApp, input: Any = "hi", **members: Any) -> dict[str, Any]:
    answer = await post(app, PATH, {"model": "scripted", "input": input, **members})
    assert answer.status == 400
    return answer.error


def roles(provider: ScriptedProvider) -> list[tuple[str, Any]]:
    """Who says what in the last call."""
    return [(each["role"], each["content"]) for each in provider.calls[-1].document.value["messages"]]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_continues_the_responses_before_it(stream: bool) -> None:
    provider = ScriptedProvider()
    router = router_of(provider)
    first = await create(router, "one", instructions="be brief", stream=stream)
    second = await create(router, "two", previous_response_id=first["id"], stream=stream)
    third = await create(router, "three", previous_response_id=second["id"], stream=stream)
    assert third["previous_response_id"] == second["id"]
    assert roles(provider) == [
        ("user", "one"),
        ("assistant", "hello"),
        ("user", "two"),
        ("assistant", "hello"),
        ("user", "three"),
    ]


async def test_a_reference_stands_for_the_item() -> None:
    provider = ScriptedProvider()
    router = router_of(provider)
    first = await create(router, "one")
    [item] = first["output"]
    reference = {"type": "item_reference", "id": item["id"]}
    second = await create(router, [{"role": "user", "content": "one"}, reference, {"role": "user", "content": "two"}])
    assert roles(provider)[1:] == [("assistant", "hello"), ("user", "two")]
    third = await create(router, "three", previous_response_id=second["id"])
    await router.aclose()
    assert roles(provider)[1] == ("assistant", "hello")
    assert third["store"] is True


async def test_the_input_of_a_response_can_be_referred_to() -> None:
    provider = ScriptedProvider()
    router = router_of(provider)
    first = await create(router, "one")
    [item] = (await ask(router, "GET", f"{PATH}/{first['id']}/input_items")).json["data"]
    await create(router, [{"type": "item_reference", "id": item["id"]}])
    assert roles(provider) == [("user", "one")]


@pytest.mark.parametrize(
    ("input", "members", "code", "param", "told"),
    [
        ("hi", {"previous_response_id": "resp_none"}, "previous_response_not_found", "previous_response_id", "3600 s"),
        ([{"type": "item_reference", "id": "msg_" + "0" * 50}], {}, "invalid_value", "input", "not found"),
        ([{"type": "item_reference", "id": "odd"}], {}, "invalid_value", "input", "'odd' not found"),
        ([{"type": "item_reference", "id": "msg_" + "0" * 50}] * 2, {}, "invalid_value", "input", "twice"),
        (
            [{"type": "item_reference", "id": f"msg_{number:048x}00"} for number in range(1001)],
            {},
            "array_above_max_length",
            "input",
            "1000",
        ),
    ],
)
async def test_what_is_not_there_is_told(input: Any, members: Any, code: str, param: str, told: str) -> None:
    error = await refused(router_of(), input, **members)
    assert (error["code"], error["param"]) == (code, param)
    assert told in error["message"]


async def test_a_chain_that_lost_a_link_is_not_found() -> None:
    router = router_of()
    first = await create(router)
    second = await create(router, previous_response_id=first["id"])
    await ask(router, "DELETE", f"{PATH}/{first['id']}")
    error = await refused(router, previous_response_id=second["id"])
    assert error["code"] == "previous_response_not_found"
    assert second["id"] in error["message"]


async def test_a_client_that_wants_nothing_kept_is_obeyed() -> None:
    router = router_of()
    response = await create(router, store=False)
    assert response["store"] is False
    assert (await ask(router, "GET", f"{PATH}/{response['id']}")).status == 404


async def test_without_a_store_nothing_is_kept_and_the_client_is_told() -> None:
    router = router_of(responses=None)
    response = await create(router, store=True)
    assert response["store"] is False
    for method in ("GET", "DELETE"):
        assert (await ask(router, method, f"{PATH}/{response['id']}")).status == 404
    error = await refused(router, previous_response_id=response["id"])
    assert "keeps no responses" in error["message"]


async def test_no_two_routers_share_what_they_keep_unless_they_are_given_one_store() -> None:
    response = await create(router_of())
    assert (await ask(router_of(), "GET", f"{PATH}/{response['id']}")).status == 404
    store = MemoryResponses()
    response = await create(router_of(responses=store))
    assert (await ask(router_of(responses=store), "GET", f"{PATH}/{response['id']}")).json == response


async def test_a_stream_that_breaks_is_not_kept() -> None:
    router = router_of(ScriptedProvider([chunk("a")], UpstreamUnavailable("Gone.")))
    response = await create(router, stream=True)
    assert response["status"] == "failed"
    assert (await ask(router, "GET", f"{PATH}/{response['id']}")).status == 404


async def test_a_response_is_kept_before_the_client_knows_that_it_is_whole() -> None:
    kept_then = []

    class Watched(MemoryResponses):
        async def put(self, owner: str, kept: KeptResponse, /) -> None:
            kept_then.append(b"response.completed" not in exchange.answer.body)
            await super().put(owner, kept)

    body = json.dumps({"model": "scripted", "input": "hi", "stream": True}).encode()
    exchange = Exchange(router_of(responses=Watched()), http_scope("POST", PATH), script=body_messages(body))
    await exchange.run()
    assert kept_then == [True]


class Broken(MemoryResponses):
    async def put(self, owner: str, kept: KeptResponse, /) -> None:
        raise OSError("no disk")

    async def find(self, owner: str, ids: Any, /) -> Any:
        raise OSError("no disk")


async def test_a_store_that_fails_is_as_if_it_kept_nothing(caplog: pytest.LogCaptureFixture) -> None:
    router = router_of(responses=Broken())
    response = await create(router)
    assert (await ask(router, "GET", f"{PATH}/{response['id']}")).status == 404
    assert [record.message for record in caplog.records if record.exc_info] == [
        "A response could not be kept",
        "Responses could not be looked up",
    ]


# Who may see it


def as_principal(app: ASGIApp, principal: Principal) -> ASGIApp:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        RequestContext.of(scope).principal = principal
        await app(scope, receive, send)

    return middleware


async def test_nobody_sees_or_continues_what_another_key_was_answered() -> None:
    router = router_of()
    ann, bob = (as_principal(router, Principal(id)) for id in ("ann", "bob"))
    response = await create(ann)
    path = f"{PATH}/{response['id']}"
    for method, where in (("GET", path), ("DELETE", path), ("GET", f"{path}/input_items")):
        assert (await ask(bob, method, where)).status == 404
    assert (await refused(bob, previous_response_id=response["id"]))["code"] == "previous_response_not_found"
    assert (await ask(ann, "GET", path)).json == response


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/resp_1"),
        ("DELETE", "/resp_1"),
        ("GET", "/resp_1/input_items"),
        ("POST", "/resp_1/cancel"),
        ("POST", "/compact"),
        ("POST", "/input_tokens"),
        ("POST", ""),
    ],
)
async def test_a_key_needs_the_scope_of_chats(method: str, path: str) -> None:
    app = as_principal(router_of(), Principal("ann", scopes=frozenset({"models"})))
    answer = await ask(app, method, PATH + path)
    assert (answer.status, answer.error["code"]) == (403, "insufficient_scope")


# What is shown


async def test_what_is_deleted_is_gone() -> None:
    router = router_of()
    response = await create(router)
    path = f"{PATH}/{response['id']}"
    assert (await ask(router, "GET", path)).json == response
    deleted = {"id": response["id"], "object": "response", "deleted": True}
    assert (await ask(router, "DELETE", path)).json == deleted
    for method in ("GET", "DELETE"):
        answer = await ask(router, method, path)
        assert (answer.status, answer.error["message"]) == (404, f"Response with id '{response['id']}' not found.")


async def test_input_items_come_in_pages() -> None:
    router = router_of()
    said = [{"role": "user", "content": str(number)} for number in range(3)]
    response = await create(router, [*said, {"type": "reasoning", "summary": [], "id": "rs_mine"}])
    path = f"{PATH}/{response['id']}/input_items"
    listed = (await ask(router, "GET", f"{path}?order=asc")).json
    assert [item["type"] for item in listed["data"]] == ["message"] * 3 + ["reasoning"]
    assert listed["data"][0]["content"] == [{"type": "input_text", "text": "0"}]
    assert (listed["last_id"], listed["has_more"]) == ("rs_mine", False)
    page = (await ask(router, "GET", f"{path}?limit=2&after=rs_mine")).json
    assert [item["content"][0]["text"] for item in page["data"]] == ["2", "1"]
    assert (page["first_id"], page["has_more"]) == (listed["data"][2]["id"], True)
    end = (await ask(router, "GET", f"{path}?after={listed['first_id']}")).json
    assert end == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=-1", "order=up", "after=none"])
async def test_a_page_that_cannot_be_is_refused(query: str) -> None:
    router = router_of()
    response = await create(router)
    answer = await ask(router, "GET", f"{PATH}/{response['id']}/input_items?{query}")
    assert answer.status == 400
    assert answer.error["param"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("POST", f"{PATH}/resp_1/cancel", "background"),
        ("POST", "/responses/resp_1/cancel", "background"),
        ("POST", f"{PATH}/compact", "POST /v1/responses"),
    ],
)
async def test_what_is_not_done_here_says_what_to_do_instead(method: str, path: str, told: str) -> None:
    answer = await ask(router_of(), method, path)
    assert (answer.status, answer.error["code"]) == (400, "unsupported_parameter")
    assert told in answer.error["message"]


async def test_a_kept_response_is_not_streamed() -> None:
    router = router_of()
    response = await create(router)
    answer = await ask(router, "GET", f"{PATH}/{response['id']}?stream=true")
    assert (answer.status, answer.error["param"]) == (400, "stream")


# Bounds


async def test_what_a_request_refers_to_counts_as_its_input() -> None:
    estimates: list[CostEstimate] = []

    async def reserve(estimate: CostEstimate) -> None:
        estimates.append(estimate)

    router = router_of()

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        RequestContext.of(scope).reserve_tokens = reserve
        await router(scope, receive, send)

    first = await create(limited, "x" * 10_000)
    second = await create(limited, previous_response_id=first["id"])
    await create(limited, previous_response_id=second["id"])
    assert estimates[1].prompt_tokens > 5_000
    assert estimates[2].prompt_tokens > estimates[1].prompt_tokens


@pytest.mark.parametrize(
    "input", ["x" * 3000, [{"role": "user", "content": [{"type": "input_text", "text": ""}] * 30}]]
)
async def test_a_conversation_is_no_larger_than_a_body_may_be(input: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xrouter_asgi.dialects.responses.responses.MAX_VALUES", 300)
    router = router_of(max_body=4000)
    first = await create(router, input)
    error = await refused(router, input, previous_response_id=first["id"])
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input")


async def test_a_long_conversation_is_translated_and_continued() -> None:
    provider = ScriptedProvider()
    router = router_of(provider)
    first = await create(router, "x" * (300 << 10))
    await create(router, "y" * (300 << 10), previous_response_id=first["id"])
    assert [len(content) for _, content in roles(provider)] == [300 << 10, 5, 300 << 10]


# Around it


async def test_a_provider_s_complaint_is_about_what_the_client_wrote() -> None:
    error = UnsupportedOperation("No pictures.", param="messages[0].content[1]")
    assert (await refused(router_of(ScriptedProvider(error))))["param"] == "input"


async def test_tokens_are_estimated_from_what_the_provider_would_get() -> None:
    router = router_of()
    short = await post(router, f"{PATH}/input_tokens", {"model": "scripted", "input": "hi"})
    assert short.header("x-xrouter-warnings") == "tokens_estimated"
    assert short.json == {"object": "response.input_tokens", "input_tokens": 8}
    first = await create(router, "x" * 400)
    long = await post(
        router,
        f"{PATH}/input_tokens",
        {"model": "scripted", "input": "hi", "previous_response_id": first["id"], "tools": [{"type": "web_search"}]},
    )
    assert long.json["input_tokens"] > 100
    assert long.header("x-xrouter-warnings") == "tool_web_search_ignored, tokens_estimated"
    unknown = await post(router, f"{PATH}/input_tokens", {"model": "other", "input": "hi"})
    assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(("count", "last"), [(50, "m49_ignored"), (60, "more"), (100_000, "more")])
async def test_a_client_cannot_make_a_head_of_any_length(count: int, last: str) -> None:
    odd = {f"m{number}": 1 for number in range(count)}
    answer = await post(router_of(), PATH, {"model": "scripted", "input": "hi", **odd})
    warnings = answer.header("x-xrouter-warnings")
    assert warnings is not None
    assert warnings.endswith(f", {last}")
    assert len(warnings) < 4096
