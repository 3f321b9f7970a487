from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

import pytest

from tests.asgi_client import get, post
from xrouter_asgi import BringYourOwnKey, LLMRouter, OpenAIProvider, Target, XRouterError
from xrouter_asgi.errors import (
    InvalidAPIKey,
    InvalidRequest,
    UpstreamError,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnauthorized,
    UpstreamUnavailable,
)
from xrouter_asgi.providers import own_key
from xrouter_asgi.providers.base import Call, Provider
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.testing.openai import FakeOpenAI, refuse
from xrouter_asgi.testing.providers import ProviderContract
from xrouter_asgi.testing.scripted import ScriptedProvider, chat, chunk
from xrouter_asgi.wire import ChatRequest
from xrouter_asgi.wire.stream import ChatStream

CHAT = "/v1/chat/completions"


def own(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-provider-key", value.encode("latin-1")) for value in values]


def call(*values: str, stream: bool = False) -> Call:
    return Call(ChatRequest.of(chat(stream=stream)), headers=own(*values))


class Built:
    """Makes a scripted provider for each credential, and remembers them."""

    def __init__(self, *steps: Sequence[object] | asyncio.Event | BaseException) -> None:
        self.made: list[tuple[str, ScriptedProvider]] = []
        self._steps = steps

    def __call__(self, credential: str) -> Provider:
        provider = ScriptedProvider(*self._steps, name="upstream")  # type: ignore[arg-type]  # steps, as they are
        self.made.append((credential, provider))
        return provider

    @property
    def closings(self) -> list[int]:
        return [provider.closings for _, provider in self.made]

    @property
    def credentials(self) -> list[str]:
        return [credential for credential, _ in self.made]


class TestWithoutACredential(ProviderContract):
    @pytest.fixture
    def provider(self) -> Provider:
        return BringYourOwnKey(Built(), inner=EchoProvider(models=["chat", "vectors"]))


async def test_each_credential_has_a_provider_to_itself() -> None:
    built = Built()
    provider = BringYourOwnKey(built)
    for credential in ("one", "two", "one", " two\t"):
        reply = await provider.send(call(credential))
        assert (reply.provider, reply.model) == ("upstream", "upstream-model")
    assert [(credential, len(made.calls)) for credential, made in built.made] == [("one", 2), ("two", 2)]


async def test_credentials_that_share_a_long_prefix_are_not_mixed_up() -> None:
    built = Built()
    provider = BringYourOwnKey(built)
    credentials = ["k" * 4000 + str(number) for number in range(20)]
    for credential in credentials:
        await provider.send(call(credential))
    assert built.credentials == credentials


async def test_without_a_credential_the_inner_one_answers_and_is_not_asked_otherwise() -> None:
    built, inner = Built(), ScriptedProvider()
    provider = BringYourOwnKey(built, inner=inner)
    await provider.send(call())
    await provider.send(call("  "))
    assert (len(inner.calls), built.made) == (2, [])
    await provider.send(call("mine"))
    assert (len(inner.calls), len(built.made)) == (2, 1)


async def test_without_an_inner_one_the_credential_is_asked_for() -> None:
    router = LLMRouter({"*": BringYourOwnKey(Built())})
    answer = await post(router, CHAT, chat())
    assert (answer.status, answer.error["code"]) == (401, None)
    assert "'x-provider-key'" in answer.error["message"]
    assert (await get(router, "/v1/models")).json == {"object": "list", "data": []}


async def test_other_headers_are_no_credential() -> None:
    built = Built()
    headers = [(name, b"key") for name in (b"authorization", b"x-api-key", b"api-key", b"x-provider-keys")]
    with pytest.raises(InvalidRequest, match="x-provider-key"):
        await BringYourOwnKey(built).send(Call(ChatRequest.of(chat()), headers=headers))
    assert built.made == []


@pytest.mark.parametrize(
    "values",
    [("a", "a"), ("a", "b"), ("", "a"), ("a b",), ("a\r\nx: y",), ("a\x00",), ("ключ".encode().decode("latin-1"),)],
    ids=repr,
)
async def test_a_credential_that_no_header_may_hold_or_that_comes_twice_is_refused(values: tuple[str, ...]) -> None:
    built, inner = Built(), ScriptedProvider()
    with pytest.raises(InvalidAPIKey) as caught:
        await BringYourOwnKey(built, inner=inner).send(call(*values))
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert (built.made, inner.calls) == ([], [])


async def test_a_credential_beyond_4096_characters_is_refused() -> None:
    built = Built()
    provider = BringYourOwnKey(built)
    await provider.send(call("k" * 4096))
    with pytest.raises(InvalidAPIKey):
        await provider.send(call("k" * 4097))
    assert len(built.made) == 1


async def test_a_credential_that_the_provider_cannot_use_is_refused_without_repeating_it() -> None:
    def build(credential: str) -> Provider:
        raise ValueError(f"{credential} is not base64")

    with pytest.raises(InvalidAPIKey) as caught:
        await BringYourOwnKey(build).send(call("mine"))
    assert caught.value.__suppress_context__
    assert "mine" not in str(caught.value)


async def test_the_context_tells_where_the_callers_own_credential_was_used() -> None:
    provider = BringYourOwnKey(Built(), inner=ScriptedProvider(), name="up")
    for values, told in ((("mine",), {"up"}), ((), set())):
        asked = call(*values)
        await provider.send(asked)
        assert asked.context.own_keys == told
    await provider.aclose()


class TestFailures:
    async def test_a_refused_credential_is_the_callers_401(self) -> None:
        inner = ScriptedProvider()
        refused = UpstreamUnauthorized("The upstream refused this gateway's credentials.", detail="401")
        refused.upstream_ids = [("x-upstream-request-id", "7")]
        router = LLMRouter({"*": BringYourOwnKey(Built(refused), inner=inner)})
        answer = await post(router, CHAT, chat(), headers=own("mine"))
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
        assert answer.error["message"] == "The upstream refused the credential in 'x-provider-key'."
        assert answer.header("x-upstream-request-id") == "7"
        assert inner.calls == []

    async def test_a_quota_that_is_used_up_is_the_callers(self) -> None:
        answer = await post(
            LLMRouter({"*": BringYourOwnKey(Built(UpstreamQuotaExceeded("Ours.")))}), CHAT, chat(), headers=own("mine")
        )
        assert (answer.status, answer.error["code"]) == (429, "insufficient_quota")
        assert "'x-provider-key'" in answer.error["message"]
        assert answer.header("x-should-retry") == "false"

    @pytest.mark.parametrize(
        "kind",
        [
            UpstreamError,
            UpstreamQuotaExceeded,
            UpstreamRateLimited,
            UpstreamTimeout,
            UpstreamUnauthorized,
            UpstreamUnavailable,
        ],
    )
    async def test_no_failure_falls_back_on_somebody_elses_account(self, kind: type[UpstreamError]) -> None:
        inner = ScriptedProvider()
        with pytest.raises(XRouterError) as caught:
            await BringYourOwnKey(Built(kind("No.")), inner=inner).send(call("mine"))
        assert not caught.value.falls_back
        assert kind("No.").falls_back
        assert inner.calls == []

    async def test_the_callers_own_mistake_stays_what_it_is(self) -> None:
        error = InvalidRequest("Too hot.", param="temperature")
        with pytest.raises(InvalidRequest) as caught:
            await BringYourOwnKey(Built(error)).send(call("mine"))
        assert caught.value is error


class TestKeeping:
    async def test_no_more_than_a_hundred_providers_are_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        built = Built()
        monkeypatch.setattr(own_key, "CAPACITY", 2)
        provider = BringYourOwnKey(built)
        for credential in ("one", "two", "one", "three"):
            await provider.send(call(credential))
        await asyncio.sleep(0)
        assert list(zip(built.credentials, built.closings, strict=True)) == [("one", 0), ("two", 1), ("three", 0)]
        await provider.send(call("two"))
        await asyncio.sleep(0)
        assert built.credentials == ["one", "two", "three", "two"]
        assert built.closings == [1, 1, 0, 0]

    async def test_one_that_must_go_is_closed_when_its_last_stream_has_ended(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        built = Built([chunk("a")], [chunk(finish="stop")])
        monkeypatch.setattr(own_key, "CAPACITY", 1)
        provider = BringYourOwnKey(built)
        first = (await provider.send(call("one", stream=True))).body
        second = (await provider.send(call("one", stream=True))).body
        assert isinstance(first, ChatStream)
        assert isinstance(second, ChatStream)
        await provider.send(call("two"))
        await first.aclose()
        await asyncio.sleep(0)
        assert built.closings == [0, 0]
        assert [len(batch) async for batch in second] == [1, 1]
        await asyncio.sleep(0)
        assert built.closings == [1, 0]
        await second.aclose()
        await asyncio.sleep(0)
        assert built.closings == [1, 0]

    async def test_one_that_must_go_is_closed_when_its_last_call_was_cancelled(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        built = Built(asyncio.Event())
        monkeypatch.setattr(own_key, "CAPACITY", 1)
        provider = BringYourOwnKey(built)
        asking = asyncio.create_task(provider.send(call("one")))
        await asyncio.sleep(0)
        await built.made[0][1].reached.wait()
        other = asyncio.create_task(provider.send(call("two")))
        await asyncio.sleep(0)
        await built.made[1][1].reached.wait()
        assert built.closings == [0, 0]
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.sleep(0)
        assert built.closings == [1, 0]
        other.cancel()
        await asyncio.wait([other])
        assert built.closings == [1, 0]

    async def test_closing_closes_all_also_those_that_still_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        held = asyncio.Event()
        built, inner = Built([chunk("a")], held, [chunk(finish="stop")]), ScriptedProvider()
        monkeypatch.setattr(own_key, "CAPACITY", 1)
        provider = BringYourOwnKey(built, inner=inner)
        streams = [(await provider.send(call(name, stream=True))).body for name in ("one", "two")]
        await provider.aclose()
        assert (built.closings, inner.closings) == ([1, 1], 1)
        for stream in streams:
            assert isinstance(stream, ChatStream)
            await stream.aclose()
        await asyncio.sleep(0)
        assert built.closings == [1, 1]

    async def test_after_closing_a_credential_gets_a_new_provider(self) -> None:
        built = Built()
        provider = BringYourOwnKey(built)
        for _ in range(2):
            await provider.send(call("one"))
            await provider.aclose()
        assert built.closings == [1, 1]

    async def test_one_that_cannot_be_closed_keeps_no_other_open(self, caplog: pytest.LogCaptureFixture) -> None:
        class Stuck(ScriptedProvider):
            async def aclose(self) -> None:
                raise OSError("stuck")

        closing = ScriptedProvider()
        providers = [Stuck(name="stuck"), closing]
        provider = BringYourOwnKey(lambda credential: providers.pop(0))
        await provider.send(call("one"))
        await provider.send(call("two"))
        await provider.aclose()
        assert closing.closings == 1
        assert "The provider 'stuck' of a caller's own key could not be closed" in caplog.text

    async def test_closing_what_was_never_used_does_nothing(self) -> None:
        built = Built()
        await BringYourOwnKey(built).aclose()
        assert built.made == []


def test_it_is_called_as_it_is_told_or_as_the_inner_one() -> None:
    assert BringYourOwnKey(Built()).name == "own_key"
    assert BringYourOwnKey(Built(), inner=ScriptedProvider(name="inner")).name == "inner"
    assert BringYourOwnKey(Built(), inner=ScriptedProvider(name="inner"), name="own").name == "own"


async def test_only_an_inner_provider_has_models_to_list() -> None:
    assert (await BringYourOwnKey(Built()).models()).value["data"] == []
    listed = await BringYourOwnKey(Built(), inner=ScriptedProvider(models=["one"])).models()
    assert [model["id"] for model in listed.value["data"]] == ["one"]


class TestOverHTTP:
    @pytest.fixture
    async def fake(self) -> AsyncIterator[FakeOpenAI]:
        async with FakeOpenAI(api_key="mine") as fake:
            yield fake

    @pytest.fixture
    async def router(self, fake: FakeOpenAI) -> AsyncIterator[LLMRouter]:
        provider = BringYourOwnKey(
            lambda key: OpenAIProvider(fake.base_url, api_key=key),
            inner=OpenAIProvider(fake.base_url, api_key="servers"),
        )
        router = LLMRouter({"*": Target(provider, model="*")})
        async with router.lifespan():
            yield router

    async def test_only_the_callers_credential_goes_up(self, fake: FakeOpenAI, router: LLMRouter) -> None:
        headers = [*own("mine"), (b"authorization", b"Bearer gateway-key")]
        for stream in (False, True):
            answer = await post(router, CHAT, chat("chat", stream=stream), headers=headers)
            assert answer.status == 200
        for request in fake.requests:
            assert request.headers["authorization"] == "Bearer mine"
            assert "x-provider-key" not in request.headers
            assert "gateway-key" not in repr(request.headers)

    async def test_a_refused_one_is_a_401_and_never_tried_with_the_servers(
        self, fake: FakeOpenAI, router: LLMRouter, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        answer = await post(router, CHAT, chat("chat"), headers=own("sk-stolen-credential"))
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
        assert [request.headers["authorization"] for request in fake.requests] == ["Bearer sk-stolen-credential"]
        assert "sk-stolen-credential" not in answer.body.decode() + caplog.text
        fake.next(refuse(429, "You exceeded your current quota.", code="insufficient_quota"))
        answer = await post(router, CHAT, chat("chat"), headers=own("mine"))
        assert (answer.status, answer.error["code"]) == (429, "insufficient_quota")
        assert len(fake.requests) == 2

    async def test_no_credential_is_seen_from_outside(self, router: LLMRouter) -> None:
        await post(router, CHAT, chat("chat"), headers=own("mine-all-mine"))
        target = router.models["*"]
        assert isinstance(target, Target)
        assert "mine-all-mine" not in repr(target) + repr(target.inner) + repr(vars(target.inner))
        assert "mine-all-mine" not in repr(call("mine-all-mine"))
