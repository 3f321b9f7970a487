"""Everything but the messages: tools, the shape of the answer, thinking, sampling, the cache."""

from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.errors import InvalidRequest, UnsupportedOperation
from xrouter_asgi.providers.anthropic import AnthropicOptions
from xrouter_asgi.providers.anthropic.schema import closed
from xrouter_asgi.testing.anthropic.rules import marked, sign

from .translating import LOOK, USER, call, calling, function, result, sent, translated

SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
HEAR = function("hear")
BUDGETED = "claude-sonnet-4-5"
SYSTEM: dict[str, Any] = {"role": "system", "content": "Be kind."}
MARK = {"type": "ephemeral"}


def test_a_request_that_says_nothing_more_is_short() -> None:
    assert sent() == {"model": "claude-opus-4-8", "max_tokens": 8192, "messages": [USER]}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_bound_of_the_output_is_the_clients_own(name: str) -> None:
    assert sent(**{name: 7})["max_tokens"] == 7
    assert sent(options={"max_tokens": 9})["max_tokens"] == 9


def test_functions_are_tools() -> None:
    strict = function("find", description="Finds.", parameters=SCHEMA, strict=True)
    assert sent(tools=[HEAR, strict])["tools"] == [
        {"name": "hear", "input_schema": {"type": "object", "properties": {}}},
        {
            "name": "find",
            "description": "Finds.",
            "input_schema": {**SCHEMA, "additionalProperties": False},
            "strict": True,
        },
    ]


def test_a_name_that_does_not_fit_has_an_alias_that_is_read_back() -> None:
    name = "mail.send_" + "x" * 70
    done = translated(USER, calling(call("a", name)), result("a"), tools=[function(name)], tool_choice=function(name))
    alias = done.body["tools"][0]["name"]
    assert len(alias) <= 64
    assert alias.startswith("mail_send_xx")
    assert done.body["tool_choice"] == {"type": "tool", "name": alias}
    assert done.body["messages"][1]["content"][0]["name"] == alias
    assert (done.names.to_client(alias), done.names.to_client("made_up")) == (name, "made_up")


@pytest.mark.parametrize(
    ("choice", "parallel", "wanted"),
    [
        (None, None, None),
        ("auto", True, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        (function("hear"), False, {"type": "tool", "name": "hear", "disable_parallel_tool_use": True}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_the_choice_of_tools_is_passed_on(choice: Any, parallel: bool | None, wanted: Any) -> None:
    body = sent(tools=[LOOK, HEAR], tool_choice=choice, parallel_tool_calls=parallel)
    assert body.get("tool_choice") == wanted


def test_tools_that_may_be_called_are_those_that_are_offered() -> None:
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [HEAR]}}
    body = sent(tools=[LOOK, HEAR], tool_choice=allowed)
    assert [tool["name"] for tool in body["tools"]] == ["hear"]
    assert body["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize("choice", ["auto", "none", None])
def test_without_tools_there_is_no_choice(choice: str | None) -> None:
    assert sent(tool_choice=choice, parallel_tool_calls=False).keys() == {"model", "max_tokens", "messages"}


def test_tools_of_earlier_calls_are_told_but_not_called() -> None:
    body = sent(USER, calling(call("a")), result("a"), parallel_tool_calls=False)
    assert body["tools"] == [{"name": "look", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "none"}


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({"tools": [LOOK, LOOK]}, "tools[1].function.name", "invalid_value"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type", "unsupported_value"),
        ({"functions": [{"name": "f"}]}, "functions", "unsupported_parameter"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tools": [LOOK], "tool_choice": function("x")}, "tool_choice", "invalid_value"),
        ({"tools": [LOOK], "tool_choice": {"type": "mcp"}}, "tool_choice.type", "unsupported_value"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools", "invalid_value"),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [1]}}},
            "tool_choice.allowed_tools.tools[0]",
            "invalid_value",
        ),
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"top_logprobs": 2}, "top_logprobs", "unsupported_parameter"),
        ({"modalities": ["audio"]}, "modalities", "unsupported_parameter"),
        ({"audio": {"voice": "x"}}, "audio", "unsupported_parameter"),
        ({"web_search_options": {}}, "web_search_options", "unsupported_parameter"),
        ({"stop": ["x", "\n"]}, "stop", "unsupported_value"),
        ({"top_k": "many"}, "top_k", "invalid_value"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "invalid_value"),
        ({"thinking": True}, "thinking", "unsupported_value"),
        ({"response_format": {"type": "grammar"}}, "response_format.type", "unsupported_value"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
            "invalid_value",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused(members: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        translated(**members)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert isinstance(caught.value, UnsupportedOperation) == code.startswith("unsupported")


def test_a_schema_is_asked_for_as_the_api_takes_it() -> None:
    inner = {"type": "array", "items": SCHEMA, "minItems": 1}
    schema = {
        "$defs": {"a": SCHEMA, "any": True},
        "type": "object",
        "properties": {"list": inner, "one": {"anyOf": [SCHEMA, {"type": "null"}, True]}},
        "additionalProperties": {"type": "object"},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    shut = {**SCHEMA, "additionalProperties": False}
    assert closed(schema) == {
        "$defs": {"a": shut, "any": True},
        "type": "object",
        "properties": {"list": {**inner, "items": shut}, "one": {"anyOf": [shut, {"type": "null"}, True]}},
        "additionalProperties": {"type": "object", "additionalProperties": False},
    }
    del schema["additionalProperties"]
    assert sent(response_format=wanted)["output_config"]["format"] == {"type": "json_schema", "schema": closed(schema)}


def test_an_object_is_asked_for_in_words() -> None:
    done = translated({"role": "system", "content": "Be kind."}, USER, response_format={"type": "json_object"})
    assert done.body["system"].startswith("Be kind.\n\nAnswer with one JSON object")
    assert done.warnings == ["json_object_emulated"]
    assert sent(response_format={"type": "text"}) == sent()


class TestThinking:
    @pytest.mark.parametrize(
        ("effort", "wanted"), [("minimal", "low"), ("low", "low"), ("medium", "medium"), ("xhigh", "xhigh")]
    )
    def test_effort_is_passed_on(self, effort: str, wanted: str) -> None:
        body = sent(reasoning_effort=effort)
        assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
        assert body["output_config"] == {"effort": wanted}

    def test_none_is_none(self) -> None:
        assert sent(reasoning_effort="none")["thinking"] == {"type": "disabled"}

    def test_a_model_that_does_not_reason_is_not_asked_to(self) -> None:
        done = translated(model="deepseek-chat", reasoning_effort="high")
        assert "thinking" not in done.body
        assert done.warnings == ["reasoning_effort_ignored"]

    @pytest.mark.parametrize(
        ("effort", "limit", "budget", "bound"),
        [
            ("low", None, 4096, 12288),
            ("medium", None, 16384, 24576),
            ("max", None, 32768, 40960),
            ("high", 10000, 5000, 10000),
            ("low", 1500, 1024, 1500),
        ],
    )
    def test_older_models_get_a_budget(self, effort: str, limit: int | None, budget: int, bound: int) -> None:
        body = sent(model=BUDGETED, reasoning_effort=effort, max_completion_tokens=limit)
        assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
        assert body["max_tokens"] == bound

    def test_a_budget_that_does_not_fit_is_left_out(self) -> None:
        done = translated(model=BUDGETED, reasoning_effort="low", max_tokens=1024)
        assert (done.body.get("thinking"), done.warnings) == (None, ["reasoning_effort_ignored"])

    def test_it_goes_on_with_a_budget_only_where_it_began_with_thinking(self) -> None:
        block = {"type": "thinking", "thinking": "Hm.", "signature": sign("Hm.")}
        for members, thinks in (({}, False), ({"thinking_blocks": [block]}, True)):
            messages = [USER, calling(call("a"), **members), result("a")]
            done = translated(*messages, model=BUDGETED, reasoning_effort="low", tools=[LOOK])
            assert ("thinking" in done.body) is thinks
            assert done.body["max_tokens"] == (12288 if thinks else 8192)
            assert done.warnings == ([] if thinks else ["reasoning_effort_ignored"])

    @pytest.mark.parametrize("model", [BUDGETED, "claude-opus-4-8"])
    def test_it_gives_way_to_a_tool_that_has_to_be_called(self, model: str) -> None:
        done = translated(model=model, reasoning_effort="high", tools=[LOOK], tool_choice="required")
        assert "thinking" not in done.body

    def test_the_upstreams_own_parameter_is_passed_on(self) -> None:
        own = {"type": "enabled", "budget_tokens": 2000}
        assert sent(thinking=own)["thinking"] == own
        body = sent(thinking=own, reasoning_effort="high")
        assert (body["thinking"], body["output_config"]) == (own, {"effort": "high"})
        assert sent(model=BUDGETED, thinking=own, reasoning_effort="low")["thinking"] == own
        assert sent(thinking=own, reasoning_effort="none")["thinking"] == own

    def test_it_leaves_no_choice_of_how_to_sample(self) -> None:
        done = translated(reasoning_effort="low", temperature=0.5, top_p=0.5, top_k=3)
        assert done.warnings == ["temperature_ignored", "top_p_ignored", "top_k_ignored"]
        assert translated(reasoning_effort="low", temperature=1, top_p=1).warnings == []


@pytest.mark.parametrize(
    ("members", "wanted", "warnings"),
    [
        ({"temperature": 0}, {"temperature": 0}, []),
        ({"temperature": 1}, {"temperature": 1}, []),
        ({"temperature": 1.5}, {"temperature": 1}, ["temperature_lowered"]),
        ({"top_p": 0.5, "top_k": 4}, {"top_p": 0.5, "top_k": 4}, []),
        ({"top_p": 1, "temperature": 0.5}, {"temperature": 0.5}, []),
        ({"top_p": 0.5, "temperature": 1}, {"top_p": 0.5}, []),
        ({"top_p": 0.5, "temperature": 0.5}, {"temperature": 0.5}, ["top_p_ignored"]),
        ({"stop": "END"}, {"stop_sequences": ["END"]}, []),
        ({"stop": ["A", "B"]}, {"stop_sequences": ["A", "B"]}, []),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}, []),
        (
            {"seed": 0, "logit_bias": {"1": 2}, "presence_penalty": 1},
            {},
            ["seed_ignored", "logit_bias_ignored", "presence_penalty_ignored"],
        ),
        ({"presence_penalty": 0, "logprobs": False, "n": 1, "modalities": ["text"]}, {}, []),
        ({"store": True, "service_tier": "auto", "prompt_cache_key": "k", "metadata": {"a": "b"}}, {}, []),
        ({"verbosity": "low", "made_up": 1, "nothing": None}, {}, ["verbosity_ignored", "made_up_ignored"]),
    ],
)
def test_every_parameter_is_mapped_or_told(
    members: dict[str, Any], wanted: dict[str, Any], warnings: list[str]
) -> None:
    done = translated(**members)
    assert done.body == {**sent(), **wanted}
    assert done.warnings == warnings


@pytest.mark.parametrize("name", ["user", "safety_identifier"])
def test_who_asks_is_told_by_a_pseudonym(name: str) -> None:
    digest = "71d4f55f72fa128dfb468a1a3901507c804b74316488744d769d7f4b16696476"
    assert sent(**{name: "ann@example.com"})["metadata"] == {"user_id": digest}


class TestCache:
    def test_nothing_is_marked_unless_it_is_wanted(self) -> None:
        assert [*marked(sent(SYSTEM, USER, tools=[LOOK]))] == []

    def test_auto_marks_the_instructions_and_the_last_tool(self) -> None:
        body = sent(SYSTEM, SYSTEM, USER, tools=[HEAR, LOOK], options={"cache": "auto"})
        text = {"type": "text", "text": "Be kind."}
        assert body["system"] == [text, {**text, "cache_control": MARK}]
        assert [tool.get("cache_control") for tool in body["tools"]] == [None, MARK]
        assert sent(options={"cache": "auto"}) == sent()

    def test_marks_of_the_clients_are_passed_on_and_stand_alone(self) -> None:
        part = {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
        tool = function("look", cache_control=MARK)
        for message, tools in (({"role": "user", "content": [part]}, [HEAR]), (USER, [tool])):
            body = sent(SYSTEM, message, tools=tools, options={"cache": "auto"})
            assert len([*marked(body)]) == 1
            assert body["system"] == "Be kind."
        assert sent({"role": "system", "content": [part]}, USER)["system"] == [part]


@pytest.mark.parametrize("options", [{"max_tokens": 0}, {"reasoning_models": ("*a*",)}, {"budget_models": ("*", "**")}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        AnthropicOptions(**options)
