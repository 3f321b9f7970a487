from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from xrouter_asgi.errors import InvalidRequest
from xrouter_asgi.wire import ChatRequest, EmbeddingsRequest
from xrouter_asgi.wire.validation import WireModel

HELLO = {"role": "user", "content": "hello"}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def chat(**members: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [HELLO], **members}


def without(value: dict[str, Any], member: str) -> dict[str, Any]:
    return {name: kept for name, kept in value.items() if name != member}


def user(*parts: object) -> dict[str, Any]:
    return chat(messages=[HELLO, {"role": "user", "content": [*parts]}])


def tool(value: object) -> dict[str, Any]:
    return chat(tools=[value])


def called(value: object) -> dict[str, Any]:
    return chat(messages=[{"role": "assistant", "tool_calls": [value]}])


def formatted(value: object) -> dict[str, Any]:
    return chat(response_format={"type": "json_schema", "json_schema": value})


MISSING, TYPE, VALUE = "missing_required_parameter", "invalid_type", "invalid_value"
TEXT = {"type": "text", "text": "x"}


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (without(chat(), "model"), MISSING, "model"),
        (without(chat(), "messages"), MISSING, "messages"),
        (chat(messages=[{"content": "x"}]), MISSING, "messages[0].role"),
        (chat(messages=[HELLO, {"role": "user"}]), MISSING, "messages[1].content"),
        (chat(messages=[{"role": "tool", "content": "x"}]), MISSING, "messages[0].tool_call_id"),
        (chat(messages=[{"role": "function"}]), MISSING, "messages[0].name"),
        (user({"text": "x"}), MISSING, "messages[1].content[0].type"),
        (user(TEXT, {"type": "text"}), MISSING, "messages[1].content[1].text"),
        (user({"type": "image_url"}), MISSING, "messages[1].content[0].image_url"),
        (user({"type": "image_url", "image_url": {}}), MISSING, "messages[1].content[0].image_url.url"),
        (user({"type": "file"}), MISSING, "messages[1].content[0].file"),
        (tool({}), MISSING, "tools[0].type"),
        (tool({"type": "function"}), MISSING, "tools[0].function"),
        (tool({"type": "function", "function": {}}), MISSING, "tools[0].function.name"),
        (called({}), MISSING, "messages[0].tool_calls[0].id"),
        (called({"id": "c", "function": {"name": "f"}}), MISSING, "messages[0].tool_calls[0].function.arguments"),
        (chat(tool_choice={}), MISSING, "tool_choice.type"),
        (chat(tool_choice={"type": "function", "function": {}}), MISSING, "tool_choice.function.name"),
        (chat(response_format={}), MISSING, "response_format.type"),
        (chat(response_format={"type": "json_schema"}), MISSING, "response_format.json_schema"),
        (formatted({}), MISSING, "response_format.json_schema.name"),
        (chat(model=None), TYPE, "model"),
        (chat(model=5), TYPE, "model"),
        (chat(messages="hello"), TYPE, "messages"),
        (chat(messages=["hello"]), TYPE, "messages[0]"),
        (chat(messages=[{"role": 1, "content": "x"}]), TYPE, "messages[0].role"),
        (chat(messages=[{"role": "user", "content": None}]), TYPE, "messages[0].content"),
        (chat(messages=[{"role": "user", "content": {"type": "text"}}]), TYPE, "messages[0].content"),
        (user("text"), TYPE, "messages[1].content[0]"),
        (user({"type": 1}), TYPE, "messages[1].content[0].type"),
        (user({"type": "text", "text": 1}), TYPE, "messages[1].content[0].text"),
        (user({"type": "image_url", "image_url": "https://x"}), TYPE, "messages[1].content[0].image_url"),
        (chat(stream="true"), TYPE, "stream"),
        (chat(stream=1), TYPE, "stream"),
        (chat(stream_options=True), TYPE, "stream_options"),
        (chat(stream_options={"include_usage": 1}), TYPE, "stream_options.include_usage"),
        (chat(max_tokens="5"), TYPE, "max_tokens"),
        (chat(max_tokens=5.5), TYPE, "max_tokens"),
        (chat(max_tokens=True), TYPE, "max_tokens"),
        (chat(temperature="hot"), TYPE, "temperature"),
        (chat(stop=5), TYPE, "stop"),
        (chat(stop={"a": 1}), TYPE, "stop"),
        (chat(stop=["a", 5]), TYPE, "stop[1]"),
        (chat(logit_bias=[]), TYPE, "logit_bias"),
        (chat(logit_bias={"50256": "x"}), TYPE, "logit_bias.50256"),
        (chat(tools={}), TYPE, "tools"),
        (tool("f"), TYPE, "tools[0]"),
        (tool({"type": "function", "function": {**FUNCTION, "parameters": []}}), TYPE, "tools[0].function.parameters"),
        (called({"id": "c", "function": "f"}), TYPE, "messages[0].tool_calls[0].function"),
        (chat(tool_choice=5), TYPE, "tool_choice"),
        (chat(function_call=5), TYPE, "function_call"),
        (chat(response_format="json_object"), TYPE, "response_format"),
        (formatted({"name": "n", "schema": "x"}), TYPE, "response_format.json_schema.schema"),
        (chat(metadata={"a": 1}), TYPE, "metadata.a"),
        (chat(messages=[]), "empty_array", "messages"),
        (chat(stop=[]), "empty_array", "stop"),
        (chat(model=""), VALUE, "model"),
        (chat(messages=[{"role": "robot", "content": "x"}]), VALUE, "messages[0].role"),
        (chat(tool_choice="perhaps"), VALUE, "tool_choice"),
        (user({"type": "image_url", "image_url": {"url": ""}}), VALUE, "messages[1].content[0].image_url.url"),
        (chat(n=0), "integer_below_min_value", "n"),
        (chat(n=129), "integer_above_max_value", "n"),
        (chat(max_tokens=0), "integer_below_min_value", "max_tokens"),
        (chat(max_completion_tokens=-1), "integer_below_min_value", "max_completion_tokens"),
        (chat(top_logprobs=21), "integer_above_max_value", "top_logprobs"),
        (chat(temperature=-0.1), "decimal_below_min_value", "temperature"),
        (chat(temperature=3), "decimal_above_max_value", "temperature"),
        (chat(top_p=1.01), "decimal_above_max_value", "top_p"),
        (chat(presence_penalty=-2.1), "decimal_below_min_value", "presence_penalty"),
        (chat(frequency_penalty=2.1), "decimal_above_max_value", "frequency_penalty"),
        (chat(logit_bias={"1": 101}), "decimal_above_max_value", "logit_bias.1"),
        (chat(stop=["a"] * 5), "array_above_max_length", "stop"),
        (chat(metadata={str(i): "x" for i in range(17)}), "object_above_max_properties", "metadata"),
    ],
)  # fmt: skip
def test_a_wrong_chat_request_is_told_by_code_and_path(body: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ChatRequest.of(body)
    error = caught.value
    assert (error.status, error.type, error.code, error.param) == (400, "invalid_request_error", code, param)
    assert f"'{param}'" in error.message
    assert error.message.endswith(".")
    assert error.__suppress_context__  # pydantic's own words hold the client's input


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"input": "x"}, MISSING, "model"),
        ({"model": "m"}, MISSING, "input"),
        ({"model": "m", "input": None}, TYPE, "input"),
        ({"model": "m", "input": {"a": 1}}, TYPE, "input"),
        ({"model": "m", "input": 5}, TYPE, "input"),
        ({"model": "m", "input": ["a", 5]}, TYPE, "input[1]"),
        ({"model": "m", "input": [5, "a"]}, TYPE, "input[1]"),
        ({"model": "m", "input": [True]}, TYPE, "input[0]"),
        ({"model": "m", "input": [[1], ["a"]]}, TYPE, "input[1][0]"),
        ({"model": "m", "input": []}, "empty_array", "input"),
        ({"model": "m", "input": [[]]}, "empty_array", "input[0]"),
        ({"model": "m", "input": ""}, VALUE, "input"),
        ({"model": "m", "input": ["a", ""]}, VALUE, "input[1]"),
        ({"model": "m", "input": ["a"] * 2049}, "array_above_max_length", "input"),
        ({"model": "m", "input": "x", "dimensions": 0}, "integer_below_min_value", "dimensions"),
        ({"model": "m", "input": "x", "dimensions": 65_537}, "integer_above_max_value", "dimensions"),
        ({"model": "m", "input": "x", "encoding_format": "int8"}, VALUE, "encoding_format"),
    ],
)
def test_a_wrong_embeddings_request_is_told_by_code_and_path(body: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        EmbeddingsRequest.of(body)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert f"'{param}'" in caught.value.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (chat(n=0), "Invalid value for 'n': 0 is below the minimum 1."),
        (chat(temperature=3), "Invalid value for 'temperature': 3 is above the maximum 2.0."),
        (chat(model=None), "Invalid type for 'model': expected a string, but got null instead."),
        (chat(stream=[]), "Invalid type for 'stream': expected a boolean, but got an array instead."),
        (chat(stop=5), "Invalid type for 'stop': expected a string or an array, but got an integer instead."),
        (chat(messages=[]), "Invalid value for 'messages': it must not be empty."),
        (
            chat(messages=[{"role": "robot" * 20, "content": "x"}]),
            f"Invalid value for 'messages[0].role': '{('robot' * 20)[:64]}' is not supported here.",
        ),
        (
            chat(tool_choice="x"),
            "Invalid value for 'tool_choice': expected one of 'none', 'auto' or 'required', but got 'x'.",
        ),
        (without(chat(), "model"), "Missing required parameter: 'model'."),
    ],
)
def test_messages_say_what_was_given_and_what_is_expected(body: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ChatRequest.of(body)
    assert caught.value.message == message


LONG = int("9" * 4300)


@pytest.mark.parametrize("name", ["m\0", "\r\nm", "m\n", "a\tb", "\x7f", "\x85", "m" * 257])
@pytest.mark.parametrize("kind", [ChatRequest, EmbeddingsRequest])
def test_a_name_of_a_model_is_short_and_without_control_characters(kind: type[WireModel], name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        kind.of({"model": name, "messages": [HELLO], "input": "x"})
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_value", "model")
    assert name not in caught.value.message


@pytest.mark.parametrize("name", ["m" * 256, "org/модель:1 (é)", "a\u2028b"])
def test_a_name_of_256_characters_in_any_script_is_accepted(name: str) -> None:
    assert ChatRequest.of(chat(model=name)).model == name


@pytest.mark.parametrize("number", [LONG, -LONG, 1 << 63])
@pytest.mark.parametrize("member", ["max_tokens", "max_completion_tokens", "n", "top_logprobs", "seed", "temperature"])
def test_a_number_of_thousands_of_digits_is_refused_in_few_words(member: str, number: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ChatRequest.of(chat(**{member: number}))
    assert (caught.value.status, caught.value.param) == (400, member)
    assert len(caught.value.message) < 200


def test_integers_have_32_bits_and_a_seed_64() -> None:
    accepted = chat(max_tokens=2**31 - 1, max_completion_tokens=2**31 - 1, seed=2**63 - 1)
    assert ChatRequest.of(accepted).seed == 2**63 - 1
    for tokens in ([2**31], [[2**31]]):
        with pytest.raises(InvalidRequest, match="2147483648 is above the maximum 2147483647"):
            EmbeddingsRequest.of({"model": "m", "input": tokens})
    with pytest.raises(InvalidRequest, match="2147483648 is above"):
        ChatRequest.of(chat(max_tokens=2**31))


def test_a_body_that_is_no_object_is_told_so() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ChatRequest.of([])
    assert caught.value.code == TYPE


def test_a_key_that_looks_like_one_of_our_tags_is_left_out_of_the_path() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ChatRequest.of(chat(metadata={"<string>": 1}))
    assert caught.value.param == "metadata"


def test_a_long_key_of_the_client_is_cut_short() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ChatRequest.of(chat(metadata={"k" * 100_000: 1}))
    assert caught.value.param == "metadata." + "k" * 247
    assert len(caught.value.message) < 400


def test_every_optional_member_may_be_null() -> None:
    optional = {name: None for name, field in ChatRequest.model_fields.items() if not field.is_required()}
    assert ChatRequest.of({**chat(), **optional}).stream is None
    nulls = {"encoding_format": None, "dimensions": None, "user": None}
    assert EmbeddingsRequest.of({"model": "m", "input": "x", **nulls}).dimensions is None


def test_unknown_members_are_kept() -> None:
    request = ChatRequest.of(chat(top_k=5, messages=[{**HELLO, "cache": True}]))
    assert request.model_extra == {"top_k": 5}
    assert request.messages[0].model_extra == {"cache": True}


def test_what_clients_send_back_is_accepted() -> None:
    assistant = {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "reasoning_content": "hm",
        "tool_calls": [CALL, {"id": "d", "type": "custom", "custom": {"name": "x", "input": "y"}}],
    }
    messages = [
        {"role": "developer", "content": [TEXT]},
        {"role": "system", "content": "x", "name": "n"},
        {"role": "user", "content": [TEXT, {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x", "detail": "low"}}]},
        assistant,
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "assistant"},
        {"role": "tool", "tool_call_id": "c", "content": [TEXT]},
        {"role": "function", "name": "f", "content": None},
    ]
    assert len(ChatRequest.of(chat(messages=messages)).messages) == len(messages)


def test_every_form_of_a_parameter_is_accepted() -> None:
    for body in (
        chat(stop="a"),
        chat(stop=["a", "b"]),
        chat(temperature=1),
        chat(logit_bias={"1": -100, "2": 0.5}),
        chat(tools=[{"type": "function", "function": FUNCTION}, {"type": "custom", "custom": {"name": "x"}}]),
        *(chat(tool_choice=mode) for mode in ("none", "auto", "required")),
        chat(tool_choice={"type": "function", "function": {"name": "f"}}),
        chat(tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}),
        chat(function_call="auto", functions=[FUNCTION]),
        chat(function_call={"name": "f"}),
        chat(response_format={"type": "json_object"}),
        formatted({"name": "n", "schema": {"type": "object"}, "strict": True}),
    ):
        assert ChatRequest.of(body).model_dump(by_alias=True, exclude_unset=True) == body
    for given in ("x", ["x", "y"], [1, 2], [[1], [2, 3]]):
        assert EmbeddingsRequest.of({"model": "m", "input": given}).input == given


def test_a_validated_request_is_accepted_again() -> None:
    request = ChatRequest.of(chat(tools=[{"type": "function", "function": FUNCTION}], stop=["a"]))
    assert ChatRequest(model="n", messages=request.messages, tools=request.tools).messages == request.messages


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({"stream": True, "stream_options": {"include_usage": True}}, True),
        ({"stream": True, "stream_options": {"include_usage": False}}, False),
        ({"stream": True, "stream_options": {}}, False),
        ({"stream": True, "stream_options": None}, False),
        ({"stream": True}, False),
        ({"stream": False, "stream_options": {"include_usage": True}}, False),
    ],
)
def test_usage_is_wanted_only_in_a_stream_that_asked_for_it(members: dict[str, Any], wanted: bool) -> None:
    assert ChatRequest.of(chat(**members)).include_usage is wanted


def test_a_rule_without_words_of_its_own_is_told_in_pydantics() -> None:
    class Even(WireModel):
        number: Annotated[int, Field(multiple_of=2)]

    with pytest.raises(InvalidRequest, match="multiple of 2") as caught:
        Even.of({"number": 3})
    assert caught.value.code == VALUE


def test_making_a_request_in_python_raises_pydantics_own_error() -> None:
    with pytest.raises(ValidationError):
        ChatRequest(model="m", messages=[])
