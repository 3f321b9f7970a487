"""Which counts a caller has."""

from __future__ import annotations

from xrouter_asgi.limits.rules import LimitRules, Subject


def test_all_counts_of_a_caller_are_found_but_for_those_per_model() -> None:
    rules = LimitRules(
        "60/minute; 100 tokens/minute; 2 parallel; 3/day per model; 4 choices/request; 5 USD/day per group",
        {"big-*": "9 tokens/minute; 7/hour", "other": "4000 tokens/request"},
    )
    subject = Subject("key", None, "address", limits=("30/minute",), groups=("red", "blue"))
    assert [(str(charge.limit), charge.models, charge.subject, charge.cost) for charge in rules.counts(subject)] == [
        ("30 per 1 minute", None, "key", 0),
        ("2 parallel requests", None, "key", 0),
        ("100 tokens per 1 minute", None, "key", 0),
        ("5 USD per 1 day", None, "red", 0),
        ("5 USD per 1 day", None, "blue", 0),
        ("9 tokens per 1 minute", "big-*", "key", 0),
        ("7 per 1 hour", "big-*", "key", 0),
    ]
    assert {charge.limit.unit for charge in rules.budgets(subject)} == {"money"}
