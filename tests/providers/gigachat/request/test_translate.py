"""Whole documents, in the shapes that were recorded from GigaChat; and what belongs to no single part of a request."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from xrouter_asgi.providers.gigachat.embeddings import batches, merge
from xrouter_asgi.wire import ChatRequest, EmbeddingsRequest

from ..translating import (
    STATE_ID,
    called,
    chat,
    completed,
    event,
    messages,
    opened,
    result,
    said,
    streamed,
    tool,
    translated,
)

GOLDEN = Path(__file__).parent.parent / "golden"
REQUEST_ID = "8da54264-2463-42be-9aa7-c844d5e45180"


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))


def without_random_ids(data: bytes) -> Any:
    return json.loads(re.sub(rb'"call_[0-9a-f]{24}"', b'"call_<random>"', data))


@pytest.mark.parametrize(
    "name",
    [
        "chat",
        "function-call",
        "function-call-without-state",
        "function-result",
        "json-schema",
        "json-schema-with-bounds",
    ],
)
def test_a_recorded_exchange_is_translated_as_a_whole(name: str) -> None:
    case = golden(name)
    translation = translated(ChatRequest.of(case["request"]), model=case["body"]["model"])
    assert translation.body == case["body"]
    assert translation.warnings == ()
    completion = completed(translation, case["answer"], request_id=REQUEST_ID)
    assert without_random_ids(completion.data) == case["completion"]


@pytest.mark.parametrize("name", ["stream", "stream-minimal", "stream-2023"])
def test_a_recorded_stream_is_translated_as_a_whole(name: str) -> None:
    case = golden(name)
    translation = translated(ChatRequest.of(case["request"]), model=case["body"]["model"])
    assert translation.body == case["body"]
    stream = opened(translation, request_id=REQUEST_ID)
    chunks = [chunk for item in case["events"] for chunk in stream.feed(item)] + stream.close()
    asked = "stream_options" in case["request"]
    assert [json.loads(chunk.data) for chunk in chunks if asked or not chunk.only_usage] == case["chunks"]


def test_recorded_embeddings_are_translated_as_a_whole() -> None:
    case = golden("embeddings")
    assert batches(EmbeddingsRequest.of(case["request"])) == case["bodies"]
    sizes = [len(texts) for texts in case["bodies"]]
    assert json.loads(merge(case["answers"], sizes=sizes, model="Embeddings").data) == case["list"]


def test_the_plan_names_the_model_upstream_and_the_answer_keeps_the_clients_name() -> None:
    request = ChatRequest.of({"model": "gpt-4o", "messages": [said("user")]})
    translation = translated(request, model="GigaChat-2-Max")
    assert translation.body["model"] == "GigaChat-2-Max"
    chunks = streamed(translation, [event("Hi", finish="stop")])
    assert {chunk["model"] for chunk in chunks} == {"gpt-4o"}


def test_a_models_name_is_passed_through() -> None:
    assert translated(chat(), model="GigaChat-2:latest").body["model"] == "GigaChat-2:latest"


def test_the_cache_key_is_the_session() -> None:
    assert translated(chat(prompt_cache_key="user-1")).session == "user-1"


@pytest.mark.parametrize("key", ["with space", "ключ", "a\r\nb", "x" * 129])
def test_a_cache_key_that_is_unfit_for_a_header_is_hashed(key: str) -> None:
    session = translated(chat(prompt_cache_key=key)).session
    assert session is not None
    assert re.fullmatch("[0-9a-f]{32}", session)


def test_the_session_stays_the_same_throughout_a_conversation() -> None:
    opening = [said("system", "Be brief."), said("user", "Hi")]
    later = [*opening, said("assistant", "Hello."), said("user", "And now?")]
    tools = [tool("f")]
    first = translated(chat(*opening, tools=tools)).session
    assert first is not None
    assert translated(chat(*later, tools=tools, seed=1)).session == first


@pytest.mark.parametrize(
    ("conversation", "members"),
    [
        ([said("system", "Be long."), said("user", "Hi")], {}),
        ([said("system", "Be brief."), said("user", "Ho")], {}),
        ([said("system", "Be brief."), said("user", "Hi")], {"tools": [tool("f")]}),
    ],
)
def test_another_beginning_is_another_session(conversation: list[Any], members: dict[str, Any]) -> None:
    first = translated(chat(said("system", "Be brief."), said("user", "Hi"))).session
    assert translated(chat(*conversation, **members)).session != first


def test_a_conversation_without_a_user_has_no_session() -> None:
    assert translated(chat(said("system", "Be brief."))).session is None


def test_state_ids_and_a_native_schema_are_sent() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    with_both = translated(chat(said("user"), called((STATE_ID, "f", "{}")), result(STATE_ID), response_format=form))
    for body, expected in ((with_both.body, True), (translated(chat()).body, False)):
        assert ("response_format" in body) is expected
        assert any("functions_state_id" in message for message in body["messages"]) is expected


def test_prompts_stay_out_of_reprs() -> None:
    translation = translated(chat(said("system", "The password is swordfish."), said("user", "Hi")))
    assert "swordfish" not in repr(translation)


def test_parallel_tool_results_reach_gigachat_in_pairs_under_aliases() -> None:
    request = chat(
        said("user"),
        called(("1", "get-weather", "{}"), ("2", "web_search", "{}")),
        result("2", "two"),
        result("1", "one"),
        tools=[tool("get-weather"), tool("web_search")],
    )
    assert [(item["role"], item.get("name")) for item in messages(request)] == [
        ("user", None),
        ("assistant", None),
        ("function", "get_weather"),
        ("assistant", None),
        ("function", "f_web_search"),
    ]
    assert [item["name"] for item in translated(request).body["functions"]] == ["get_weather", "f_web_search"]
