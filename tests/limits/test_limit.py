from __future__ import annotations

import re

import pytest

from xrouter_asgi.limits.limit import Limit, parse_limits
from xrouter_asgi.limits.prices import NANO


def unreadable() -> str:
    """What is said about a limit that cannot be read."""
    with pytest.raises(ValueError, match="cannot be read") as refused:
        Limit.parse("?")
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("60/minute", Limit(60, "requests", 60.0, "key")),
        ("60 requests / minute", Limit(60, "requests", 60.0, "key")),
        ("1 request per 10 seconds", Limit(1, "requests", 10.0, "key")),
        ("5 per 2 hours per address", Limit(5, "requests", 7200.0, "address")),
        ("100000 tokens/day per owner", Limit(100_000, "tokens", 86_400.0, "owner")),
        ("1 TOKEN PER MINUTE PER ALL", Limit(1, "tokens", 60.0, "all")),
        ("8 parallel", Limit(8, "parallel", 0.0, "key")),
        (" 8  parallel  per  model ", Limit(8, "parallel", 0.0, "model")),
        ("4000 tokens/request", Limit(4000, "output", 0.0, "key")),
        ("4 choices per request", Limit(4, "choices", 0.0, "key")),
        ("3/month", Limit(3, "requests", 2_592_000.0, "key")),
        ("60/min", Limit(60)),
        ("60 rpm", Limit(60)),
        ("1k/minute", Limit(1000)),
        ("2.5k tph per owner", Limit(2500, "tokens", 3600.0, "owner")),
        ("1_000_000 tokens/week", Limit(1_000_000, "tokens", 604_800.0)),
        ("2M tpd", Limit(2_000_000, "tokens", 86_400.0)),
        ("5 req/10s", Limit(5, window=10.0)),
        ("20 USD/day", Limit(20 * NANO, "money", 86_400.0, currency="USD")),
        ("0.5 usd / hour per model", Limit(NANO // 2, "money", 3600.0, "model", currency="USD")),
        ("0.000000001 EUR/s", Limit(1, "money", 1.0, currency="EUR")),
        (
            "1500 RUB/calendar month per owner",
            Limit(1500 * NANO, "money", 31 * 86_400.0, "owner", "month", "RUB"),
        ),
        ("100 tokens per calendar week", Limit(100, "tokens", 604_800.0, "key", "week")),
        ("1000/calendar day", Limit(1000, "requests", 86_400.0, "key", "day")),
    ],
)
def test_the_notation_is_read(text: str, limit: Limit) -> None:
    assert Limit.parse(text) == limit


@pytest.mark.parametrize(
    "text",
    [
        "",
        "60",
        "60/",
        "/minute",
        "60/fortnight",
        "60/minute per cat",
        "60/minute per",
        "60/0 minutes",
        "8 parallel/minute",
        "8 parallel tokens",
        "-1/minute",
        "4 choices/minute",
        "4/request",
        "1.5/minute",
        "60/minutess",
        "60 rpm/minute",
        "20 dollars/day",
        "20 USD",
        "20 USD/request",
        "20 USD parallel",
        "0.0000000001 USD/day",
        "5/calendar hour",
        "5/calendar 2 days",
        "5 choices/calendar day",
        "60/minute\n60/minute",
    ],
)
def test_what_cannot_be_read_is_answered_with_all_that_can(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be read") as refused:
        Limit.parse(text)
    words = ("rpm", "tokens", "10k", "currency", "parallel", "choices", "/month (30 days)", "calendar week", "/request")
    assert [word for word in (*words, "per owner", "per all", "';'") if word not in str(refused.value)] == []


@pytest.mark.parametrize("example", re.findall("'([^']*[0-9][^']*)'", unreadable().partition("Amount:")[0]))
def test_each_example_of_the_message_can_be_read(example: str) -> None:
    assert str(Limit.parse(example))


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("1000000000000000000/minute", "1000000000000000, not 1000000000000000000"),
        ("9000000.000000001 USD/day", "9000000 USD, not 9000000.000000001 USD"),
    ],
)
def test_an_amount_that_cannot_be_counted_exactly_is_refused(text: str, most: str) -> None:
    with pytest.raises(ValueError, match=f"must be at most {most}"):
        Limit.parse(text)


@pytest.mark.parametrize("text", ["0/minute", "0 parallel", "0 tokens/day"])
def test_a_limit_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be at least 1, not 0"):
        Limit.parse(text)


@pytest.mark.parametrize(
    "options", [{"window": 0.0}, {"window": -1.0}, {"unit": "parallel"}, {"unit": "parallel", "window": -1.0}]
)
def test_a_window_belongs_to_what_is_counted_over_time(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="cannot have a window of"):
        Limit(1, **options)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (Limit.parse("60/minute"), "60 per 1 minute"),
        (Limit.parse("60/90 seconds"), "60 per 90 seconds"),
        (Limit.parse("60/120 seconds"), "60 per 2 minutes"),
        (Limit.parse("100000 tokens/day"), "100000 tokens per 1 day"),
        (Limit(5, window=0.5), "5 per 0.5 seconds"),
        (Limit.parse("8 parallel"), "8 parallel requests"),
        (Limit.parse("4000 tokens/request"), "4000 tokens of output per request"),
        (Limit.parse("1 choice/request"), "1 choices per request"),
        (Limit.parse("20.50 usd/day"), "20.5 USD per 1 day"),
        (Limit.parse("1500 RUB/calendar month"), "1500 RUB per calendar month"),
        (Limit.parse("1k tokens/calendar week"), "1000 tokens per calendar week"),
    ],
)
def test_a_limit_is_told_in_words(limit: Limit, text: str) -> None:
    assert str(limit) == text


@pytest.mark.parametrize(
    "limits",
    [
        "1/second; 8 parallel",
        "1/second, 8 parallel ;",
        "1/second | 8 parallel",
        ["1/second", "8 parallel"],
        ["1/second", Limit.parse("8 parallel")],
        ["1/second; 8 parallel", ""],
    ],
)
def test_several_limits_are_read_from_a_text_or_from_many(limits: str | list[str | Limit]) -> None:
    assert parse_limits(limits) == (Limit.parse("1/second"), Limit.parse("8 parallel"))
    assert parse_limits(Limit(1)) == (Limit(1),)


def test_two_limits_of_one_kind_are_a_mistake() -> None:
    assert len(parse_limits("1/minute; 1/hour; 1 tokens/minute; 1/minute per owner")) == 4
    with pytest.raises(ValueError, match="of the same kind: 1 per 1 minute; 2 per 1 minute"):
        parse_limits(["1/minute", "2/60 seconds"])


def test_a_day_of_the_calendar_is_another_kind_than_24_hours() -> None:
    assert len(parse_limits("20 USD/day; 20 USD/calendar day; 20 USD/calendar day per owner")) == 3


@pytest.mark.parametrize("options", [{"unit": "money"}, {"currency": "USD"}])
def test_a_currency_belongs_to_money(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot have the currency"):
        Limit(1, **options)  # type: ignore[arg-type]  # wrong on purpose
