"""What an operator says about an upstream's errors comes before what this package knows."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from tests.providers.openai.calls import chat, embed, read
from xrouter_asgi.errors import UpstreamOverloaded, XRouterError
from xrouter_asgi.providers import ErrorRule, GigaChatProvider, OpenAIProvider, Reply
from xrouter_asgi.providers.http import ErrorReader, Redaction, UpstreamErrorBody
from xrouter_asgi.testing.gigachat import FakeGigaChat
from xrouter_asgi.testing.gigachat.faults import Events, ScriptedAnswer
from xrouter_asgi.testing.openai import FakeOpenAI, stream, whole
from xrouter_asgi.testing.openai_answers import chunk
from xrouter_asgi.wire.stream import ChatStream

HTML = b"<html><head><title>Under the weather</title></head></html>"


def ruled(rule: ErrorRule, status: int, body: object) -> bool:
    return rule.holds(status, UpstreamErrorBody.of_value(body, Redaction()))


async def error_of(sent: Awaitable[Reply]) -> XRouterError:
    with pytest.raises(XRouterError) as caught:
        await finish(sent)
    return caught.value


async def finish(sent: Awaitable[Reply]) -> None:
    if isinstance(body := (await sent).body, ChatStream):
        await read(body)


@pytest.mark.parametrize(
    "body",
    [
        "Tea is OUT today.",
        {"message": "tea is out"},
        {"error": "TEA IS OUT"},
        {"error": {"message": "Sorry: tea is out"}},
        {"error": {"message": "No.", "code": "tea is out"}},
        {"error": {"message": "No.", "type": "Tea is out"}},
        {"error": {"message": "No.", "error": {"message": "Tea is out."}}},
        {"detail": {"message": "Tea is out."}},
        {"detail": "Tea is out."},
        {"code": "tea is out"},
        {"errors": [{"message": "Tea is out."}]},
        {"base_resp": {"status_code": 4711, "status_msg": "tea is out"}},
        {"error": {"message": "x" * 8_000 + "tea is out"}},
        "<html><title>Tea is out</title></html>",
    ],
)
def test_a_text_is_found_in_message_code_and_type_without_case(body: object) -> None:
    assert ruled(ErrorRule("rate", match="tea IS out"), 418, body)
    assert ruled(ErrorRule("rate", match=("coffee", "tea IS out"), status=(400, 418)), 418, body)
    assert not ruled(ErrorRule("rate", match="coffee"), 418, body)
    assert not ruled(ErrorRule("rate", match="tea IS out", status=400), 418, body)


@pytest.mark.parametrize("code", [4711, "4711"])
@pytest.mark.parametrize("place", ["code", "status_code", "error_code"])
def test_a_number_is_found_as_a_text(place: str, code: object) -> None:
    rule = ErrorRule("rate", match="4711")
    assert ruled(rule, 400, {"error": {"message": "No.", place: code}})
    assert ruled(rule, 400, {"message": "No.", place: code})


def test_a_text_is_not_looked_for_beyond_8_kib() -> None:
    assert not ruled(ErrorRule("rate", match="tea"), 400, {"message": "x" * 8_192 + "tea"})


def test_a_text_is_found_although_no_client_may_see_it() -> None:
    said = UpstreamErrorBody.of_value({"message": "Node gpu-7.internal is out"}, Redaction())
    assert "gpu-7" not in (said.message or "")
    assert ErrorRule("overloaded", match="gpu-7.internal").holds(500, said)


@pytest.mark.parametrize("text", [".*", "t.a", "(tea", "\\w"])
def test_a_text_is_no_pattern(text: str) -> None:
    assert not ruled(ErrorRule("rate", match=text), 400, {"message": "tea"})


def test_the_first_rule_that_holds_counts() -> None:
    rules = [ErrorRule("rate", match="coffee"), ErrorRule("overloaded", match="tea"), ErrorRule("quota", status=400)]
    reader = ErrorReader(Redaction(), rules)
    assert reader.blame(400, UpstreamErrorBody("No tea.")) == "overloaded"
    assert reader.blame(400, UpstreamErrorBody("No.")) == "quota"
    assert reader.blame(402, UpstreamErrorBody("No.")) == "quota"
    assert reader.blame(500, UpstreamErrorBody("No.")) == "unavailable"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"kind": "quote", "match": "x"}, "'kind' is 'quote'. Write one of caller, context,"),
        ({"kind": "rate"}, "it has neither 'status' nor 'match'"),
        *(({"kind": "rate", "status": odd}, "'status' is ") for odd in (200, 399, 600, True, "400", 4.0, [], [400, 9])),
        *(({"kind": "rate", "match": odd}, "'match' is ") for odd in ("", " ", 5, [], ["a", ""], [1])),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(members: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="^" + said.replace("[", r"\[")):
        ErrorRule(**members)


ERRORS = [
    ErrorRule("quota", match="no more tea"),
    ErrorRule("overloaded", status=418),
    ErrorRule("caller", status=(404, 429, 500), match="your cup"),
    ErrorRule("rate", match="under the weather"),
]


@pytest.mark.parametrize(
    ("status", "body", "becomes", "code", "falls_back"),
    [
        (400, {"error": {"message": "There is no more tea."}}, 429, "insufficient_quota", True),
        (418, {"error": {"message": "I am a teapot."}}, 503, "upstream_overloaded", True),
        (404, {"error": {"message": "Your cup is empty."}}, 400, None, False),
        (429, {"error": {"message": "Your cup is empty."}}, 400, None, False),
        (500, {"error": {"message": "Your cup is empty."}}, 400, None, False),
        (200, {"error": {"message": "Your cup is empty.", "code": 429}}, 400, None, False),
        (200, {"error": {"message": "Your cup is empty."}}, 400, None, False),
        (503, HTML, 429, "rate_limit_exceeded", True),
        (400, {"error": {"message": "Another error."}}, 400, None, False),
    ],
)
async def test_rules_decide_about_whole_answers_streams_and_embeddings(
    status: int, body: object, becomes: int, code: str | None, falls_back: bool
) -> None:
    async with FakeOpenAI() as fake:
        provider = OpenAIProvider(fake.base_url, errors=ERRORS)
        for call in (chat(), chat(stream=True), embed()):
            fake.next(whole(body, status=status))
            error = await error_of(provider.send(call))
            assert (error.status, error.code, error.falls_back) == (becomes, code, falls_back)
        await provider.aclose()


async def test_rules_decide_about_an_error_event_first_and_in_the_middle_of_a_stream() -> None:
    said = {"error": {"message": "I am a teapot.", "code": 418}}
    async with FakeOpenAI() as fake:
        provider = OpenAIProvider(fake.base_url, errors=ERRORS)
        for before in ([], [chunk({"role": "assistant", "content": "Hel"})]):
            fake.next(stream(*before, said))
            assert isinstance(await error_of(provider.send(chat(stream=True))), UpstreamOverloaded)
        await provider.aclose()


@pytest.mark.parametrize(
    ("answer", "becomes", "code"),
    [
        (ScriptedAnswer(400, {"status": 400, "message": "There is no more tea."}), 429, "insufficient_quota"),
        (ScriptedAnswer(418, {"status": 418, "message": "No."}), 503, "upstream_overloaded"),
        (ScriptedAnswer(423, {"status": 423, "message": "There is no more tea."}), 429, "insufficient_quota"),
        (ScriptedAnswer(500, {"status": 500, "message": "Your cup is empty."}), 400, None),
        (ScriptedAnswer(503, HTML), 429, "rate_limit_exceeded"),
        (ScriptedAnswer(200, {"status": 418, "message": "No."}), 503, "upstream_overloaded"),
        (Events([{"status": 418, "message": "No."}]), 503, "upstream_overloaded"),
    ],
)
async def test_rules_decide_about_gigachats_errors(answer: Any, becomes: int, code: str | None) -> None:
    async with FakeGigaChat() as fake:
        provider = GigaChatProvider(fake.credentials, base_url=fake.base_url, errors=ERRORS)
        for streamed in (False, True):
            if streamed or not isinstance(answer, Events):
                fake.script("/chat/completions", answer)
                error = await error_of(provider.send(chat(stream=streamed)))
                assert (error.status, error.code) == (becomes, code)
        await provider.aclose()
