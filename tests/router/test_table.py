from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from xrouter_asgi.events import AttemptEnded, AttemptStarted
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.policies.stack import resilient
from xrouter_asgi.providers.base import Call, Provider
from xrouter_asgi.providers.target import Target
from xrouter_asgi.router import table as routing
from xrouter_asgi.router.table import ModelTable
from xrouter_asgi.testing.scripted import ScriptedProvider, chat, completion
from xrouter_asgi.wire import ChatRequest, ModelList
from xrouter_asgi.wire.stream import ChatStream


def table(*names: str) -> ModelTable:
    """A table whose providers are called like their names."""
    return ModelTable({name: ScriptedProvider(name=name) for name in names})


def found(models: ModelTable, name: str) -> tuple[str, str] | None:
    match models.find(name):
        case (provider, stem):
            return provider.name, stem
        case _:
            return None


def asked(provider: ScriptedProvider) -> list[str]:
    return [call.model for call in provider.calls]


# Finding


def test_a_name_beats_a_pattern_wherever_it_stands() -> None:
    assert found(table("gpt-*", "gpt-5"), "gpt-5") == ("gpt-5", "")


def test_a_longer_pattern_beats_a_shorter_one_wherever_it_stands() -> None:
    models = table("*", "gpt-*", "gpt-5-*")
    assert found(models, "gpt-5-mini") == ("gpt-5-*", "mini")
    assert found(models, "gpt-4") == ("gpt-*", "4")
    assert found(models, "other") == ("*", "other")


def test_a_pattern_wants_something_for_its_star() -> None:
    assert found(table("gpt-*"), "gpt-") is None


def test_a_pattern_is_matched_whole_and_to_the_letter() -> None:
    models = table("a.b/*-x")
    assert found(models, "a.b/c/d-x") == ("a.b/*-x", "c/d")
    assert found(models, "aXb/c-x") is None
    assert found(models, "a.b/c-x!") is None
    assert found(models, "a.b/c-x\n") is None
    assert found(models, "A.B/c-x") is None


def test_a_name_that_nobody_serves_is_not_found() -> None:
    assert found(table("gpt-5"), "gpt") is None


def test_the_spelling_of_a_pattern_is_no_name_but_may_match_one() -> None:
    assert found(table("gpt-*"), "gpt-*") == ("gpt-*", "*")


@given(before=st.text(max_size=5), after=st.text(max_size=5), stem=st.text(min_size=1, max_size=5))
def test_the_stem_is_what_the_star_stood_for(before: str, after: str, stem: str) -> None:
    before, after = before.replace("*", ""), after.replace("*", "")
    match = table(f"{before}*{after}").find(f"{before}{stem}{after}")
    assert match is not None
    assert match[1] == stem


@pytest.mark.parametrize("name", ["", "a*b*", "**"])
def test_a_name_that_means_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must not be empty nor hold more than one"):
        table(name)


def test_a_table_is_a_mapping_of_what_it_was_given() -> None:
    models = table("b", "a*")
    assert list(models) == ["b", "a*"]
    assert len(models) == 2
    assert models["a*"].name == "a*"


# Listing


async def test_names_are_listed_as_configured_without_asking_anyone() -> None:
    provider = ScriptedProvider(name="mine")
    listed = await ModelTable({"b": provider, "a": provider}).list()
    assert listed == [
        {"id": "b", "object": "model", "created": 0, "owned_by": "mine"},
        {"id": "a", "object": "model", "created": 0, "owned_by": "mine"},
    ]
    assert provider.calls == []


async def test_a_pattern_is_listed_as_the_models_of_its_provider_with_such_names() -> None:
    provider = ScriptedProvider(models=["up/m1", "other", "up/org/m2"])
    for one in (provider, Retry(provider), resilient(provider)):
        listed = await ModelTable({"up/*": one}).list()
        assert [model["id"] for model in listed] == ["up/m1", "up/org/m2"]


async def test_a_pattern_over_a_star_is_listed_as_all_models_of_its_provider() -> None:
    listed = await ModelTable({"up/*": Target(ScriptedProvider(models=["m1", "org/m2"]), model="*")}).list()
    assert [model["id"] for model in listed] == ["up/m1", "up/org/m2"]
    assert listed[0]["created"] == 7


async def test_a_name_is_listed_once_although_a_pattern_holds_it_too() -> None:
    listed = await ModelTable({"*": ScriptedProvider(name="all", models=["a", "b"]), "b": ScriptedProvider()}).list()
    assert [(model["id"], model["owned_by"]) for model in listed] == [("b", "scripted"), ("a", "all")]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UpstreamUnavailable("No connection.", detail="10.0.0.7 refused"), "10.0.0.7 refused"),
        (UpstreamError("Not supported."), "Not supported."),
    ],
)
async def test_a_pattern_that_cannot_be_listed_is_logged_and_left_out(
    error: UpstreamError, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken = ScriptedProvider(error, name="broken")
    listed = await ModelTable({"x/*": broken, "y/*": ScriptedProvider(models=["y/m"])}).list()
    assert [model["id"] for model in listed] == ["y/m"]
    assert caplog.messages == [f"The models of 'broken' could not be listed: {said}"]


async def test_a_pattern_whose_provider_is_silent_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "PATIENCE", 0.01)
    silent = ScriptedProvider(asyncio.Event(), name="silent")
    models = ModelTable({"silent/*": silent, "here": ScriptedProvider()})
    assert [model["id"] for model in await models.list()] == ["here"]
    with pytest.raises(UpstreamTimeout):
        await models.describe("silent/scripted")


async def test_an_outage_is_no_empty_list() -> None:
    models = ModelTable({"*": ScriptedProvider(UpstreamUnavailable("No connection."))})
    with pytest.raises(UpstreamUnavailable, match="No connection"):
        await models.list()


async def test_an_outage_does_not_hide_the_models_with_names_of_their_own() -> None:
    broken = ScriptedProvider(UpstreamUnavailable("No connection."))
    assert [model["id"] for model in await ModelTable({"a": broken, "*": broken}).list()] == ["a"]


async def test_an_outage_does_not_make_a_model_unknown() -> None:
    models = ModelTable({"*": ScriptedProvider(UpstreamUnavailable("No connection."))})
    with pytest.raises(UpstreamUnavailable, match="No connection"):
        await models.describe("m")


async def test_a_model_is_described_by_whom_it_is_served() -> None:
    models = ModelTable({"*": ScriptedProvider(name="all", models=["up/m"]), "up/*": ScriptedProvider(models=["up/n"])})
    assert await models.describe("up/m") is None


async def test_a_name_that_nobody_serves_is_not_described() -> None:
    assert await ModelTable({"up/*": ScriptedProvider(models=["m"])}).describe("down/m") is None


async def test_a_model_without_a_date_is_listed_with_one() -> None:
    bare = {"id": "m", "object": "model", "owned_by": "x"}

    class Undated(ScriptedProvider):
        async def models(self, *, deadline: float | None = None) -> ModelList:
            return ModelList({"object": "list", "data": [bare]})

    assert await ModelTable({"*": Undated()}).list() == [{**bare, "created": 0}]


async def test_one_name_is_described_without_asking_anyone() -> None:
    provider = ScriptedProvider(name="mine")
    described = await ModelTable({"a": provider, "*": provider}).describe("a")
    assert described == {"id": "a", "object": "model", "created": 0, "owned_by": "mine"}
    assert provider.calls == []


async def test_a_model_of_a_pattern_is_described_when_it_is_listed() -> None:
    models = ModelTable({"up/*": ScriptedProvider(models=["up/m"])})
    described = await models.describe("up/m")
    assert described is not None
    assert described["id"] == "up/m"
    assert await models.describe("up/other") is None
    assert await models.describe("up/*") is None


# Targets


async def send(provider: Provider, model: str, *, stem: str = "") -> None:
    await provider.send(Call(ChatRequest.of(chat(model)), stem=stem))


async def test_a_target_asks_for_the_upstream_s_model() -> None:
    inner = ScriptedProvider(body=completion())
    await send(Target(inner, model="GigaChat-2-Pro"), "assistant")
    assert asked(inner) == ["GigaChat-2-Pro"]


async def test_a_star_of_a_target_is_what_the_pattern_matched() -> None:
    inner = ScriptedProvider(body=completion())
    await send(Target(inner, model="vendor/*"), "cheap-m1", stem="m1")
    assert asked(inner) == ["vendor/m1"]


async def test_a_target_does_not_touch_the_call_it_was_given() -> None:
    inner = ScriptedProvider(body=completion())
    call = Call(ChatRequest.of(chat("assistant")))
    await Target(inner, model="other").send(call)
    assert call.model == "assistant"
    assert inner.calls[0].request is call.request


async def test_a_pattern_over_a_target_is_listed_by_what_its_star_may_stand_for() -> None:
    inner = ScriptedProvider(models=["vendor/m1", "other/m2", "vendor/m3"])
    listed = await ModelTable({"cheap-*": Target(inner, model="vendor/*")}).list()
    assert [model["id"] for model in listed] == ["cheap-m1", "cheap-m3"]


async def test_a_target_without_a_star_lists_nothing_and_asks_nobody() -> None:
    inner = ScriptedProvider()
    assert (await Target(inner, model="one").models()).value["data"] == []
    assert inner.listings == 0


async def test_a_target_is_called_and_closed_like_its_provider() -> None:
    inner = ScriptedProvider(name="mine")
    target = Target(inner, model="m")
    assert target.name == "mine"
    await target.aclose()
    assert inner.closings == 1


async def test_an_attempt_ends_with_a_whole_answer() -> None:
    call = Call(ChatRequest.of(chat("assistant")))
    await Target(ScriptedProvider(), model="m").send(call)
    (attempt,) = call.context.attempts
    assert (attempt.provider, attempt.model, attempt.error) == ("scripted", "m", None)
    assert attempt.first is not None
    assert attempt.ended is not None


async def test_an_attempt_that_fails_ends_with_its_error() -> None:
    error = UpstreamError("Broken.")
    call = Call(ChatRequest.of(chat("assistant")))
    with pytest.raises(UpstreamError):
        await Target(ScriptedProvider(error), model="m").send(call)
    (attempt,) = call.context.attempts
    assert attempt.error is error
    assert attempt.first is None
    assert attempt.ended is not None


async def test_an_attempt_at_a_stream_ends_with_the_stream() -> None:
    call = Call(ChatRequest.of(chat("assistant", stream=True)))
    reply = await Target(ScriptedProvider(), model="m").send(call)
    (attempt,) = call.context.attempts
    assert attempt.first is not None
    assert attempt.ended is None
    assert isinstance(reply.body, ChatStream)
    assert [len(batch) async for batch in reply.body] == [2, 1, 1]
    assert attempt.ended is not None
    assert attempt.error is None


async def test_whoever_watches_is_told_when_an_attempt_starts_and_ends() -> None:
    call = Call(ChatRequest.of(chat("assistant")))
    events: list[object] = []
    call.context.observers.append(events.append)
    await Target(ScriptedProvider(), model="m").send(call)
    (attempt,) = call.context.attempts
    assert events == [AttemptStarted(call.context, attempt), AttemptEnded(call.context, attempt)]


async def test_an_attempt_that_was_given_up_notes_why() -> None:
    provider = ScriptedProvider(asyncio.Event())
    call = Call(ChatRequest.model_validate(chat()))
    task = asyncio.create_task(Target(provider, model="m").send(call))
    await provider.reached.wait()
    late = UpstreamTimeout("Late.")
    task.cancel(late)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.context.attempts[0].error is late


async def test_others_have_a_turn_while_many_patterns_are_listed() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert await ModelTable({f"u{n}/*": ScriptedProvider() for n in range(80)}).list() == []
    task.cancel()
    assert turns > 20
