"""Each known upstream: how it is told who asks and what, and that what it says is understood.

The answers have the shapes that each upstream documents or was recorded with, written anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, get_args

import pytest

from tests.asgi_client import get, post
from xrouter_asgi.providers.presets import PRESETS, PresetKind
from xrouter_asgi.settings import Settings, SettingsError
from xrouter_asgi.standalone import build_router
from xrouter_asgi.testing.http import Handler
from xrouter_asgi.testing.openai import DONE, FakeOpenAI, stream, whole

ENVIRONMENT = {row.key: "the-key" for row in PRESETS.values() if row.key is not None}
MODEL = "a/model"


def chunk(delta: dict[str, Any], finish: str | None = None, **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice], **members}


COUNTED = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
WORDS = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hello "}), chunk({"content": "there"})]
END = chunk({}, "stop")
ALONE = {**END, "choices": [], "usage": COUNTED}
"""OpenAI's own way to tell the usage, which most have taken over."""

SHAPES: dict[str, Sequence[object]] = {
    "azure": [{**END, "id": "", "model": "", "choices": [], "prompt_filter_results": []}, *WORDS, END, ALONE],
    "cloudru": [*WORDS, END, ALONE],
    "deepseek": [
        chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
        chunk({"content": None, "reasoning_content": "Greet."}),
        *WORDS[1:],
        chunk({"content": "", "reasoning_content": None}, "stop", usage={**COUNTED, "prompt_cache_hit_tokens": 0}),
    ],
    "fireworks": [*WORDS, {**END, "usage": COUNTED}],
    "gemini": [chunk({"role": "assistant", "content": "Hello "}), chunk({"content": "there"}, "stop", usage=COUNTED)],
    "groq": [*WORDS, {**END, "x_groq": {"id": "req_1", "usage": {**COUNTED, "queue_time": 0.1, "total_time": 0.2}}}],
    "llamacpp": [*WORDS, {**END, "timings": {"prompt_n": 3}}, ALONE],
    "lmstudio": [*WORDS, {**END, "system_fingerprint": MODEL}, ALONE],
    "mistral": [*WORDS, {**END, "usage": COUNTED}],
    "moonshot": [*WORDS, {**END, "choices": [{**END["choices"][0], "usage": COUNTED}]}],
    "ollama": [*(chunk({"role": "assistant", "content": word}) for word in ("Hello ", "there")), END, ALONE],
    "openrouter": [b": OPENROUTER PROCESSING\n\n", *WORDS, {**END, "provider": "X"}, ALONE],
    "qwen": [*WORDS, END, ALONE],
    "together": [*WORDS, {**END, "usage": COUNTED}],
    "vllm": [*WORDS, {**END, "choices": [{**END["choices"][0], "stop_reason": None}]}, ALONE],
    "xai": [*({**word, "usage": COUNTED} for word in WORDS), {**END, "usage": COUNTED}],
    "yandex": [*WORDS, END, ALONE],
    "zai": [chunk({"role": "assistant", "reasoning_content": "Greet."}), *WORDS[1:], {**END, "usage": COUNTED}],
}


def settings(kind: str, base_url: str, **table: Any) -> Settings:
    row = PRESETS[kind]
    known = {"kind": kind, "base_url": base_url, **({"folder": "b1g"} if row.model_prefix else {}), **table}
    document = {
        "providers": {"up": known},
        "models": {"m": {"targets": [f"up/{MODEL}"]}, "all-*": {"targets": ["up/*"]}},
    }
    return Settings.parse(document, environment=ENVIRONMENT)


def models(kind: str) -> Handler:
    prefix = "gpt://b1g/" if kind == "yandex" else ""
    return whole({"object": "list", "data": [{"id": f"{prefix}{MODEL}", "object": "model"}]})


@pytest.mark.parametrize("kind", PRESETS)
async def test_it_is_asked_and_understood(kind: str) -> None:
    row = PRESETS[kind]
    request = {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "Hi"}],
    }
    async with FakeOpenAI() as fake:
        fake.next(stream(*SHAPES[kind], end=DONE), models(kind))
        router = build_router(settings(kind, fake.base_url))
        async with router.lifespan():
            answer = await post(router, "/v1/chat/completions", request)
            listed = await get(router, "/v1/models")
    said = "".join(
        choice["delta"].get("content") or ""
        for event in answer.events
        if event != "[DONE]"
        for choice in event["choices"]
    )
    assert said == "Hello there"
    assert answer.events[-2]["usage"]["total_tokens"] == 5
    assert {"m", f"all-{MODEL}"} <= {model["id"] for model in listed.json["data"]}
    sent = fake.requests[0].headers
    assert sent.get("authorization") == ("Bearer the-key" if row.key and not row.key_header else None)
    assert sent.get("api-key") == ("the-key" if kind == "azure" else None)
    assert sent.get("openai-project") == ("b1g" if kind == "yandex" else None)


@pytest.mark.parametrize("kind", PRESETS)
async def test_what_is_translated_is_spelled_as_it_takes_it(kind: str) -> None:
    options = PRESETS[kind].options
    request = {"model": "m", "input": "Hi", "max_output_tokens": 70}
    async with FakeOpenAI() as fake:
        router = build_router(settings(kind, fake.base_url))
        async with router.lifespan():
            assert (await post(router, "/v1/responses", request)).status == 200
    assert fake.last[options.output_limit or "max_tokens"] == 70
    assert fake.last["model"] == (f"gpt://b1g/{MODEL}" if kind == "yandex" else MODEL)


WRITTEN: dict[str, dict[str, Any]] = {
    "responses": {"model": "m", "input": "Hi", "store": False, "tools": [{"type": "web_search"}]},
    "messages": {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "top_k": 3},
}
ANSWERED: dict[str, dict[str, Any]] = {
    "responses": {"id": "resp_1", "object": "response", "status": "completed", "output": [], "usage": None},
    "messages": {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "stop_reason": "end_turn"},
}


@pytest.mark.parametrize("dialect", WRITTEN)
@pytest.mark.parametrize("kind", PRESETS)
async def test_what_it_speaks_is_passed_on(kind: str, dialect: str) -> None:
    speaks = dialect in PRESETS[kind].speaks
    async with FakeOpenAI() as fake:
        if speaks:
            fake.next(whole(ANSWERED[dialect]))
        router = build_router(settings(kind, fake.base_url))
        async with router.lifespan():
            answer = await post(router, f"/v1/{dialect}", WRITTEN[dialect])
    assert (answer.json == ANSWERED[dialect]) is speaks
    (asked,) = fake.requests
    assert asked.path == (f"/v1/{dialect}" if speaks else "/v1/chat/completions")
    if speaks:
        name = f"gpt://b1g/{MODEL}" if kind == "yandex" else MODEL
        assert fake.last == {**WRITTEN[dialect], "model": name}
        assert asked.headers.get("api-key") == ("the-key" if kind == "azure" else None)
        assert asked.headers.get("openai-project") == ("b1g" if kind == "yandex" else None)


async def test_the_settings_say_what_another_upstream_speaks() -> None:
    async with FakeOpenAI() as fake:
        fake.next(whole(ANSWERED["messages"]))
        table = {"kind": "openai", "base_url": fake.base_url, "api_key": "env:K", "speaks": ["messages"]}
        document = {"providers": {"up": table}, "models": {"m": {"targets": ["up/x"]}}}
        router = build_router(Settings.parse(document, environment={"K": "the-key"}))
        async with router.lifespan():
            assert (await post(router, "/v1/messages", WRITTEN["messages"])).json == ANSWERED["messages"]
            await post(router, "/v1/responses", WRITTEN["responses"])
    assert [each.path for each in fake.requests] == ["/v1/messages", "/v1/chat/completions"]
    assert fake.requests[0].headers["authorization"] == "Bearer the-key"


def test_the_kinds_of_the_settings_are_the_rows() -> None:
    assert get_args(PresetKind) == tuple(PRESETS)


def test_each_row_has_its_source_and_the_day_it_was_checked() -> None:
    for row in PRESETS.values():
        assert row.source.startswith("https://")
        assert date.fromisoformat(row.checked) >= date(2026, 11, 30)


def table_of(text: dict[str, Any], **environment: str) -> Any:
    return Settings.parse({"providers": {"up": text}}, environment=environment).providers["up"]


def test_what_is_written_comes_before_the_row() -> None:
    table = table_of(
        {
            "kind": "groq",
            "base_url": "https://x.example/v1",
            "api_key": "env:MINE",
            "options": {"reasoning": "reasoning"},
        },
        MINE="mine",
        GROQ_API_KEY="the-other",
    )
    assert (table.base_url, table.api_key.get_secret_value()) == ("https://x.example/v1", "mine")
    assert (table.options.reasoning, table.options.output_limit) == ("reasoning", "max_completion_tokens")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"kind": "deepseek"}, "has no key. Set the environment variable DEEPSEEK_API_KEY, or write api_key ="),
        ({"kind": "azure", "api_key": "env:K"}, ".base_url is missing. Write it."),
        ({"kind": "yandex", "api_key": "env:K"}, "has no 'folder'. Write the id of the folder"),
        ({"kind": "yandex", "folder": "f"}, "has no key. Set the environment variable YANDEX_API_KEY"),
        ({"kind": "yandex", "api_key": "env:K", "folder": "f", "own_key": True}, "has 'own_key', but its 'folder'"),
        ({"kind": "groq", "api_key": "env:K", "folder": "f"}, "has a 'folder', which only kind = \"yandex\" knows."),
        ({"kind": "openai", "base_url": "http://x", "folder": "f"}, "has a 'folder', which only kind"),
        ({"kind": "ollama", "options": 5}, ".options is no table."),
    ],
)
def test_what_a_kind_lacks_is_told(table: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        table_of(table, K="k")
    assert caught.value.problems[0].removeprefix("settings: providers.up").strip().startswith(told)


@pytest.mark.parametrize("table", [{"kind": "vllm"}, {"kind": "groq", "own_key": "required"}])
def test_no_key_is_needed_where_none_is_asked_for_or_callers_bring_theirs(table: dict[str, Any]) -> None:
    assert table_of(table).api_key is None


def test_a_name_with_a_scheme_is_the_upstreams_own() -> None:
    table = table_of({"kind": "yandex", "api_key": "env:K", "folder": "b1g"}, K="k")
    assert table.upstream_name("emb://b1g/text-search-doc/latest") == "emb://b1g/text-search-doc/latest"
    assert table.upstream_name("*") == "gpt://b1g/*"
