"""`response_format`, by each way of asking for it."""

from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.providers.gigachat.request.structured_output import without_fence

from ..translating import answered, chat, completed, event, finish_of, joined, refusal, said, streamed, tool, translated

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def shaped(schema: Any = SCHEMA, **members: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "the-answer", "schema": schema, **members}}


def instruction_of(body: dict[str, Any]) -> str:
    first = body["messages"][0]
    assert first["role"] == "system"
    return str(first["content"])


def test_text_is_what_gigachat_says_anyway() -> None:
    assert "response_format" not in translated(chat(response_format={"type": "text"})).body


def test_the_native_form_is_flat_and_has_no_name() -> None:
    translation = translated(chat(response_format=shaped(strict=True, description="An answer.")))
    assert translation.body["response_format"] == {
        "type": "json_schema",
        "schema": {**SCHEMA, "description": "An answer."},
        "strict": True,
    }
    assert translation.warnings == ()


def test_a_schemas_own_description_is_kept_and_strict_is_not_invented() -> None:
    described = {**SCHEMA, "description": "Mine."}
    body = translated(chat(response_format=shaped(described, description="Other."))).body
    assert body["response_format"] == {"type": "json_schema", "schema": described}


def test_the_native_form_goes_together_with_tools() -> None:
    body = translated(chat(response_format=shaped(), tools=[tool("f")])).body
    assert "response_format" in body
    assert body["function_call"] == "auto"


def test_one_forced_function_can_stand_for_the_schema() -> None:
    translation = translated(chat(response_format=shaped(description="An answer.")), structured="function")
    body = translation.body
    assert body["function_call"] == {"name": "the_answer"}
    assert [(item["name"], item["description"]) for item in body["functions"]] == [("the_answer", "An answer.")]
    assert body["functions"][0]["parameters"]["properties"] == {"n": {"type": "integer", "description": ""}}
    assert "response_format" not in body
    assert translation.warnings == ()


def test_the_arguments_of_the_forced_function_are_the_answer() -> None:
    translation = translated(chat(response_format=shaped()), structured="function")
    call = {"name": "the_answer", "arguments": {"n": "3"}}
    answer = answered("", finish="function_call", function_call=call)
    choice = completed(translation, answer, request_id="r").value["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": '{"n":3}', "refusal": None}
    assert choice["finish_reason"] == "stop"


def test_a_streamed_answer_by_the_forced_function_is_held_back_until_it_is_known() -> None:
    translation = translated(chat(response_format=shaped(), stream=True), structured="function")
    call = {"name": "the_answer", "arguments": {"n": 3}}
    chunks = streamed(
        translation, [event("Well", role="assistant"), event(function_call=call), event("", finish="stop")]
    )
    assert joined(chunks) == '{"n":3}'
    assert finish_of(chunks) == "stop"


def test_a_stop_sequence_cuts_the_arguments_too() -> None:
    translation = translated(chat(response_format=shaped(), stop=","), structured="function")
    call = {"name": "the_answer", "arguments": {"n": 3, "m": 4}}
    whole = completed(translation, answered("", function_call=call), request_id="r").value["choices"][0]
    chunks = streamed(translation, [event(function_call=call, finish="function_call")])
    assert (joined(chunks), finish_of(chunks)) == ('{"n":3', "stop")
    assert (whole["message"]["content"], whole["finish_reason"]) == ('{"n":3', "stop")


def test_text_instead_of_the_forced_function_is_the_answer_without_its_fence() -> None:
    translation = translated(chat(response_format=shaped()), structured="function")
    answer = answered('```json\n{"n":3}\n```')
    assert completed(translation, answer, request_id="r").value["choices"][0]["message"]["content"] == '{"n":3}'
    chunks = streamed(translation, [event('```json\n{"n":'), event("3}\n```", finish="stop")])
    assert joined(chunks) == '{"n":3}'


@pytest.mark.parametrize(
    ("schema", "members"),
    [(SCHEMA, {"tools": [tool("f")]}), ({"type": "array", "items": {"type": "string"}}, {})],
)
def test_where_a_function_cannot_stand_for_the_schema_words_do(schema: Any, members: dict[str, Any]) -> None:
    translation = translated(chat(response_format=shaped(schema), **members), structured="function")
    assert "JSON Schema" in instruction_of(translation.body)
    assert [item["name"] for item in translation.body.get("functions", [])] == (["f"] if members else [])
    assert translation.warnings == ("json_schema_emulated",)


def test_the_schema_can_be_asked_for_in_words() -> None:
    translation = translated(
        chat(said("system", "Be brief."), said("user"), response_format=shaped()), structured="prompt"
    )
    instruction = instruction_of(translation.body)
    assert instruction.startswith("Be brief.\n\n")
    assert '"properties":{"n":{"type":"integer"}}' in instruction
    assert translation.warnings == ("json_schema_emulated",)


@pytest.mark.parametrize("form", [{"type": "json_object"}, shaped({}), shaped(None)])
def test_any_object_is_asked_for_in_words_and_stripped_of_its_fence(form: dict[str, Any]) -> None:
    translation = translated(chat(response_format=form))
    assert "one JSON object" in instruction_of(translation.body)
    assert translation.warnings == ("json_object_emulated",)
    completion = completed(translation, answered('```json\n{"a":1}\n```'), request_id="r")
    assert completion.value["choices"][0]["message"]["content"] == '{"a":1}'


def test_a_streamed_object_passes_as_it_comes() -> None:
    translation = translated(chat(response_format={"type": "json_object"}, stream=True))
    assert joined(streamed(translation, [event('{"a"'), event(":1}", finish="stop")])) == '{"a":1}'


@pytest.mark.parametrize("form", [{"type": "json_object"}, shaped()])
def test_strictness_refuses_a_shape_that_is_only_asked_for(form: dict[str, Any]) -> None:
    assert refusal(chat(response_format=form), structured="prompt", strict=True) == (
        "response_format",
        "unsupported_parameter",
    )


def test_a_format_gigachat_lacks_is_refused() -> None:
    assert refusal(chat(response_format={"type": "grammar"})) == ("response_format.type", "unsupported_value")


def test_a_broken_reference_is_refused_with_its_place() -> None:
    form = shaped({"$ref": "#/$defs/Gone"})
    for mode in ("native", "prompt"):
        assert refusal(chat(response_format=form), structured=mode) == (
            "response_format.json_schema.schema",
            "invalid_value",
        )


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("```json\n{}\n```", "{}"),
        ("\n```\n[1]\n```\n", "[1]"),
        ("{}", "{}"),
        ("Look:\n```\n{}\n```", "Look:\n```\n{}\n```"),
        ("``````", "``````"),
        ("", ""),
    ],
)
def test_only_a_fence_around_everything_is_taken_off(text: str, bare: str) -> None:
    assert without_fence(text) == bare
