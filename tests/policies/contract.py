"""What is true of every policy: inherit, and say how it is put around a provider.

class TestRetry(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Retry:
        return Retry(inner)
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.policies.upstream import HANG, ReadyUpstream, Step, Upstream, call, text_of
from xrouter_asgi import Call, Provider, Reply, Target, Wrapper
from xrouter_asgi.decision import Unready
from xrouter_asgi.errors import RequestRejected, UpstreamError, UpstreamTimeout
from xrouter_asgi.providers import Attempting, as_target
from xrouter_asgi.testing.virtual import now, virtual

LIVELY: list[Step] = [1.0, "b"] * 9
"""So long that no policy holds it all back."""


def told_by(reply: Reply) -> list[BaseException | None]:
    """What is told of the end of a reply."""
    told: list[BaseException | None] = []
    reply.when_ended(told.append)
    return told


class PolicyContract:
    """For any policy."""

    @staticmethod
    def around(inner: Provider) -> Attempting:
        """Put the policy around a provider."""
        raise NotImplementedError

    @pytest.mark.parametrize("target", [False, True])
    def test_it_makes_attempts_whatever_is_inside(self, target: bool) -> None:
        @virtual
        async def scenario() -> None:
            inner = Upstream()
            policy, one = self.around(Target(inner, model="m") if target else inner), call()
            reply = await policy.send(one)
            assert as_target(policy) is policy
            assert [attempt.target for attempt in one.context.attempts] == ["up/m" if target else "up/scripted"]
            assert reply.attempt is one.context.attempts[0]

        scenario()

    @virtual
    async def test_it_has_the_name_of_its_provider(self) -> None:
        assert self.around(Upstream(name="one")).name == "one"

    @virtual
    async def test_it_is_as_ready_as_its_provider(self) -> None:
        upstream = ReadyUpstream()
        policy = self.around(upstream)
        assert policy.ready(call()) is None
        upstream.unready = Unready("circuit_open", 5.0, "circuit open for 5.0 s")
        assert policy.ready(call()) is upstream.unready

    @virtual
    async def test_it_lists_the_models_of_its_provider(self) -> None:
        upstream = ReadyUpstream(models=["vendor/a", "other"])
        models = await self.around(Target(upstream, model="vendor/*")).models("cheap-*", deadline=7.0)
        assert [model["id"] for model in models.value["data"]] == ["cheap-a"]
        assert upstream.listings == [7.0]

    @virtual
    async def test_it_hands_the_call_down(self) -> None:
        upstream, one = Upstream(), call(deadline=50.0)
        await self.around(upstream).send(one)
        (asked,) = upstream.asked
        assert (asked.call.request, asked.call.context) == (one.request, one.context)
        assert asked.call.deadline == 50.0
        assert (one.deadline, one.attempt, one.repeats, one.elsewhere) == (50.0, None, None, False)

    @virtual
    async def test_an_error_comes_back_as_the_upstream_raised_it(self) -> None:
        error = RequestRejected("No.")
        with pytest.raises(RequestRejected) as caught:
            await self.around(Upstream([error])).send(call())
        assert caught.value is error

    @pytest.mark.parametrize("stream", [False, True])
    def test_it_keeps_the_deadline(self, stream: bool) -> None:
        @virtual
        async def scenario() -> None:
            upstream = Upstream([HANG])
            with pytest.raises(UpstreamTimeout) as caught:
                await self.around(upstream).send(call(stream=stream, deadline=5.0))
            assert (caught.value.code, now(), upstream.open) == ("total_timeout", 5.1, 0)

        scenario()

    @virtual
    async def test_its_streams_keep_the_deadline(self) -> None:
        upstream = Upstream(["a", HANG])
        with pytest.raises(UpstreamTimeout) as caught:
            await text_of(await self.around(upstream).send(call(stream=True, deadline=5.0)))
        assert (caught.value.code, now(), upstream.open) == ("total_timeout", 5.1, 0)

    @virtual
    async def test_a_whole_answer_has_ended(self) -> None:
        assert told_by(await self.around(Upstream()).send(call())) == [None]

    @virtual
    async def test_a_stream_that_ends_well_says_so_once(self) -> None:
        reply = await self.around(Upstream(["a", 1.0, "b"])).send(call(stream=True))
        told = told_by(reply)
        assert await text_of(reply) == "ab"
        await reply.aclose()
        assert told == [None]

    @virtual
    async def test_a_stream_that_breaks_says_so_once(self) -> None:
        error = UpstreamError("Odd.", code="odd")
        upstream = Upstream(["a", *LIVELY, error])
        reply = await self.around(upstream).send(call(stream=True))
        told = told_by(reply)
        with pytest.raises(UpstreamError) as caught:
            await text_of(reply)
        await reply.aclose()
        assert caught.value is error
        assert (told, upstream.open) == ([error], 0)

    @pytest.mark.parametrize("reads", [0, 1, 2])
    def test_a_stream_that_is_closed_says_so_once(self, reads: int) -> None:
        @virtual
        async def scenario() -> None:
            upstream = Upstream(["a", *LIVELY, HANG])
            reply = await self.around(upstream).send(call(stream=True))
            assert reply.stream is not None
            told = told_by(reply)
            for _ in range(reads):
                await anext(reply.stream)
            await reply.aclose()
            await reply.aclose()
            assert [type(error) for error in told] == [asyncio.CancelledError]
            assert upstream.open == 0

        scenario()

    @virtual
    async def test_a_stream_is_that_of_the_upstream(self) -> None:
        class Counting(Upstream):
            async def send(self, call: Call, /) -> Reply:
                reply = await super().send(call)
                reply.warnings, reply.headers = ("seed_ignored",), (("x-gigachat-request-id", "r1"),)
                return reply

        reply = await self.around(Counting(["a", "b"])).send(call(stream=True))
        assert (reply.provider, reply.warnings) == ("up", ("seed_ignored",))
        assert ("x-gigachat-request-id", "r1") in reply.headers
        assert await text_of(reply) == "ab"
        assert reply.stream is not None
        assert reply.stream.characters == 2

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_client_that_leaves_closes_the_upstream(self, stream: bool) -> None:
        @virtual
        async def scenario() -> None:
            upstream, one = Upstream([HANG]), call(stream=stream, deadline=60.0)
            task = asyncio.create_task(self.around(upstream).send(one))
            await asyncio.sleep(1.0)
            assert upstream.open == 1
            task.cancel()
            await asyncio.wait([task])
            assert (task.cancelled(), upstream.open, now()) == (True, 0, 1.0)
            assert [type(attempt.error) for attempt in one.context.attempts] == [asyncio.CancelledError]

        scenario()

    @virtual
    async def test_closing_it_closes_its_provider_once(self) -> None:
        upstream = Upstream()
        policy = self.around(upstream)
        await policy.send(call())
        await policy.aclose()
        assert upstream.closings == 1


def policies(base: type[Wrapper] = Wrapper) -> set[type[Any]]:
    """Every policy that xrouter_asgi has."""
    ours = {each for each in base.__subclasses__() if each.__module__.startswith("xrouter_asgi.")}
    return ours.union(*(policies(each) for each in ours))
