from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.policies.upstream import Upstream, call, stream_of, text_of
from xrouter_asgi.errors import ContentRefused, UnsupportedOperation, UpstreamError
from xrouter_asgi.policies.guard import Guard, Passage
from xrouter_asgi.providers import Call, Reply
from xrouter_asgi.testing.scripted import USAGE, ScriptedProvider, chunk, completion, usage_chunk
from xrouter_asgi.testing.virtual import virtual
from xrouter_asgi.wire import ChatChunk, ChatCompletion, Document, EmbeddingsRequest, Original

SECRET = "4111"


class Watching:
    """Replaces the secret by `***`, refuses `forbidden`, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[Passage] = []

    async def __call__(self, passages: Sequence[Passage]) -> list[str]:
        self.seen += passages
        if any("forbidden" in passage.text for passage in passages):
            raise ContentRefused("Such things are not said here.")
        return [passage.text.replace(SECRET, "***") for passage in passages]

    @property
    def texts(self) -> list[tuple[str, str, str]]:
        return [(passage.of, passage.role, passage.text) for passage in self.seen]


def tool_call(arguments: str, index: int = 0) -> dict[str, Any]:
    return {"index": index, "id": "call_1", "type": "function", "function": {"name": "pay", "arguments": arguments}}


CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": f"My card is {SECRET}."},
            {"type": "image_url", "image_url": {"url": f"https://a.example/{SECRET}"}},
        ],
    },
    {"role": "assistant", "content": None, "tool_calls": [tool_call(f'{{"card":"{SECRET}"}}')]},
    {"role": "tool", "tool_call_id": "call_1", "content": "Paid."},
]
TOOLS = [{"type": "function", "function": {"name": "pay", "description": "Pays.", "parameters": {"type": "object"}}}]


def said(one: Call) -> Any:
    return one.document.value["messages"]


async def test_it_sees_every_text_of_a_request_and_no_picture_or_name() -> None:
    check = Watching()
    await Guard(ScriptedProvider(), check=check).send(call(messages=CONVERSATION, tools=TOOLS))
    assert check.texts == [
        ("request", "system", "Be brief."),
        ("request", "user", f"My card is {SECRET}."),
        ("request", "assistant", f'{{"card":"{SECRET}"}}'),
        ("request", "tool", "Paid."),
        ("request", "tools", "Pays."),
    ]


async def test_what_is_replaced_is_all_that_changes() -> None:
    provider = ScriptedProvider()
    one = call(messages=CONVERSATION, tools=TOOLS)
    written = Document({"what": f"the client wrote {SECRET}"})
    one.original = Original("messages", written, one.document, written)
    await Guard(provider, check=Watching()).send(one)
    (asked,) = provider.calls
    changed = [*CONVERSATION]
    changed[1] = {
        "role": "user",
        "content": [{"type": "text", "text": "My card is ***."}, CONVERSATION[1]["content"][1]],
    }
    changed[2] = {**CONVERSATION[2], "tool_calls": [tool_call('{"card":"***"}')]}
    assert said(asked) == changed
    assert asked.request.model_dump(exclude_unset=True)["messages"] == changed
    assert asked.document.value["tools"] == TOOLS
    assert asked.original is None
    assert said(one) == CONVERSATION


async def test_a_request_that_passes_goes_on_as_the_client_wrote_it() -> None:
    provider, one = ScriptedProvider(), call()
    await Guard(provider, check=Watching()).send(one)
    assert provider.calls[0].document is one.document


async def test_a_refused_request_reaches_no_upstream() -> None:
    provider = ScriptedProvider()
    with pytest.raises(ContentRefused, match="not said here"):
        await Guard(provider, check=Watching()).send(call(messages=[{"role": "user", "content": "forbidden"}]))
    assert provider.calls == []


async def test_a_check_that_fails_or_loses_a_text_lets_nothing_go_on() -> None:
    async def failing(passages: Sequence[Passage]) -> list[str]:
        raise RuntimeError("defect")

    async def losing(passages: Sequence[Passage]) -> list[str]:
        return []

    provider = ScriptedProvider()
    for check, kind in ((failing, RuntimeError), (losing, TypeError)):
        with pytest.raises(kind):
            await Guard(provider, check=check).send(call())
    assert provider.calls == []


async def test_texts_to_embed_are_seen_and_tokens_are_refused() -> None:
    check, provider = Watching(), ScriptedProvider()
    guard = Guard(provider, check=check)
    for texts in ("one", ["two", SECRET]):
        await guard.send(Call(EmbeddingsRequest.model_validate({"model": "m", "input": texts})))
    assert check.texts == [("request", "input", text) for text in ("one", "two", SECRET)]
    assert provider.calls[1].document.value["input"] == ["two", "***"]
    for tokens in ([1, 2], [[1, 2], [3]]):
        with pytest.raises(UnsupportedOperation, match="texts only"):
            await guard.send(Call(EmbeddingsRequest.model_validate({"model": "m", "input": tokens})))
    assert len(provider.calls) == 2


async def test_answers_are_not_looked_at_unless_asked_for() -> None:
    check = Watching()
    reply = await Guard(ScriptedProvider(body=completion(SECRET)), check=check).send(call())
    assert [passage.of for passage in check.seen] == ["request"]
    assert isinstance(reply.body, ChatCompletion)
    assert SECRET in reply.body.data.decode()


async def test_a_whole_answer_is_replaced_or_refused() -> None:
    reply = await Guard(ScriptedProvider(body=completion(f"It is {SECRET}.")), check=Watching(), answers=True).send(
        call()
    )
    assert isinstance(reply.body, ChatCompletion)
    assert reply.body.value["choices"][0]["message"]["content"] == "It is ***."
    assert reply.body.value["usage"] == USAGE
    with pytest.raises(ContentRefused):
        await Guard(ScriptedProvider(body=completion("forbidden")), check=Watching(), answers=True).send(call())


async def streamed(*batches: Sequence[ChatChunk]) -> tuple[list[ChatChunk], Watching, ScriptedProvider]:
    check, provider = Watching(), ScriptedProvider(*batches)
    reply = await Guard(provider, check=check, answers=True).send(call(stream=True))
    return [one for batch in [each async for each in await stream_of(reply)] for one in batch], check, provider


async def test_a_stream_is_seen_as_one_text_and_passes_unchanged() -> None:
    batches = [[chunk("Hel"), chunk("lo")], [chunk(finish="stop")], [usage_chunk()]]
    chunks, check, _ = await streamed(*batches)
    assert chunks == [one for batch in batches for one in batch]
    assert [passage.text for passage in check.seen if passage.of == "answer"] == ["Hello"]


async def test_a_secret_in_pieces_is_found_in_a_stream() -> None:
    chunks, _, provider = await streamed([chunk("It is 41")], [chunk("11.")], [chunk(finish="stop")], [usage_chunk()])
    assert "".join(one.value["choices"][0]["delta"].get("content", "") for one in chunks[:-1]) == "It is ***."
    assert chunks[-1].value["usage"] == USAGE
    assert provider.closed == 1


async def test_choices_and_calls_of_a_stream_are_texts_of_their_own() -> None:
    def piece(index: int, **delta: Any) -> ChatChunk:
        return ChatChunk({"choices": [{"index": index, "delta": delta, "finish_reason": None}]})

    def pay(arguments: str, index: int) -> dict[str, Any]:
        return {"tool_calls": [tool_call(arguments, index)]}

    ends = [ChatChunk({"choices": [{"index": at, "delta": {}, "finish_reason": "stop"}]}) for at in (0, 1)]
    chunks, check, _ = await streamed(
        [piece(0, content="41"), piece(1, content="41")],
        [piece(1, content="x"), piece(0, content="11", reasoning_content="why")],
        [piece(0, **pay("41", 0)), piece(0, **pay("a", 1)), piece(0, **pay("11", 0))],
        ends,
    )
    answer = [passage.text for passage in check.seen if passage.of == "answer"]
    assert sorted(answer) == ["4111", "4111", "41x", "a", "why"]
    arguments: dict[int, str] = {}
    texts = {0: "", 1: ""}
    for one in chunks:
        (choice,) = one.value["choices"]
        texts[choice["index"]] += choice["delta"].get("content") or ""
        for each in choice["delta"].get("tool_calls") or ():
            arguments[each["index"]] = arguments.get(each["index"], "") + each["function"]["arguments"]
    assert (texts, arguments) == ({0: "***", 1: "41x"}, {0: "***", 1: "a"})


async def test_a_refused_stream_never_begins_and_its_upstream_is_closed() -> None:
    provider = ScriptedProvider([chunk("for")], [chunk("bidden")], [chunk(finish="stop")])
    with pytest.raises(ContentRefused):
        await Guard(provider, check=Watching(), answers=True).send(call(stream=True))
    assert (provider.opened, provider.closed) == (1, 1)


@virtual
async def test_a_stream_that_breaks_while_it_is_held_never_begins() -> None:
    upstream = Upstream(["a", UpstreamError("Broken.")])
    with pytest.raises(UpstreamError, match="Broken"):
        await Guard(upstream, check=Watching(), answers=True).send(call(stream=True))
    assert upstream.open == 0


async def test_a_stream_longer_than_can_be_held_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xrouter_asgi.policies.guard.MAX_HELD", 3)
    provider = ScriptedProvider([chunk("ab")], [chunk("cd")], [chunk(finish="stop")])
    with pytest.raises(UpstreamError, match="longer than can be checked"):
        await Guard(provider, check=Watching(), answers=True).send(call(stream=True))
    assert provider.closed == 1


@given(st.lists(st.text("41ab", min_size=1, max_size=3), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_stream_says_what_the_whole_text_says_however_it_was_cut(pieces: list[str]) -> None:
    @virtual
    async def scenario() -> None:
        provider = ScriptedProvider(*[[chunk(piece)] for piece in pieces], [chunk(finish="stop")])
        reply: Reply = await Guard(provider, check=Watching(), answers=True).send(call(stream=True))
        assert await text_of(reply) == "".join(pieces).replace(SECRET, "***")

    scenario()
