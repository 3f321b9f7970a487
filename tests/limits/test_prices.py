"""What is charged for a request: exactly its price, and the dearest one before it is known."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.context import Usage
from xrouter_asgi.limits.prices import NANO, Price, Prices, in_units

MILLION = 10**6
DEAR = Price("2.50", "10", cached="1.25", cache_write="3.125", request="0.01")
LONG = Price(1, 2, above=(200_000, Price(2, 4)))

rates = st.decimals(0, 1000, places=4)


@pytest.mark.parametrize(
    ("price", "usage", "cost"),
    [
        (DEAR, Usage(0), "0.01"),
        (DEAR, Usage(MILLION), "2.51"),
        (DEAR, Usage(0, MILLION), "10.01"),
        (DEAR, Usage(MILLION, 0, MILLION), "1.26"),
        (DEAR, Usage(MILLION, 0, 0, MILLION), "3.135"),
        (DEAR, Usage(MILLION, MILLION, 400_000, 100_000, 900_000), "12.0725"),
        (DEAR, Usage(MILLION, 0, 0, MILLION, 0, MILLION), "5.01"),  # kept for an hour: 1.6 times as much
        (DEAR, Usage(MILLION, 0, 0, 400_000, 0, 100_000), "2.9475"),
        (Price(1, 1, cache_write_1h=3), Usage(MILLION, 0, 0, MILLION, 0, 500_000), "2"),
        (Price(1, 1), Usage(MILLION, 0, 0, MILLION, 0, MILLION), "1"),
        (Price(1, 1), Usage(MILLION, 0, MILLION, 0), "1"),  # a cache that has no price costs as much as the rest
        (LONG, Usage(200_000, MILLION), "2.2"),
        (LONG, Usage(200_001, 0), "0.400002"),
        (Price("0.0015", 0), Usage(1), "0.000000002"),
        (Price("0.001", 0), Usage(1), "0.000000001"),
        (Price(0, 0), Usage(MILLION, MILLION), "0"),
        (Price(0.1, 0.7), Usage(MILLION, MILLION), "0.8"),
    ],
)
def test_a_request_costs_the_sum_of_its_tokens_rounded_up_once(price: Price, usage: Usage, cost: str) -> None:
    assert price.cost(usage) == Decimal(cost) * NANO


@pytest.mark.parametrize(
    "usage", [Usage(10, 0, 20), Usage(10, 0, 0, 20), Usage(10, 0, 8, 8), Usage(10, 0, 20, 20, 0, 30)]
)
def test_no_more_input_is_charged_than_there_was(usage: Usage) -> None:
    assert Price(1, 1, cached=1, cache_write=1, cache_write_1h=1).cost(usage) == Price(1, 1).cost(Usage(10))


@given(input=rates, output=rates, cached=rates, usage=st.tuples(*[st.integers(0, 10**7)] * 3))
def test_a_cost_is_exact(input: Decimal, output: Decimal, cached: Decimal, usage: tuple[int, int, int]) -> None:
    prompt, completion, hit = usage
    hit = min(hit, prompt)
    exact = (prompt - hit) * Fraction(input) + completion * Fraction(output) + hit * Fraction(cached)
    assert Price(input, output, cached=cached).cost(Usage(prompt, completion, hit)) == -(-exact * 1000 // 1)


@pytest.mark.parametrize("number", [-1, "-0.1", "cheap", "NaN", float("inf"), 1_000_001, "1e-13"])
def test_what_is_no_price_is_refused(number: float | str) -> None:
    with pytest.raises(ValueError, match="Write a number from 0 to 1000000"):
        Price(number, 1)
    with pytest.raises(ValueError, match="Write a number from 0 to 1000000"):
        Price(1, 1, cached=number)
    with pytest.raises(ValueError, match="Write a number from 0 to 1000000"):
        Price(1, 1, cache_write_1h=number)


def test_a_step_below_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="The tokens of 'above' are -1"):
        Price(1, 1, above=(-1, DEAR))


class TestPrices:
    def test_a_name_wins_over_a_pattern_and_a_longer_pattern_over_a_shorter_one(self) -> None:
        prices = Prices({"*": Price(1, 1), "openai/*": Price(2, 2), "openai/gpt-*": Price(3, 3), "openai/gpt-4": DEAR})
        found = [prices.of(name) for name in ("x/y", "openai/o3", "openai/gpt-5", "openai/gpt-4")]
        assert found == [Price(1, 1), Price(2, 2), Price(3, 3), DEAR]

    def test_another_spelling_is_no_other_price(self) -> None:
        assert Prices({"openai/GPT-4": DEAR, "openai/*": Price(0, 0)}).of(" OpenAI/gpt-4 ") == DEAR

    def test_what_has_no_price_costs_nothing_that_is_known(self) -> None:
        prices = Prices({"openai/gpt-4": DEAR})
        assert (prices.of("openai/o3"), prices.cost("openai/o3", Usage(1))) == (None, None)
        assert prices.cost("openai/gpt-4", Usage(MILLION)) == 2_510_000_000
        assert (prices.knows("openai/gpt-4"), prices.knows("openai/o3")) == (True, False)
        assert (bool(prices), bool(Prices({}))) == (True, False)

    def test_no_target_of_a_model_is_dearer_than_the_most(self) -> None:
        prices = Prices({"a/x": Price(1, 9), "b/y": DEAR, "c/z": Price(99, 99)}, models={"m": ["a/x", "b/y"]})
        assert prices.most("m") == Price(5, 10, request="0.01")

    def test_the_most_counts_long_requests_at_their_own_price(self) -> None:
        prices = Prices({"a/x": LONG, "b/y": Price(3, 1, above=(100, Price(9, 1)))}, models={"m": ["a/x", "b/y"]})
        assert prices.most("m") == Price(3, 2, above=(100, Price(9, 4)))

    def test_a_target_without_a_price_is_left_out_of_the_most(self) -> None:
        prices = Prices({"a/x": DEAR}, models={"m": ["a/x", "b/y"], "n": ["b/y"]})
        assert prices.most("m") == Price(5, 10, request="0.01")
        assert (prices.most("n"), prices.most("unknown")) == (None, None)

    def test_a_pattern_stands_for_the_same_in_model_and_target(self) -> None:
        served = {"fast-*": ["a/*-mini"], "*": ["b/*"], "fast": ["c/z"]}
        prices = Prices({"a/gpt-mini": Price(1, 1), "b/*": Price(2, 2), "c/z": Price(3, 3)}, models=served)
        assert prices.most("fast-gpt") == Price(1, 1)
        assert prices.most("gpt") == Price(2, 2)
        assert prices.most("fast") == Price(3, 3)
        assert prices.most("fast-other") is None

    def test_without_models_a_model_is_what_a_provider_calls_so(self) -> None:
        prices = Prices({"a/gpt": Price(1, 1), "b/gpt": Price(2, 1), "c/*": Price(1, 5), "d/other": Price(99, 99)})
        assert prices.most("gpt") == Price(2, 5)
        assert Prices({"a/gpt": Price(1, 1)}).most("other") is None

    def test_newer_prices_count_from_now_on_and_others_stay(self) -> None:
        prices = Prices({"a/x": Price(1, 1), "a/y": Price(2, 2)}, models={"m": ["a/x"]})
        assert prices.most("m") == Price(1, 1)
        prices.update(Prices({"a/x": Price(5, 5)}, models={"n": ["a/x"]}))
        assert (prices.of("a/x"), prices.of("a/y")) == (Price(5, 5), Price(2, 2))
        assert (prices.most("m"), prices.most("n")) == (None, Price(5, 5))


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0"), (1, "0.000000001"), (20 * NANO, "20"), (1_230_000, "0.00123"), (10_500_000_000, "10.5")],
)
def test_an_amount_is_shown_exactly(nano: int, text: str) -> None:
    assert in_units(nano) == text
