"""What counts as an attempt, and under which names models are listed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.policies.upstream import ReadyUpstream, Upstream, call
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.policies.backoff import Backoff
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.hedge import Hedge
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.policies.stack import resilient, stack
from xrouter_asgi.providers.base import Call, Provider, Reply
from xrouter_asgi.providers.by_dialect import ByDialect
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.providers.target import Target, Wrapper, as_target
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.virtual import virtual


class Bare:
    """A provider or policy of a user's, which has nothing but what `Provider` asks for."""

    def __init__(self, inner: Provider) -> None:
        self.name = inner.name
        self._inner = inner

    async def send(self, call: Call, /) -> Reply:
        return await self._inner.send(call)

    async def aclose(self) -> None:
        await self._inner.aclose()


class Own(Wrapper):
    """A policy of a user's that is a wrapper."""


def flaky(failures: int = 1) -> Upstream:
    return Upstream(*[[UpstreamUnavailable("Down.")]] * failures, ["hi"])


@pytest.mark.parametrize("provider", [Target(Upstream()), Own(Upstream()), Retry(Upstream()), resilient(Upstream())])
def test_what_makes_attempts_is_left_alone(provider: Provider) -> None:
    assert as_target(provider) is provider


def test_anything_else_gets_a_target_that_asks_for_the_clients_model() -> None:
    provider = Bare(Upstream())
    target = as_target(provider)
    assert isinstance(target, Target)
    assert (target.inner, target.model) == (provider, None)


@pytest.mark.parametrize(
    ("put_together", "attempts"),
    [
        (lambda upstream: upstream, 1),
        (Bare, 1),
        (Target, 1),
        (lambda upstream: Target(Target(upstream)), 1),
        (lambda upstream: Target(Bare(Target(upstream))), 1),
        (Own, 1),
        (lambda upstream: Own(Own(Target(upstream))), 1),
        (Retry, 2),
        (lambda upstream: Retry(Target(upstream, model="m")), 2),
        (lambda upstream: Retry(Bare(upstream)), 2),
        (lambda upstream: Retry(Own(upstream)), 2),
        (lambda upstream: Own(Retry(upstream)), 2),
        (lambda upstream: Bare(Retry(upstream)), 1),
        (lambda upstream: resilient(upstream), 2),
        (lambda upstream: resilient(Target(upstream, model="m")), 2),
        (lambda upstream: stack([Candidate(upstream, "a")]), 2),
        (lambda upstream: stack([Candidate(Target(upstream), "a"), Candidate(Upstream(), "b")]), 2),
        (lambda upstream: Fallback([Candidate(upstream, "a"), Candidate(Upstream(), "b")]), 2),
        (lambda upstream: Fallback([Candidate(Bare(upstream), "a"), Candidate(Retry(Upstream()), "b")]), 2),
        (lambda upstream: Hedge(upstream, second=Upstream()), 1),
    ],
    ids=itertools.count(),
)
def test_attempts_do_not_depend_on_how_a_provider_is_put_together(
    put_together: Callable[[Upstream], Provider], attempts: int
) -> None:
    @virtual
    async def scenario() -> None:
        fails = 0 if attempts == 1 else 1
        one = call()
        reply = await as_target(put_together(flaky(fails))).send(one)
        assert [type(attempt.error) for attempt in one.context.attempts] == [
            *[UpstreamUnavailable] * fails,
            type(None),
        ]
        assert reply.attempt is one.context.attempts[-1]
        assert all(attempt.ended is not None for attempt in one.context.attempts)

    scenario()


class Native(Bare):
    """A provider that sends what clients of Responses wrote."""

    def speaks(self, dialect: str, /) -> bool:
        return dialect == "responses"


@pytest.mark.parametrize(
    "put_together",
    [
        Target,
        lambda native: Target(Target(native)),
        lambda native: Target(Retry(native)),
        lambda native: Own(Retry(Target(native))),
        lambda native: stack([Candidate(Upstream(), "a"), Candidate(native, "b")]),
        lambda native: ByDialect(native, {}),
    ],
    ids=itertools.count(),
)
def test_a_policy_speaks_what_its_provider_speaks(put_together: Callable[[Any], Any]) -> None:
    native, bare = put_together(Native(Upstream())), put_together(Bare(Upstream()))
    assert [native.speaks(dialect) for dialect in ("responses", "messages")] == [True, False]
    assert not bare.speaks("responses")


@virtual
async def test_what_a_policy_repeats_that_is_no_wrapper_is_one_attempt() -> None:
    upstream, one = flaky(2), call()
    await as_target(Bare(Retry(upstream, backoff=Backoff(base=0.1)))).send(one)
    assert (len(upstream.asked), len(one.context.attempts)) == (3, 1)


@virtual
async def test_the_inner_of_two_targets_says_which_model_is_asked_for() -> None:
    upstream = Upstream()
    await Target(Target(upstream, model="vendor/*"), model="outer").send(Call(call().request, stem="m1"))
    assert [(asked.call.model, len(asked.call.context.attempts)) for asked in upstream.asked] == [("vendor/m1", 1)]


@virtual
async def test_a_provider_that_does_not_say_whether_it_is_ready_is() -> None:
    assert Target(Bare(Upstream())).ready(call()) is None


@pytest.mark.parametrize(
    ("model", "names", "listed"),
    [
        ("vendor/*", "cheap-*", ["cheap-a", "cheap-b"]),
        ("vendor/*", "*", ["a", "b"]),
        ("*", "up/*", ["up/vendor/a", "up/vendor/b", "up/other"]),
        (None, "vendor/*", ["vendor/a", "vendor/b"]),
        (None, "*", ["vendor/a", "vendor/b", "other"]),
    ],
)
@pytest.mark.parametrize("around", [lambda target: target, Retry, Own, resilient], ids=["alone", "Retry", "Own", "all"])
def test_a_pattern_lists_what_its_star_may_stand_for_under_the_clients_names(
    around: Callable[[Target], Target | Wrapper], model: str | None, names: str, listed: Sequence[str]
) -> None:
    @virtual
    async def scenario() -> None:
        upstream = ReadyUpstream(models=["vendor/a", "vendor/b", "other"])
        models = await around(Target(upstream, model=model)).models(names, deadline=7.0)
        assert [each["id"] for each in models.value["data"]] == listed
        assert upstream.listings == [7.0]

    scenario()


@virtual
async def test_a_policy_around_a_provider_lists_its_models_under_the_names_of_the_pattern() -> None:
    upstream = ReadyUpstream(models=["vendor/a", "other"])
    models = await Retry(upstream).models("vendor/*")
    assert [each["id"] for each in models.value["data"]] == ["vendor/a"]


@pytest.mark.parametrize(("model", "names"), [("m", "m"), ("m", "up/*"), (None, "m")])
def test_a_fixed_model_lists_nothing_and_asks_nobody(model: str | None, names: str) -> None:
    @virtual
    async def scenario() -> None:
        upstream = ReadyUpstream(models=["m"])
        assert (await Target(upstream, model=model).models(names)).value["data"] == []
        assert upstream.listings == []

    scenario()


@virtual
async def test_a_provider_without_a_list_lists_nothing() -> None:
    assert (await Target(Bare(Upstream()), model="*").models()).value["data"] == []


@pytest.mark.parametrize(
    ("mistaken", "told"),
    [
        (EchoProvider, "EchoProvider is a class. Make an instance of it: EchoProvider(…)."),
        ("openai/gpt-5", "A str is no provider: it has no method 'send'."),
    ],
)
def test_what_is_no_provider_is_refused_at_once(mistaken: Any, told: str) -> None:
    with pytest.raises(TypeError) as caught:
        LLMRouter({"a": mistaken})
    assert str(caught.value) == told
