"""What is written down of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.bookkeeping.requests import attempt, ended
from xrouter_asgi import Price, Prices, Principal
from xrouter_asgi.bookkeeping.entry import entry_of
from xrouter_asgi.context import CostEstimate
from xrouter_asgi.decision import Cost, Usage
from xrouter_asgi.errors import UpstreamTimeout, UpstreamUnavailable
from xrouter_asgi.events import RequestEnded
from xrouter_asgi.ledger import Entry

AT = datetime(2026, 11, 30, tzinfo=UTC)
PRICES = Prices({"up/small-2": Price(input=1, output=2), "too/small-2": Price(input=10, output=20)})


def written(
    event: RequestEnded,
    *,
    prices: Prices | None = PRICES,
    models: Callable[[str], str | None] | None = None,
    labels: tuple[str, ...] = (),
) -> Entry:
    return entry_of(event, id="1", at=AT, prices=prices, models=models, labels=labels)


def test_a_plain_request_has_what_the_upstream_counted_at_its_price() -> None:
    entry = written(ended(usage=Usage(10, 5, 4, 3, 2), streamed=True))
    assert (entry.input, entry.output, entry.cached, entry.cache_write, entry.reasoning) == (10, 5, 4, 3, 2)
    assert (entry.cost, entry.estimated) == (20_000, False)
    assert (entry.endpoint, entry.model, entry.provider, entry.upstream_model) == ("chat", "small", "up", "small-2")
    assert (entry.status, entry.error, entry.complete, entry.streamed, entry.attempts) == (200, None, True, True, 1)
    assert (entry.duration, entry.first, entry.at) == (1.5, 0.5, AT)


def test_what_the_limits_have_settled_is_the_cost() -> None:
    assert written(ended(cost=Cost(77, estimated=True))).cost == 77
    assert written(ended(cost=Cost(77, estimated=True))).estimated


def test_without_a_price_there_is_no_cost() -> None:
    assert written(ended(), prices=None).cost is None
    assert written(ended(attempts=[attempt(model="unheard-of")])).cost is None
    assert written(ended(attempts=[attempt(model="unheard-of")], cost=Cost(0, priced=False))).cost is None


def test_a_caller_who_brings_a_key_for_the_upstream_costs_nothing() -> None:
    entry = written(ended(own_keys=frozenset({"up"})), prices=Prices({}))
    assert (entry.cost, entry.input) == (0, 10)


def test_attempts_that_may_have_cost_something_are_all_in_it() -> None:
    """A hedge that lost and had counted its tokens; one that broke off, of which the input is known; and a refusal."""
    lost = attempt(provider="too", error=asyncio.CancelledError(), usage=Usage(10, 1))
    broke = attempt(provider="too", first=None, error=UpstreamUnavailable("It broke.", code="stream_broken"))
    refused = attempt(provider="too", first=None, error=UpstreamUnavailable("No."))
    entry = written(ended(attempts=[lost, broke, refused, attempt()]))
    assert (entry.input, entry.output) == (30, 6)
    assert entry.cost == (10 * 10 + 20 * 1) * 1000 + 10 * 10 * 1000 + (10 + 5 * 2) * 1000
    assert entry.estimated
    assert entry.attempts == 4


def test_a_client_that_left_is_written_down_with_what_had_come() -> None:
    left = attempt(error=asyncio.CancelledError())
    event = ended(
        attempts=[left], usage=None, characters=20, streamed=True, status=200, complete=False,
        estimate=CostEstimate("small", 12),
    )  # fmt: skip
    entry = written(event)
    assert (entry.input, entry.output, entry.cost, entry.estimated) == (12, 10, 32_000, True)
    assert (entry.error, entry.complete) == (None, False)


def test_nobody_knows_what_a_request_took_that_said_nothing() -> None:
    entry = written(ended(usage=None, attempts=[attempt(error=asyncio.CancelledError())], provider=None))
    assert (entry.input, entry.output, entry.cost, entry.estimated) == (0, 0, 0, True)


def test_an_error_is_one_word() -> None:
    late = UpstreamTimeout("Late.")
    entry = written(ended(error=late, usage=None, attempts=[attempt(error=late, first=None)], provider=None))
    assert (entry.error, entry.provider) == ("upstream_timeout", None)


def test_a_key_without_an_owner_is_its_own() -> None:
    owned = written(ended(principal=Principal("key_1", owner="ann", groups=("red", "blue", "red"))))
    assert (owned.key, owned.owner, owned.groups) == ("key_1", "ann", ("blue", "red"))
    assert written(ended(principal=Principal("key_1"))).owner == "key_1"
    nobody = written(ended())
    assert (nobody.key, nobody.owner, nobody.groups) == (None, None, ())


@pytest.mark.parametrize(
    ("asked", "provider", "named"),
    [
        ("small", "up", "small"),
        ("small", None, "small"),
        ("any-thing", "up", "any-thing"),
        ("any-thing", None, "other"),
        ("unknown", "up", "other"),
        (None, "up", "other"),
    ],
)
def test_a_model_is_named_as_in_the_table(asked: str | None, provider: str | None, named: str) -> None:
    table = {"small": "small", "any-thing": "any-*"}
    assert written(ended(model=asked, provider=provider), models=table.get).model == named


def test_without_a_table_a_name_counts_if_somebody_answered_it() -> None:
    assert written(ended(model="small")).model == "small"
    assert written(ended(model="made up", provider=None)).model == "other"


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        ({"project": "x" * 100, "secret": "s", "number": 5}, {"project": "x" * 64}),
        ({"project": ["a"]}, {}),
        ("project", {}),
        (None, {}),
    ],
)
def test_labels_are_those_members_of_the_metadata_that_are_asked_for(metadata: Any, kept: dict[str, str]) -> None:
    assert written(ended(metadata=metadata), labels=("project", "number")).labels == kept
    assert written(ended(metadata=metadata)).labels == {}


def test_no_text_of_a_client_keeps_a_database_from_taking_the_entry() -> None:
    entry = written(ended(model="a\x00b\ud800" + "c" * 200, metadata={"project": "\x00"}), labels=("project",))
    assert entry.model == "a\ufffdb?" + "c" * 124
    assert entry.labels == {"project": "\ufffd"}
