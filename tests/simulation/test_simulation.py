"""Seeds keep the promises; a gateway that breaks one is caught; a seed is always the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from tests.simulation.__main__ import main
from tests.simulation.onion import Onion
from tests.simulation.upstream import SimulatedUpstream
from tests.simulation.world import Broken, live
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.prebuffer import Prebuffer
from xrouter_asgi.policies.retry_budget import RetryBudget
from xrouter_asgi.policies.stack import Patience, stack
from xrouter_asgi.policies.timeout import Deadline, Timeout
from xrouter_asgi.providers.target import Target
from xrouter_asgi.queueing.slots import Slot
from xrouter_asgi.wire.stream import ChatStream

Sabotage: TypeAlias = Callable[[pytest.MonkeyPatch], None]

SEEDS = 300


def try_seeds(seeds: range) -> None:
    for seed in seeds:
        live(seed)


@pytest.mark.parametrize("tenth", range(10))
def test_seeds_keep_the_promises(tenth: int) -> None:
    try_seeds(range(tenth * SEEDS // 10, (tenth + 1) * SEEDS // 10))


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_is_always_the_same(seed: int) -> None:
    assert live(seed) == live(seed)


def clocks_that_stand_still(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Timeout, "send", lambda self, call: self.inner.send(call))
    patch.setattr(Deadline, "send", lambda self, call: self.inner.send(call))


def attempts_without_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tests.simulation.onion.ATTEMPTS", 6)


def a_bottomless_budget(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RetryBudget, "retry", lambda self: True)


def a_budget_for_the_dead(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RetryBudget, "failure", lambda self: None)


def a_hold_that_drops_the_beginning(patch: pytest.MonkeyPatch) -> None:
    original = Prebuffer.send

    async def send(self: Any, call: Any, /) -> Any:
        reply = await original(self, call)
        if isinstance(reply.body, ChatStream) and self._tokens > 1:
            await anext(reply.body, None)
        return reply

    patch.setattr(Prebuffer, "send", send)


def an_end_that_is_always_good(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChatStream, "_complete", True)


def streams_that_stay_open(patch: pytest.MonkeyPatch) -> None:
    async def shut(self: Any) -> None:
        self._close = None

    patch.setattr(ChatStream, "_shut", shut)


def reservations_that_nobody_settles(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("xrouter_asgi.middleware.rate_limit._LimitedRequest.settle", lambda self: None)


def slots_that_are_never_free(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Slot, "release", lambda self: None)


def a_fallback_after_the_commit_point(patch: pytest.MonkeyPatch) -> None:
    original = Fallback.send

    async def send_and_ask_again(self: Any, call: Any, /) -> Any:
        reply = await original(self, call)
        if isinstance(reply.body, ChatStream):
            first = reply.body

            async def spliced(rest: Any) -> Any:
                async for batch in rest:
                    yield batch
                again: Any = await original(self, call)
                async for batch in again.body:
                    yield batch

            first.read_through(spliced)
        return reply

    patch.setattr(Fallback, "send", send_and_ask_again)


@pytest.mark.parametrize(
    ("promise", "sabotage"),
    [
        ("R1", clocks_that_stand_still),
        ("R2", attempts_without_end),
        ("R3", a_bottomless_budget),
        ("R3.*in a row", a_budget_for_the_dead),
        ("R4", a_fallback_after_the_commit_point),
        ("R6", a_hold_that_drops_the_beginning),
        ("R5", an_end_that_is_always_good),
        ("R7|R11", streams_that_stay_open),
        ("R8", reservations_that_nobody_settles),
        ("R11", slots_that_are_never_free),
    ],
)
def test_a_gateway_that_breaks_a_promise_is_caught(
    promise: str, sabotage: Sabotage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)
    with pytest.raises(Broken, match=promise):
        try_seeds(range(SEEDS))


def skins(provider: Any) -> Iterator[str]:
    """The classes from the outside in, by way of the first candidate."""
    while provider is not None:
        yield type(provider).__name__
        provider = (
            provider.candidates[0].provider if isinstance(provider, Fallback) else getattr(provider, "inner", None)
        )


def test_the_policies_stand_as_in_a_stack() -> None:
    upstreams = [SimulatedUpstream(name, random.Random(0)) for name in "ab"]
    candidates = [Candidate(Target(each, model="m"), f"{each.name}/m", max_parallel=1) for each in upstreams]
    real = stack(candidates, patience=Patience(first=5.0, idle=10.0))
    by_chance = ("Gate", "Hedge", "Prebuffer")
    simulated = [name for name in skins(Onion(upstreams, random.Random(0)).provider) if name not in by_chance]
    assert simulated == list(skins(real))


class TestCommand:
    def test_it_counts_the_seeds_that_keep_the_promises(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--seeds", "3", "--first", "7"]) == 0
        assert capsys.readouterr().out.startswith("3 seeds keep the promises.")

    def test_it_names_the_seed_that_does_not_and_replays_it(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reservations_that_nobody_settles(monkeypatch)
        assert main([]) == 1
        said = capsys.readouterr().out
        assert "R8" in said
        seed = said.split()[-1]
        assert main(["--seed", seed]) == 1
        assert f"Seed {seed}: Broken: R8" in capsys.readouterr().out

    def test_it_shows_the_journal_of_a_seed(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--seed", "3"]) == 0
        assert " asks " in capsys.readouterr().out
