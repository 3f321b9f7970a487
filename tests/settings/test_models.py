"""The tables of models, and what is built from them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from tests.settings.test_document import problems
from xrouter_asgi.kept import MemoryAnswers
from xrouter_asgi.limits.prices import Price
from xrouter_asgi.policies.candidates import Capabilities
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.hedge import Hedge
from xrouter_asgi.policies.prebuffer import Prebuffer
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.policies.stack import Patience
from xrouter_asgi.policies.strategies import STRATEGIES, by_weight
from xrouter_asgi.policies.timeout import Deadline, Timeout
from xrouter_asgi.policies.upstream_state import UpstreamState
from xrouter_asgi.providers.target import Target
from xrouter_asgi.settings import Settings
from xrouter_asgi.standalone import build_providers

PROVIDERS = {
    "echo": {"kind": "echo"},
    "short": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "timeouts": {"total": 100}},
    "long": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "timeouts": {"total": 900}},
    "endless": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "timeouts": {"total": float("inf")}},
    "own": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "own_key": True},
}


def built(*targets: Any, accounts: dict[str, UpstreamState] | None = None, **more: Any) -> tuple[Any, Fallback]:
    """What stands outside of a model's fallback, and the fallback."""
    settings = Settings.parse({"providers": PROVIDERS, "models": {"m": {"targets": list(targets), **more}}})
    outer = settings.models["m"].build(
        build_providers(settings),
        settings.providers,
        {} if accounts is None else accounts,
        MemoryAnswers(),
        settings.price_list(),
    )
    fallback = outer.inner if isinstance(outer, Deadline) else outer
    assert isinstance(fallback, Fallback)
    return outer, fallback


def test_a_target_as_a_table_says_more_of_a_candidate() -> None:
    table = {
        "provider": "echo",
        "model": "parrot",
        "weight": 2,
        "price": {"input": 1, "output": 3},
        "capabilities": {"vision": False, "context": 8000},
        "max_parallel": 4,
    }
    _, fallback = built(table, "echo/echo")
    first, second = fallback.candidates
    assert (first.name, first.weight, first.price, first.max_parallel) == ("echo/parrot", 2, Price(1, 3), 4)
    assert first.capabilities == Capabilities(vision=False, context=8000)
    assert (second.weight, second.price, second.capabilities) == (1, None, Capabilities())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_can_be_named(strategy: str) -> None:
    _, fallback = built("echo/echo", strategy=strategy)
    assert fallback._strategy is STRATEGIES[strategy]


def test_the_literals_are_the_strategies() -> None:
    (problem,) = problems('providers.a.kind = "echo"\nmodels.m = { targets = ["a/b"], strategy = "random" }')
    assert problem == "models.m.strategy is 'random'. Write " + " or ".join(
        [", ".join(f"'{name}'" for name in list(STRATEGIES)[:-1]), f"'{list(STRATEGIES)[-1]}'."]
    )


@pytest.mark.parametrize(
    ("targets", "patience", "total"),
    [
        (["short/m", "long/m"], {}, 900),
        (["short/m", "endless/m"], {}, None),
        (["echo/m"], {}, None),
        (["echo/m", "short/m"], {}, 100),
        (["short/m", "long/m"], {"total": 5}, 5),
        (["short/m"], {"total": float("inf")}, None),
    ],
)
def test_the_deadline_is_the_models_own_or_that_of_the_most_patient_provider(
    targets: list[str], patience: dict[str, float], total: float | None
) -> None:
    outer, _ = built(*targets, patience=patience)
    assert (outer._total if isinstance(outer, Deadline) else None) == total


def test_clocks_and_retries_are_those_of_the_table() -> None:
    _, fallback = built("echo/m", patience={"first": 3, "idle": 4, "attempts": 2, "retry_billed": True})
    retry: Any = fallback.candidates[0].provider
    assert isinstance(retry, Retry)
    assert (retry._attempts, retry._retry_billed) == (2, True)
    clocks: Any = retry.inner
    while not isinstance(clocks, Timeout):
        clocks = clocks.inner
    assert (clocks._first, clocks._idle) == (3, 4)


def test_a_prebuffer_is_that_of_the_table() -> None:
    _, fallback = built("echo/m", patience={"prebuffer": 0.5, "prebuffer_tokens": 20})
    hold: Any = fallback.candidates[0].provider
    while not isinstance(hold, Prebuffer):
        hold = hold.inner
    assert (hold._seconds, hold._tokens) == (0.5, 20)


def test_fallback_and_hedges_are_those_of_the_table() -> None:
    _, fallback = built("echo/a", "echo/b", session_affinity=True, content_policy=True, hedge=0.1, strategy="by_weight")
    assert fallback._affinity is not None
    assert (fallback._content_policy, fallback._strategy) == (True, by_weight)
    assert all(isinstance(candidate.provider, Hedge) for candidate in fallback.candidates)


def test_models_share_the_account_at_a_provider() -> None:
    accounts: dict[str, UpstreamState] = {}
    for _ in range(2):
        built("echo/a", "short/m", accounts=accounts)
    assert set(accounts) == {"echo", "short"}


@pytest.mark.parametrize("targets", [["echo/m"], ["echo/m", "echo/n"]], ids=["alone", "among others"])
def test_a_target_is_asked_three_times_unless_told_otherwise(targets: list[str]) -> None:
    _, fallback = built(*targets)
    first = fallback.candidates[0].provider
    assert isinstance(first, Retry)
    assert first._attempts == 3
    _, fallback = built(*targets, patience={"attempts": 1})
    assert not isinstance(fallback.candidates[0].provider, Retry)


def test_a_provider_with_keys_of_callers_own_has_no_breaker() -> None:
    _, fallback = built("own/m", "echo/m")
    own, other = fallback.candidates
    assert isinstance(own.provider, Target)
    assert isinstance(other.provider, Retry)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('targets = [{ provider = "b", model = "m" }]', "models.m.targets[0] names provider 'b'. Known: a."),
        (
            'targets = [{ provider = "a", model = "x-*" }]',
            (
                "models.m.targets[0] holds a '*', but the name 'm' has none that it could stand for. "
                "Write the model's name."
            ),
        ),
        (
            'targets = [{ provider = "a", model = "" }]',
            "models.m.targets[0].model is ''. Write the name of a model, with at most one '*'.",
        ),
        ('targets = [{ provider = "a" }]', "models.m.targets[0].model is missing. Write it."),
        (
            'targets = [{ provider = "a", model = "b", price = { inputs = 1, output = 2, input = 1 } }]',
            (
                "models.m.targets[0].price has no key 'inputs'. Did you mean 'input'? "
                "Known: above, cache_write, cache_write_1h, cached, input, output, request."
            ),
        ),
        (
            'targets = [{ provider = "a", model = "b", capabilities = { audio = true } }]',
            "models.m.targets[0].capabilities has no key 'audio'. Known: context, json_schema, tools, vision.",
        ),
        (
            'targets = ["a/b"]\npatience = { tries = 1 }',
            f"models.m.patience has no key 'tries'. Known: {', '.join(sorted(key.name for key in fields(Patience)))}.",
        ),
        ('targets = ["a/b"]\npatience = { idle = 0 }', "models.m.patience.idle is 0. It should be greater than 0."),
        ('targets = ["a/b"]\npatience = { idle = inf }', "models.m.patience.idle is inf. It should be less than inf."),
        (
            'targets = [{ provider = "a", model = "b", price = { input = 1, output = inf } }]',
            "models.m.targets[0].price.output is inf. It should be a finite number.",
        ),
        ('targets = ["a/b"]\npatience = 3', "models.m.patience is no table. Write one, [models.m.patience]."),
        ('targets = ["a/b"]\nhedge = 3', "models.m.hedge is 3. It should be less than or equal to 1."),
    ],
)
def test_a_mistake_says_what_to_write(table: str, problem: str) -> None:
    assert problems(f'providers.a.kind = "echo"\n[models.m]\n{table}') == [problem]


class TestVersion:
    def test_it_changes_with_a_setting(self) -> None:
        versions = {
            Settings.parse({"providers": {"a": {"kind": "echo"}}, "server": server}).version
            for server in ({}, {"port": 8001})
        }
        assert len(versions) == 2
        assert all(len(version) == 8 for version in versions)

    def test_it_tells_no_bound_from_the_bound_of_the_providers(self) -> None:
        document = {"providers": {"a": {"kind": "echo"}}, "models": {"m": {"targets": ["a/b"]}}}
        endless = {"models": {"m": {"targets": ["a/b"], "patience": {"total": float("inf")}}}}
        assert Settings.parse(document).version != Settings.parse(document | endless).version

    def test_it_says_nothing_of_a_secret(self) -> None:
        document = {"providers": {"a": {"kind": "openai", "base_url": "http://x", "api_key": "env:KEY"}}}
        versions = {Settings.parse(document, environment={"KEY": key}).version for key in ("one", "two")}
        assert len(versions) == 1
