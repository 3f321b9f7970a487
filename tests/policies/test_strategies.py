from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from tests.policies.candidates import call, candidate, embedding
from xrouter_asgi.limits.prices import Price
from xrouter_asgi.policies.candidates import Candidate, CandidateStats, Capabilities, Requirements
from xrouter_asgi.policies.strategies import Strategy, by_weight, in_order, lowest_cost, two_choices


def stats(**options: dict[str, Any]) -> list[CandidateStats]:
    return [CandidateStats(candidate(name, **more)) for name, more in options.items()]


def names(
    strategy: Strategy, of: list[CandidateStats], requirements: Requirements | None = None, seed: int = 1
) -> list[str]:
    ranked = strategy(of, requirements or Requirements(call()), Random(seed))
    return [each.stats.candidate.name.removesuffix("/m") for each in ranked]


def test_in_order_keeps_the_order() -> None:
    assert names(in_order, stats(b={}, a={}, c={})) == ["b", "a", "c"]


def test_by_weight_each_is_first_as_often_as_it_weighs() -> None:
    of = stats(a={"weight": 3}, b={"weight": 1})
    first = Counter(names(by_weight, of, seed=seed)[0] for seed in range(4000))
    assert first["a"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_by_weight_what_weighs_nothing_comes_last_in_the_order_of_the_configuration() -> None:
    of = stats(b={"weight": 0}, a={"weight": 0}, c={"weight": 0.001})
    assert all(names(by_weight, of, seed=seed) == ["c", "b", "a"] for seed in range(50))


def test_the_cheapest_for_this_call_comes_first() -> None:
    of = stats(unknown={}, long={"price": Price(1, 10)}, short={"price": Price(5, 2)})
    short = Requirements(call(max_tokens=400))
    long = Requirements(call(messages=[{"role": "user", "content": "x" * 60_000}], max_tokens=400))
    assert names(lowest_cost, of, short) == ["short", "long", "unknown"]
    assert names(lowest_cost, of, long) == ["long", "short", "unknown"]


def test_two_choices_puts_the_worst_of_three_never_first() -> None:
    of = stats(slow={}, fast={}, loaded={})
    for each, latency, load in zip(of, (4.0, 1.0, 1.0), (0, 0, 8), strict=True):
        each.latency, each.load = latency, load
    orders = {tuple(names(two_choices, of, seed=seed)) for seed in range(100)}
    assert orders == {("fast", "slow", "loaded"), ("slow", "fast", "loaded")}


def test_two_choices_of_two_idle_candidates_prefers_the_faster() -> None:
    of = stats(slow={}, fast={})
    of[0].latency, of[1].latency = 4.0, 1.0
    assert {names(two_choices, of, seed=seed)[0] for seed in range(50)} == {"fast"}


def test_two_choices_spreads_over_those_that_were_never_asked() -> None:
    of = stats(a={}, b={}, c={})
    assert {names(two_choices, of, seed=seed)[0] for seed in range(50)} == {"a", "b", "c"}


def test_two_choices_of_one_is_that_one() -> None:
    assert names(two_choices, stats(a={})) == ["a"]


def test_what_there_is_no_number_for_has_no_score() -> None:
    of = stats(a={"weight": 0}, b={"price": Price(4, 2)}, c={"weight": 0})
    requirements = Requirements(call(messages=[{"role": "user", "content": "x" * 6000}], max_tokens=500))
    by_price, weighed = lowest_cost(of, requirements, Random(1)), by_weight(of, requirements, Random(1))
    assert [each.score for each in by_price] == [pytest.approx(0.005), None, None]
    assert [each.score is None for each in weighed] == [False, True, True]
    assert [each.score for each in in_order(of, requirements, Random(1))] == [None] * 3


@pytest.mark.parametrize("strategy", [in_order, by_weight, lowest_cost, two_choices])
def test_a_strategy_loses_and_doubles_no_candidate(strategy: Strategy) -> None:
    of = stats(**{name: {"weight": index, "price": Price(index, 1)} for index, name in enumerate("abcde")})
    assert sorted(names(strategy, of)) == list("abcde")


@pytest.mark.parametrize("strategy", [in_order, by_weight, lowest_cost, two_choices])
def test_a_strategy_is_pure(strategy: Strategy) -> None:
    of = stats(**{name: {"weight": index + 1} for index, name in enumerate("abcde")})
    assert names(strategy, of, seed=7) == names(strategy, of, seed=7)


class TestRequirements:
    def test_a_token_of_a_text_has_six_characters_at_most(self) -> None:
        parts = [{"type": "text", "text": "x" * 30}, {"type": "image_url", "image_url": {"url": "data:" + "y" * 999}}]
        messages = [{"role": "system", "content": "x" * 30}, {"role": "user", "content": parts}]
        assert Requirements(call(messages=messages)).prompt_tokens == 10

    def test_a_message_without_content_counts_nothing(self) -> None:
        assert Requirements(call(messages=[{"role": "assistant", "content": None}])).prompt_tokens == 0

    @pytest.mark.parametrize(
        ("value", "tokens"),
        [("x" * 60, 10), (["x" * 60, "x" * 600], 100), ([1, 2, 3], 3), ([[1, 2], [1, 2, 3]], 3)],
    )
    def test_the_longest_input_of_embeddings_has_to_fit(self, value: Any, tokens: int) -> None:
        assert Requirements(embedding(value)).prompt_tokens == tokens

    @pytest.mark.parametrize(
        ("asked", "tokens"),
        [({}, 500), ({"max_tokens": 20}, 20), ({"max_completion_tokens": 9000}, 500), ({"max_tokens": 20, "n": 3}, 60)],
    )
    def test_an_answer_is_taken_to_be_short_and_within_its_bound(self, asked: dict[str, Any], tokens: int) -> None:
        assert Requirements(call(**asked)).answer_tokens == tokens

    def test_embeddings_need_nothing_but_room(self) -> None:
        requirements = Requirements(embedding("text"))
        assert (requirements.tools, requirements.vision, requirements.json_schema, requirements.answer_tokens) == (
            False,
            False,
            False,
            0,
        )

    def test_a_json_object_is_no_schema(self) -> None:
        assert not Requirements(call(response_format={"type": "json_object"})).json_schema

    def test_a_model_of_which_nothing_is_known_lacks_nothing(self) -> None:
        requirements = Requirements(call(tools=[{"type": "function", "function": {"name": "f"}}]))
        assert candidate("a").missing_capability(requirements) is None
        assert candidate("a", capabilities=Capabilities(tools=False)).missing_capability(requirements) == "tools"


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_a_weight_below_0_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="Write a number of 0 or more"):
        Candidate(candidate("a").provider, "a/m", weight=weight)
