"""What was spent, as the operator's API tells it."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

from tests.admin.stand import Stand
from tests.ledger.entries import entry
from xrouter_asgi.limits import Charge, Limit
from xrouter_asgi.limits.periods import Calendar

NANO = 10**9
TODAY = datetime.now(UTC)


async def filled(stand: Stand) -> Stand:
    """Today ann has spent 4 USD, of which half at the large model, and bob 1 USD."""
    await stand.ledger.write(
        [
            entry(TODAY, cost=2 * NANO),
            entry(TODAY, cost=2 * NANO, model="large"),
            entry(TODAY, owner="=bob", key="key_2", cost=1 * NANO),
            entry(TODAY - timedelta(days=100), cost=7 * NANO),
        ]
    )
    return stand


async def test_spending_is_split_by_what_is_asked_for(stand: Stand) -> None:
    await filled(stand)
    told = (await stand.ask("GET", "/api/spend?by=owner,model")).json
    assert [(each["owner"], each["model"], each["cost"]) for each in told["sums"]] == [
        ("ann", "large", "2"),
        ("ann", "small", "2"),
        ("=bob", "small", "1"),
    ]
    assert (told["total"]["cost"], told["total"]["requests"], told["currency"]) == ("5", 3, "USD")
    assert told["until"] == TODAY.date().isoformat()


async def test_spending_is_filtered(stand: Stand) -> None:
    await filled(stand)
    told = (await stand.ask("GET", "/api/spend?by=&since=120d&owner=ann&model=SM*")).json
    assert told["total"]["cost"] == "9"
    told = (await stand.ask("GET", "/api/spend?since=120d&until=90d")).json
    assert told["total"]["cost"] == "7"


async def test_a_spreadsheet_gets_rows_that_are_no_formulas(stand: Stand) -> None:
    await filled(stand)
    answer = await stand.ask("GET", "/api/spend.csv?by=owner")
    assert answer.header("content-type") == "text/csv; charset=utf-8"
    assert (answer.header("content-disposition") or "").startswith('attachment; filename="spend-')
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert [(row["owner"], row["cost"], row["currency"]) for row in rows] == [
        ("ann", "4", "USD"),
        ("'=bob", "1", "USD"),
    ]


async def test_what_cannot_be_summed_up_is_said(stand: Stand) -> None:
    for query, told in (("by=colour", "'colour'"), ("since=soon", "'soon'"), ("until=", "''"), ("of=ann", "'of'")):
        answer = await stand.ask("GET", f"/api/spend?{query}")
        assert answer.status == 400
        assert told in answer.error["message"]


async def test_budgets_tell_what_is_spent_reserved_and_left(stand: Stand) -> None:
    await filled(stand)
    limit = Limit.parse("10 USD/calendar month per owner")
    span = Calendar().span("month")
    await stand.limits.reserve([Charge("ann", limit, 4 * NANO, span=span)], lease="spent")
    await stand.limits.reserve([Charge("ann", limit, 1 * NANO, span=span)], lease="running")
    document = (await stand.ask("GET", "/api/budgets")).json
    assert document["currency"] == "USD"
    ann, bob = document["budgets"]
    assert {**ann, "forecast": None} == {
        "limit": "10 USD per calendar month",
        "per": "owner",
        "subject": "ann",
        "models": None,
        "amount": "10",
        "spent": "4",
        "reserved": "1",
        "remaining": "5",
        "ends": datetime.fromtimestamp(span.ends, UTC).isoformat().replace("+00:00", "Z"),
        "forecast": None,
    }
    assert float(ann["forecast"]) >= 4
    assert (bob["subject"], bob["spent"]) == ("=bob", "1")
    (most,) = (await stand.ask("GET", "/api/budgets?limit=1")).json["budgets"]
    assert most["subject"] == "ann"
