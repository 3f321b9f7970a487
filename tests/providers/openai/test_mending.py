"""What clients are promised is made good: in events, in whole answers, and in whole answers that become a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xrouter_asgi.providers.http import ErrorReader, Redaction
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.providers.openai.chunks import ChunkReader
from xrouter_asgi.testing.openai import FakeOpenAI, event, stream, whole
from xrouter_asgi.testing.openai_answers import chunk, completion
from xrouter_asgi.wire import ChatChunk, ChatCompletion, ChatRequest

from .calls import chat, read, stream_of

HEAD = ("id", "object", "created", "model")
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
GOOD = completion({"model": "m", "messages": [{"role": "user", "content": "hi"}]})


def chunks_of(*events: object, choices: int = 1) -> list[dict[str, Any]]:
    reader = ChunkReader(choices=choices, hide_usage=False, model="asked", errors=ErrorReader(Redaction()))
    chunks: list[ChatChunk] = [*reader.feed(b"".join(map(event, events))), *reader.close()]
    assert reader.failure is None
    assert [json.loads(chunk.data) for chunk in chunks] == [chunk.value for chunk in chunks]
    return [chunk.value for chunk in chunks]


def answer(message: dict[str, Any], finish: Any = "stop", **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {**GOOD, "choices": [choice], **members}


def calling(*calls: dict[str, Any]) -> dict[str, Any]:
    return answer({"role": "assistant", "content": None, "tool_calls": [*calls]}, "tool_calls")


def without(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: member for other, member in value.items() if other != name}


async def both(fake: FakeOpenAI, provider: OpenAIProvider, sent: dict[str, Any]) -> list[dict[str, Any]]:
    """The message of the first choice of one upstream's whole answer, as it comes whole, and as a stream."""
    fake.next(whole(sent), whole(sent))
    reply = await provider.send(chat(model="asked"))
    assert isinstance(reply.body, ChatCompletion)
    assert json.loads(reply.body.data) == reply.body.value
    streamed = await read(await stream_of(provider, chat(model="asked", stream=True)))
    delta = streamed[0].value["choices"][0]["delta"]
    calls = [without(call, "index") for call in delta.get("tool_calls") or ()]
    message: dict[str, Any] = reply.body.value["choices"][0]["message"]
    return [message, {**delta, "tool_calls": calls} if calls else delta]


ROLES = [{}, {"role": ""}, {"role": None}, {"role": "model"}, {"role": 1}]


@pytest.mark.parametrize("said", ROLES)
def test_the_first_delta_of_each_choice_says_that_the_assistant_speaks(said: dict[str, Any]) -> None:
    first, again = chunk({**said, "content": "a"}), chunk({"content": "b"})
    assert [value["choices"][0]["delta"].get("role") for value in chunks_of(first, again)] == ["assistant", None]
    both = [{**first, "choices": [{**first["choices"][0], "index": index} for index in (0, 1)]}]
    (passed,) = chunks_of(*both, choices=2)
    assert [choice["delta"]["role"] for choice in passed["choices"]] == ["assistant", "assistant"]
    apart = chunks_of(first, {**both[0], "choices": [both[0]["choices"][1]]}, again, choices=2)
    assert [value["choices"][0]["delta"].get("role") for value in apart] == ["assistant", "assistant", None]


@pytest.mark.parametrize("said", ROLES)
async def test_a_whole_message_says_that_the_assistant_speaks(
    fake: FakeOpenAI, provider: OpenAIProvider, said: dict[str, Any]
) -> None:
    for message in await both(fake, provider, answer({**said, "content": "a"})):
        assert message == {"role": "assistant", "content": "a"}


def test_a_later_delta_says_no_other_role() -> None:
    for finish in (None, "stop"):
        _, passed = chunks_of(chunk({"role": "assistant"}), chunk({"role": "model", "content": "a"}, finish))
        assert passed["choices"][0]["delta"]["role"] == "assistant"


@pytest.mark.parametrize("told", [{}, {"id": None}, {"id": ""}, {"id": []}, {"id": True}, {"id": 1.5}])
async def test_calls_without_an_id_get_one_each(
    fake: FakeOpenAI, provider: OpenAIProvider, told: dict[str, Any]
) -> None:
    sent = {**without(CALL, "id"), **told}
    for message in await both(fake, provider, calling(sent, sent)):
        first, second = message["tool_calls"]
        assert first["id"].startswith("call_")
        assert second["id"].startswith("call_")
        assert first["id"] != second["id"]
        assert without(first, "id") == without(CALL, "id")
    deltas = [chunk({"tool_calls": [{**sent, "index": index}]}) for index in (0, 1)]
    ids = [value["choices"][0]["delta"]["tool_calls"][0]["id"] for value in chunks_of(*deltas)]
    assert len({each for each in ids if each.startswith("call_")}) == 2


@pytest.mark.parametrize("told", [{}, {"type": None}, {"type": ""}, {"type": "tool"}, {"type": 1}, {"type": []}])
async def test_a_call_has_a_type_that_clients_know(
    fake: FakeOpenAI, provider: OpenAIProvider, told: dict[str, Any]
) -> None:
    sent = {**without(CALL, "type"), **told}
    for message in await both(fake, provider, calling(sent)):
        assert message["tool_calls"] == [CALL]
    (passed,) = chunks_of(chunk({"tool_calls": [{**sent, "index": 0}]}))
    assert passed["choices"][0]["delta"]["tool_calls"] == [{**CALL, "index": 0}]


async def test_an_integer_id_is_its_text(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    sent = [{**CALL, "id": 0}, {**CALL, "id": 7}]
    for message in await both(fake, provider, calling(*sent)):
        assert [call["id"] for call in message["tool_calls"]] == ["0", "7"]
    fragments = [{**call, "index": index} for index, call in enumerate(sent)]
    (passed,) = chunks_of(chunk({"tool_calls": fragments}))
    assert [call["id"] for call in passed["choices"][0]["delta"]["tool_calls"]] == ["0", "7"]
    later = chunks_of(chunk({"tool_calls": [{"id": 7, "function": {"name": "f"}}]}), chunk({"tool_calls": [sent[1]]}))
    assert [value["choices"][0]["delta"]["tool_calls"][0]["index"] for value in later] == [0, 0]


async def test_one_id_does_not_name_two_whole_calls(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    for message in await both(fake, provider, calling(CALL, CALL)):
        first, second = (call["id"] for call in message["tool_calls"])
        assert first == "c"
        assert second.startswith("call_")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"a": "я", "b": [1]}, '{"a":"я","b":[1]}'),
        ({}, "{}"),
        ([1], "[1]"),
        (5, "5"),
        ('{"a": 1}', '{"a": 1}'),
    ],
)
async def test_arguments_are_a_text(fake: FakeOpenAI, provider: OpenAIProvider, arguments: Any, text: str) -> None:
    function = {"name": "f", "arguments": arguments}
    for message in await both(fake, provider, calling({**CALL, "function": function})):
        assert message["tool_calls"] == [{**CALL, "function": {"name": "f", "arguments": text}}]
    (passed,) = chunks_of(chunk({"tool_calls": [{**CALL, "index": 0, "function": function}]}))
    assert passed["choices"][0]["delta"]["tool_calls"][0]["function"] == {"name": "f", "arguments": text}


async def test_missing_arguments_are_none(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    for sent in ({"name": "f", "arguments": None}, {"name": "f", "arguments": ""}, {"name": "f"}):
        for message in await both(fake, provider, calling({**CALL, "function": sent})):
            assert message["tool_calls"] == [CALL]
        call = {**CALL, "index": 0, "function": sent}
        _, passed = chunks_of(chunk({"tool_calls": [call]}), chunk({}, "tool_calls"))
        assert passed["choices"][0]["delta"]["tool_calls"] == [{"index": 0, "function": {"arguments": "{}"}}]
        (passed,) = chunks_of(chunk({"tool_calls": [call]}, "tool_calls"))
        said, rest = passed["choices"][0]["delta"]["tool_calls"]
        assert (said["function"].get("arguments") or "", rest["function"]) == ("", {"arguments": "{}"})


def test_a_call_waits_for_its_name_and_the_event_goes_on_without_it() -> None:
    begun = {**CALL, "index": 0, "function": {"name": None, "arguments": ""}}
    named = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    first, second, *rest = chunks_of(
        chunk({"role": "assistant", "content": None, "tool_calls": [begun]}),
        chunk({"tool_calls": [named]}),
        chunk({}, "tool_calls"),
    )
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert second["choices"][0]["delta"] == {"tool_calls": [{**CALL, "index": 0}]}
    assert rest == [chunk({}, "tool_calls")]


@pytest.mark.parametrize(("arguments", "text"), [({"a": 1}, '{"a":1}'), (None, "{}"), ("{", "{")])
def test_arguments_that_were_once_passed_on_are_taken_back(arguments: Any, text: str) -> None:
    message = {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": arguments}}]}
    request = ChatRequest.of({"model": "m", "messages": [message]})
    assert request.messages[0].tool_calls[0].function.arguments == text  # type: ignore[union-attr,index]


ODD: list[Any] = [None, "", [], True]
BAD_HEADS: list[tuple[str, Any]] = [
    *((name, bad) for name in HEAD for bad in ODD),
    ("created", "soon"),
    ("created", 1e300),
    ("object", "chat.completion.thing"),
]


@pytest.mark.parametrize(("name", "bad"), BAD_HEADS)
async def test_the_head_has_what_it_must(fake: FakeOpenAI, provider: OpenAIProvider, name: str, bad: Any) -> None:
    made = {"model": "asked", "object": "chat.completion"}
    for sent in ({**GOOD, name: bad}, without(GOOD, name)):
        fake.next(whole(sent), whole(sent))
        reply = await provider.send(chat(model="asked"))
        assert isinstance(reply.body, ChatCompletion)
        value = json.loads(reply.body.data)
        assert without(value, name) == without(GOOD, name)
        assert type(value[name]) is type(GOOD[name])
        assert value[name] == made.get(name, value[name]) != ""
        for each in await read(await stream_of(provider, chat(model="asked", stream=True))):
            assert type(each.value[name]) is type(GOOD[name])
            assert each.value["object"] == "chat.completion.chunk"


@pytest.mark.parametrize(("name", "bad"), BAD_HEADS)
def test_all_chunks_of_an_answer_have_the_same_head(name: str, bad: Any) -> None:
    good, word = chunk({"role": "assistant"}), {**chunk({"content": "a"}), name: bad}
    after = chunks_of(good, word, without(word, name), word)
    assert {json.dumps([value[each] for each in HEAD]) for value in after} == {
        json.dumps([good[each] for each in HEAD])
    }
    alone = chunks_of(word, word, without(word, name))
    assert len({json.dumps([value[each] for each in HEAD]) for value in alone}) == 1
    assert all(type(value[name]) is type(good[name]) for value in alone)


def test_numbers_in_the_head_are_read_as_they_are_meant() -> None:
    (passed,) = chunks_of({**chunk({}), "id": 5, "created": 1.7e9, "model": 4})
    assert (passed["id"], repr(passed["created"]), passed["model"]) == ("5", "1700000000", "4")
    (passed,) = chunks_of({**chunk({}), "created": "1700000000"})
    assert passed["created"] == 1_700_000_000


@pytest.mark.parametrize("missing", [None, ""])
async def test_what_is_whole_says_how_it_ended(fake: FakeOpenAI, provider: OpenAIProvider, missing: Any) -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    for message, reason in ({"role": "assistant", "content": "a"}, "stop"), (called, "tool_calls"):
        fake.next(whole(answer(message, missing)), whole(answer(message, missing)))
        reply = await provider.send(chat())
        assert isinstance(reply.body, ChatCompletion)
        assert reply.body.value["choices"][0]["finish_reason"] == reason
        chunks = await read(await stream_of(provider))
        assert chunks[1].value["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize("indexes", [[None, None], [5, 6], [0, 0], ["0", "1"], [True, False], [1]])
async def test_the_choices_of_a_whole_answer_are_numbered(
    fake: FakeOpenAI, provider: OpenAIProvider, indexes: list[Any]
) -> None:
    message = {"role": "assistant", "content": "a"}
    fake.next(whole({**GOOD, "choices": [{"index": index, "message": message} for index in indexes]}))
    reply = await provider.send(chat(n=2))
    assert isinstance(reply.body, ChatCompletion)
    assert [repr(choice["index"]) for choice in reply.body.value["choices"]] == ["0", "1"][: len(indexes)]


async def test_choices_in_another_order_keep_their_numbers(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    sent = {**GOOD, "choices": [{**GOOD["choices"][0], "index": index} for index in (1, 0)]}
    data = json.dumps(sent, indent=1).encode()
    fake.next(whole(data), whole(data))
    reply = await provider.send(chat(n=2))
    assert isinstance(reply.body, ChatCompletion)
    assert reply.body.data == data
    chunks = await read(await stream_of(provider, chat(n=2, stream=True)))
    assert [choice["index"] for chunk in chunks for choice in chunk.value["choices"]] == [0, 0, 1, 1]


@pytest.mark.parametrize("call", [{**CALL, "function": "f"}, {**CALL, "function": [1]}])
async def test_a_call_of_another_shape_is_bad(fake: FakeOpenAI, provider: OpenAIProvider, call: dict[str, Any]) -> None:
    fake.next(whole(calling(call)))
    with pytest.raises(Exception, match="another shape"):
        await provider.send(chat())


async def test_a_stream_is_mended_over_a_socket(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    called = {"index": 0, "id": 3, "function": {"name": "f", "arguments": {"a": 1}}}
    fake.next(
        stream({"choices": [{"delta": {"tool_calls": [called]}}]}, {"choices": [{"finish_reason": "tool_calls"}]})
    )
    first, last = await read(await stream_of(provider))
    assert first.value["choices"][0]["delta"] == {
        "role": "assistant",
        "tool_calls": [{"index": 0, "id": "3", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
    }
    assert [first.value[name] for name in HEAD] == [last.value[name] for name in HEAD]


CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [({"b": [1, {"c": "é"}]}, '{"b":[1,{"c":"é"}]}'), ({}, "{}"), (None, "{}"), ("", ""), ('{ "a": 1 }', '{ "a": 1 }')],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_arguments_of_a_history_go_up_as_a_text(
    fake: FakeOpenAI, provider: OpenAIProvider, arguments: object, sent: str, streamed: bool
) -> None:
    function = {"name": "f", "arguments": arguments}
    odd = {**CALLED, "tool_calls": [CALL, {**CALL, "id": "d", "function": function}]}
    old = {"role": "assistant", "content": None, "function_call": function}
    messages = [{"role": "user", "content": "hi"}, CALLED, odd, old]
    call = chat(messages=messages, stream=streamed)
    before = json.dumps(call.document.value)
    await provider.send(call)
    first, second = fake.last["messages"][2]["tool_calls"]
    assert (first, second) == (CALL, {**CALL, "id": "d", "function": {"name": "f", "arguments": sent}})
    assert fake.last["messages"][3]["function_call"]["arguments"] == sent
    assert fake.last["messages"][:2] == messages[:2]
    assert json.dumps(call.document.value) == before  # the next target may speak another dialect


async def test_a_history_with_texts_goes_up_as_the_bytes_that_came(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "é"}, CALLED], "model": "m"}, indent=1).encode()
    await provider.send(chat(body=body, model="m"))
    assert fake.requests[-1].body == body
