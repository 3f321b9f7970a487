"""What the router tells callers about how their request was routed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.asgi_client import Answer, Exchange, body_messages, http_scope
from xrouter_asgi.asgi.disconnect import Interrupted
from xrouter_asgi.context import Principal, RequestContext
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.providers.target import Target
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.scripted import ScriptedProvider, chat, chunk

CHAT = "/v1/chat/completions"
PLEASE = (b"x-xrouter-explain", b"1")


def target(name: str, *steps: Any) -> Candidate:
    return Candidate(Target(ScriptedProvider(*steps, name=name), model="m"), f"{name}/m")


def routed(*candidates: Candidate, explain: bool = True) -> LLMRouter:
    return LLMRouter({"scripted": Fallback(candidates)}, explain=explain, version="v7")


async def ask(
    router: LLMRouter,
    value: object,
    *,
    path: str = CHAT,
    headers: tuple[tuple[bytes, bytes], ...] = (PLEASE,),
    principal: Principal | None = None,
) -> Answer:
    scope = http_scope("POST", path, headers=headers)
    scope["xrouter"] = RequestContext(principal=principal)
    return await Exchange(router, scope, script=body_messages(json.dumps(value).encode())).run()


def explained(answer: Answer) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(answer.header("x-xrouter-explain") or "null")
    return value


def down() -> UpstreamUnavailable:
    return UpstreamUnavailable("down", code="connect_refused")


@pytest.mark.parametrize("stream", [False, True])
async def test_every_answer_says_how_many_attempts_it_took(stream: bool) -> None:
    answer = await ask(routed(target("a", down()), target("b")), chat(stream=stream), headers=())
    assert (answer.status, answer.header("x-xrouter-attempts")) == (200, "2")
    assert answer.header("x-xrouter-explain") is None


async def test_a_failure_says_how_many_attempts_it_took() -> None:
    answer = await ask(routed(target("a", down()), target("b", down())), chat(), headers=())
    assert (answer.status, answer.header("x-xrouter-attempts")) == (502, "2")


async def test_a_request_that_is_refused_took_none() -> None:
    answer = await ask(routed(target("a")), chat("unknown"), headers=())
    assert (answer.status, answer.header("x-xrouter-attempts")) == (404, "0")


async def test_what_asks_no_model_says_nothing_of_attempts() -> None:
    answer = await Exchange(routed(target("a")), http_scope("GET", "/nowhere", headers=(PLEASE,))).run()
    assert (answer.status, answer.header("x-xrouter-attempts")) == (404, None)
    assert answer.header("x-xrouter-explain") is None


async def test_who_asks_is_told_how_a_request_was_routed() -> None:
    told = explained(await ask(routed(target("a", down()), target("b")), chat()))
    assert told["version"] == "v7"
    assert [each["target"] for each in told["candidates"]] == ["a/m", "b/m"]
    assert [each.get("error") for each in told["attempts"]] == ["connect_refused", None]
    assert (told["provider"], told["model"]) == ("b", "m")


async def test_who_asks_is_told_why_a_request_failed() -> None:
    answer = await ask(routed(target("a", down())), chat())
    assert [each["error"] for each in explained(answer)["attempts"]] == ["connect_refused"]
    assert "provider" not in explained(answer)


def comments(answer: Answer) -> list[dict[str, Any]]:
    lines = answer.body.decode().splitlines()
    start = ": x-xrouter-explain "
    return [json.loads(line.removeprefix(start)) for line in lines if line.startswith(start)]


async def test_a_stream_ends_with_the_explanation_just_before_done() -> None:
    answer = await ask(routed(target("a")), chat(stream=True))
    (told,) = comments(answer)
    assert "took_ms" in told["attempts"][0]
    assert "took_ms" not in explained(answer)["attempts"][0]
    *_, last, done, _ = answer.body.split(b"\n\n")
    assert last.startswith(b": x-xrouter-explain ")
    assert done == b"data: [DONE]"


async def test_a_stream_that_breaks_is_explained_before_its_error() -> None:
    answer = await ask(routed(target("a", [chunk("hel")], down())), chat(stream=True))
    (told,) = comments(answer)
    assert told["attempts"][0]["error"] == "connect_refused"
    assert answer.body.split(b"\n\n")[-2].startswith(b'data: {"error"')


@pytest.mark.parametrize("headers", [(), ((b"x-xrouter-explain", b"0"),)])
async def test_who_does_not_ask_is_told_nothing(headers: Any) -> None:
    answer = await ask(routed(target("a")), chat(stream=True), headers=headers)
    assert answer.header("x-xrouter-explain") is None
    assert comments(answer) == []


async def test_nobody_is_told_unless_the_router_explains() -> None:
    answer = await ask(routed(target("a"), explain=False), chat(stream=True))
    assert answer.header("x-xrouter-explain") is None
    assert comments(answer) == []


@pytest.mark.parametrize(
    ("scopes", "told"), [(set(), True), ({"chat"}, False), ({"chat", "explain"}, True)], ids=["all", "none", "explain"]
)
async def test_a_key_needs_the_scope(scopes: set[str], told: bool) -> None:
    principal = Principal("key_1", scopes=frozenset(scopes))
    answer = await ask(routed(target("a")), chat(), principal=principal)
    assert answer.status == 200
    assert (answer.header("x-xrouter-explain") is not None) is told


async def test_a_request_that_is_interrupted_is_explained_too() -> None:
    router = routed(target("a", Interrupted("shutting down")))
    answer = await ask(router, chat())
    assert (answer.status, answer.header("x-xrouter-attempts")) == (503, "1")
    assert "attempts" in explained(answer)
