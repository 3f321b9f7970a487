from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.policies.upstream import Upstream, call, stream_of, text_of
from xrouter_asgi.context import CostEstimate, Principal, RequestContext
from xrouter_asgi.errors import UpstreamError
from xrouter_asgi.kept import MemoryAnswers
from xrouter_asgi.limits.estimates import OutputEstimates
from xrouter_asgi.limits.units import UNITS
from xrouter_asgi.policies.cache import MAX_ANSWER, Cache
from xrouter_asgi.providers import Call, Reply
from xrouter_asgi.testing.clock import Clock
from xrouter_asgi.testing.scripted import ScriptedProvider, chunk, completion
from xrouter_asgi.testing.virtual import virtual
from xrouter_asgi.wire import ChatChunk, ChatCompletion, Document, EmbeddingList, EmbeddingsRequest, Original


def cached(provider: Any, *, ttl: float = 60.0, clock: Clock | None = None, **options: Any) -> Cache:
    return Cache(provider, store=MemoryAnswers(clock=clock or Clock()), ttl=ttl, **options)


def ask(*, temperature: float | None = 0, caller: str | None = None, header: str = "", **more: Any) -> Call:
    if temperature is not None:
        more["temperature"] = temperature
    made = call(caller=caller, **more)
    made.headers = [(b"cache-control", header.encode())] if header else []
    return made


def found(reply: Reply) -> str:
    return dict(reply.headers)["x-xrouter-cache"]


@virtual
async def test_what_was_asked_before_is_answered_without_asking_again() -> None:
    upstream = Upstream()
    cache = cached(upstream)
    first = await cache.send(ask())
    again = ask()
    second = await cache.send(again)
    assert (found(first), found(second)) == ("miss", "hit")
    assert (len(upstream.asked), again.context.attempts, again.context.cache) == (1, [], "hit")
    assert isinstance(second.body, ChatCompletion)
    assert second.body.value == completion().value
    assert (second.provider, second.model) == (first.provider, first.model)
    assert second.usage == second.body.usage is not None


@virtual
async def test_the_same_json_in_another_order_is_another_question() -> None:
    cache = cached(Upstream())
    first = ask(n=1)
    await cache.send(first)
    again = ask(n=1)
    again.document = Document(dict(reversed(first.document.value.items())))
    assert found(await cache.send(again)) == "miss"


async def test_no_text_passes_for_a_part_of_another_one() -> None:
    cache = cached(ScriptedProvider())
    for translation, written in ((b'{"temperature":0}', b"{}\n{}"), (b'{"temperature":0}\n{}', b"{}")):
        one = ask()
        one.document = Document({"temperature": 0}, translation)
        one.original = Original("messages", Document({}, written), one.document, one.document)
        assert found(await cache.send(one)) == "miss"


@virtual
async def test_a_stream_is_replayed_as_a_stream() -> None:
    upstream = Upstream(["a", 1.0, "b"])
    cache = cached(upstream)
    first = [
        one.data for batch in [b async for b in await stream_of(await cache.send(ask(stream=True)))] for one in batch
    ]
    reply = await cache.send(ask(stream=True))
    second = [one.data for batch in [b async for b in await stream_of(reply)] for one in batch]
    assert (found(reply), second, len(upstream.asked)) == ("hit", first, 1)


async def test_a_replayed_chunk_says_its_text_as_the_first_one_did() -> None:
    said = [
        chunk("a"),
        ChatChunk(None, b'{"choices":[{"delta":{"content":"b"}}]}', text="b", native=b"event: b\n\n"),
        ChatChunk(None, b'{"choices":[{"delta":{"refusal":"c"}}]}', text="c", member="refusal", native=b""),
        chunk(finish="stop"),
    ]
    cache = cached(ScriptedProvider(said))
    told = []
    for _ in range(2):
        reply = await cache.send(ask(stream=True))
        stream = await stream_of(reply)
        told.append([(one.data, one.text, one.member, one.native) async for batch in stream for one in batch])
        assert stream.characters == 3
    assert found(reply) == "hit"
    assert told[0] == told[1]


@virtual
async def test_a_plain_answer_and_a_stream_are_kept_apart() -> None:
    upstream = Upstream()
    cache = cached(upstream)
    await cache.send(ask())
    assert await text_of(await cache.send(ask(stream=True))) == "hi"
    assert len(upstream.asked) == 2


async def test_embeddings_are_kept_as_well() -> None:
    provider = ScriptedProvider()
    cache = cached(provider)
    replies = [
        await cache.send(Call(EmbeddingsRequest.model_validate({"model": "m", "input": ["a"]}))) for _ in range(2)
    ]
    assert [found(reply) for reply in replies] == ["miss", "hit"]
    assert len(provider.calls) == 1
    assert isinstance(replies[0].body, EmbeddingList)
    assert replies[1].usage == replies[0].body.usage is not None


@virtual
async def test_an_answer_is_kept_for_its_time() -> None:
    clock, upstream = Clock(), Upstream()
    cache = cached(upstream, ttl=10.0, clock=clock)
    await cache.send(ask())
    clock.advance(9.9)
    assert found(await cache.send(ask())) == "hit"
    clock.advance(0.2)
    assert found(await cache.send(ask())) == "miss"


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"temperature": None}, "bypass"),
        ({"temperature": 0.5}, "bypass"),
        ({"header": "no-store"}, "bypass"),
        ({"header": "max-age=0, No-Store"}, "bypass"),
        ({"header": "no-cache"}, "miss"),
        ({"header": "max-age=60"}, "hit"),
        ({"seed": 1}, "miss"),
        ({"model": "other"}, "miss"),
        ({"caller": "bob"}, "miss"),
    ],
    ids=str,
)
def test_what_is_a_hit(other: dict[str, Any], told: str) -> None:
    @virtual
    async def scenario() -> None:
        cache = cached(Upstream())
        await cache.send(ask())
        assert found(await cache.send(ask(**other))) == told

    scenario()


@virtual
async def test_each_of_several_fields_of_cache_control_counts() -> None:
    cache = cached(Upstream())
    one = ask()
    one.headers = [(b"cache-control", b"max-age=0"), (b"cache-control", b"no-store")]
    assert found(await cache.send(one)) == "bypass"


@virtual
async def test_no_cache_puts_a_new_answer_in_the_place_of_the_old_one() -> None:
    upstream = Upstream()
    cache = cached(upstream)
    for header in ("", "no-cache", ""):
        await cache.send(ask(header=header))
    assert len(upstream.asked) == 2


@virtual
async def test_any_temperature_is_looked_up_if_the_operator_says_so() -> None:
    cache = cached(Upstream(), any_temperature=True)
    assert [found(await cache.send(ask(temperature=0.7))) for _ in range(2)] == ["miss", "hit"]


@virtual
async def test_a_request_with_a_credential_of_its_own_is_never_looked_up() -> None:
    cache = cached(Upstream())
    for _ in range(2):
        one = ask()
        one.headers = [(b"x-provider-key", b"secret")]
        assert found(await cache.send(one)) == "bypass"


@virtual
async def test_settings_and_what_the_client_wrote_in_another_dialect_are_part_of_the_question() -> None:
    upstream = Upstream()
    cache = cached(upstream)
    versions, originals = ("1", "2"), (None, {"a": 1}, {"a": 2})
    for version, original in itertools.product(versions, originals):
        one = ask()
        one.context.decision.version = version
        if original is not None:
            written = Document(original)
            one.original = Original("messages", written, one.document, written)
        assert found(await cache.send(one)) == "miss"
    assert len(upstream.asked) == 6


@virtual
async def test_headers_that_change_the_answer_are_part_of_the_question() -> None:
    cache = cached(Upstream())
    told: list[str] = []
    for headers in ([], [(b"anthropic-beta", b"a")], [(b"anthropic-beta", b"b")], [(b"anthropic-version", b"b")]):
        for _ in range(2):
            one = ask()
            one.headers = [*headers, (b"x-request-id", b"req_%d" % len(told))]
            told.append(found(await cache.send(one)))
    assert told == ["miss", "hit"] * 4


@virtual
async def test_all_callers_share_answers_if_the_operator_says_so() -> None:
    cache = cached(Upstream(), shared=True)
    assert [found(await cache.send(ask(caller=name))) for name in ("ann", "bob")] == ["miss", "hit"]


@virtual
async def test_a_stream_that_breaks_or_is_left_is_not_kept() -> None:
    upstream = Upstream(["a", UpstreamError("Broken.")], ["a", 1.0, "b"], ["c"])
    cache = cached(upstream)
    with pytest.raises(UpstreamError):
        await text_of(await cache.send(ask(stream=True)))
    reply = await cache.send(ask(stream=True))
    await anext(aiter(await stream_of(reply)))
    await reply.aclose()
    last = await cache.send(ask(stream=True))
    assert (found(last), await text_of(last), upstream.open) == ("miss", "c", 0)


@pytest.mark.parametrize("finish", ["content_filter", "stop"])
async def test_an_answer_that_a_filter_cut_short_is_not_kept(finish: str) -> None:
    cache = cached(ScriptedProvider([chunk("a")], [chunk(finish=finish)]))
    for _ in range(2):
        reply = await cache.send(ask(stream=True))
        await text_of(reply)
    assert found(reply) == ("miss" if finish == "content_filter" else "hit")


async def test_an_answer_that_is_too_large_is_passed_on_and_not_kept() -> None:
    large = "a" * (MAX_ANSWER + 1)
    for body, stream in ((completion(large), False), (None, True)):
        cache = cached(ScriptedProvider([chunk(large)], [chunk(finish="stop")], body=body))
        for _ in range(2):
            reply = await cache.send(ask(stream=stream))
            if stream:
                assert len(await text_of(reply)) == MAX_ANSWER + 1
        assert found(reply) == "miss"


@pytest.mark.parametrize("letters", [1, 5_000, 100_000])
async def test_a_question_of_any_length_is_answered_again_and_no_other_one(letters: int) -> None:
    cache = cached(ScriptedProvider())
    words = ("a" * letters, "a" * letters, "a" * letters + "b")
    assert [found(await cache.send(ask(user=word))) for word in words] == ["miss", "hit", "miss"]


async def test_a_hit_costs_no_tokens() -> None:
    cache = cached(ScriptedProvider())
    await cache.send(ask())
    hit = ask()
    reply = await cache.send(hit)
    assert isinstance(reply.body, Document)
    hit.context.usage = reply.body.usage
    work = OutputEstimates().begin(hit.context, "ann", CostEstimate("m", 100), None)
    assert UNITS["tokens"].after(work, 1000) == 0


QUESTIONS = st.fixed_dictionaries(
    {"temperature": st.sampled_from([0, 0.0, 1]), "n": st.sampled_from([1, 2]), "stream": st.booleans()},
    optional={"seed": st.sampled_from([1, 2]), "stop": st.sampled_from(["a", "b"])},
)
CALLS = st.tuples(st.sampled_from(["ann", "bob", None]), st.sampled_from(["a", "b"]), QUESTIONS)


@given(st.lists(CALLS, max_size=12))
@settings(max_examples=60, deadline=None)
def test_no_answer_crosses_callers_models_or_parameters(asked: list[tuple[str | None, str, dict[str, Any]]]) -> None:
    class Telling:
        """Answers with what it was asked, and by whom."""

        name = "telling"

        async def send(self, one: Call, /) -> Reply:
            said = repr((one.context.caller, one.model, sorted(one.document.value.items(), key=str)))
            if one.document.value["stream"]:
                return await ScriptedProvider([chunk(said)], [chunk(finish="stop")]).send(one)
            return Reply(completion(said), "telling")

        async def aclose(self) -> None: ...

    @virtual
    async def scenario() -> None:
        cache = cached(Telling())
        for caller, model, question in asked:
            context = RequestContext(principal=None if caller is None else Principal(caller))
            one = call(model=model, **question)
            one.context = context
            reply = await cache.send(one)
            expected = await Telling().send(one)
            if isinstance(reply.body, ChatCompletion) and isinstance(expected.body, ChatCompletion):
                assert reply.body.value["choices"] == expected.body.value["choices"]
            else:
                assert await text_of(reply) == await text_of(expected)

    scenario()
