"""The operator's API over several processes: each over a line of JSON, as workers are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.admin.stand import HOST, SETTINGS, Stand
from tests.asgi_client import Answer, request
from tests.ledger.entries import entry
from xrouter_asgi.admin import AdminApp, ThisProcess, WorkerProcess
from xrouter_asgi.admin.api.filters import RequestFilter
from xrouter_asgi.admin.workers import answers_of
from xrouter_asgi.context import Cost, Principal, RequestContext
from xrouter_asgi.events import CircuitOpened, CooldownStarted, RequestEnded
from xrouter_asgi.ledger import LedgerUnavailable, MemoryLedger, Page, Spend
from xrouter_asgi.limits.prices import NANO


class Line:
    """Asks a process by JSON, or is away."""

    def __init__(self, process: ThisProcess) -> None:
        self.answers = answers_of(process)
        self.away: Exception | None = None

    async def ask(self, method: str, params: Any = None, /, *, patience: float = 2) -> Any:
        if self.away is not None:
            raise self.away
        return json.loads(await self.answers[method](json.loads(json.dumps(params))))


class Several:
    """Two workers with the same settings, and the operator's app above them."""

    def __init__(self, ledger: MemoryLedger | None = None) -> None:
        self.stands = [Stand(), Stand()]
        self.lines = [Line(ThisProcess(stand.router, stand.live)) for stand in self.stands]
        self.app = AdminApp(
            *(WorkerProcess(number, line.ask) for number, line in enumerate(self.lines, 1)),
            identify=lambda scope: Principal("ann", scopes=frozenset({"admin"})),
            spend=None if ledger is None else Spend(ledger),
            settings=lambda: SETTINGS,
        )

    async def ask(self, method: str, path: str) -> Answer:
        path, _, query = path.partition("?")
        headers = [HOST, (b"sec-fetch-site", b"same-origin")]
        return await request(self.app, method, path, query=query, headers=headers)

    async def got(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status == 200, answer.body
        return answer.json


@pytest.mark.parametrize("method", ["status", "upstreams"])
async def test_a_worker_tells_the_same_over_its_line(stand: Stand, method: str) -> None:
    await stand.chat()
    stand.live(CooldownStarted(RequestContext(), "other", "rate", 5, "other/b"))
    here = ThisProcess(stand.router, stand.live)
    assert await getattr(WorkerProcess(2, Line(here).ask), method)() == await getattr(here, method)()


async def test_a_worker_does_and_finds_the_same_over_its_line(stand: Stand) -> None:
    await stand.chat(x_request_id="req_1")
    stand.live(CircuitOpened(RequestContext(), "other", 5, "other/b"))
    here = ThisProcess(stand.router, stand.live)
    there = WorkerProcess(2, Line(here).ask)
    which = RequestFilter(status="2xx", before=datetime.now(UTC) + timedelta(hours=1))
    assert (await there.requests(which))["requests"] == (await here.requests(which))["requests"]
    assert await there.request("req_1") == await here.request("req_1")
    news = await there.news(None)
    assert (news["requests"], news["seen"]) == ([], stand.live.seen)
    assert await there.news(stand.live.seen._replace(requests=0)) == await here.news(
        stand.live.seen._replace(requests=0)
    )
    assert await there.close("other/b") == await here.close("other/b")
    assert stand.live.problems.present == []
    probed = await there.probe("other")
    assert probed is not None
    assert probed["models"] == ["b", "parrot"]
    assert [await there.probe("nobody"), await there.close("no/body"), await there.request("none")] == [None] * 3


async def test_the_overview_sums_up_all_workers() -> None:
    several = Several()
    one, other = several.stands
    for stand in (one, one, other):
        await stand.chat()
    for stand in (one, other):
        context = RequestContext(endpoint="chat", cost=Cost(NANO * 3 // 8, False))
        stand.live(RequestEnded(context, "POST", "/", 200, True, 0.2, 0.1, 1, 1, None))
    one.live(CircuitOpened(RequestContext(), "other", 5, "other/b"))
    for stand in (one, other):
        stand.live(CooldownStarted(RequestContext(), "other", "rate", 5, "other/b"))
    overview = await several.got("/api/overview")
    assert overview["workers"] == {"answering": 2, "of": 2}
    assert len(overview["minutes"]) == 60
    assert sum(minute["requests"] for minute in overview["minutes"]) == 5
    assert sum(Decimal(minute["cost"]) for minute in overview["minutes"]) == Decimal("0.75")
    assert max(minute["in_flight"] for minute in overview["minutes"]) == 2
    assert overview["duration"]["p95"] is not None
    assert {problem["kind"]: problem["workers"] for problem in overview["problems"]} == {
        "circuit_open": [1],
        "cooling": [1, 2],
    }


async def test_requests_of_all_workers_come_latest_first_and_page_by_page() -> None:
    several = Several()
    for number in range(6):
        await several.stands[number % 2].chat(x_request_id=f"req_{number}")
    page = await several.got("/api/requests?limit=4")
    assert [(each["id"], each["worker"]) for each in page["requests"]] == [
        ("req_5", 2),
        ("req_4", 1),
        ("req_3", 2),
        ("req_2", 1),
    ]
    page = await several.got(f"/api/requests?limit=4&before={page['before']}")
    assert [each["id"] for each in page["requests"]] == ["req_1", "req_0"]
    assert page["before"] is None
    shown = await several.got("/api/requests/req_1")
    assert (shown["request"]["worker"], len(shown["decision"]["attempts"])) == (2, 1)


async def test_a_target_is_ready_if_it_is_so_in_all_workers() -> None:
    several = Several()
    await several.stands[0].chat()
    await several.stands[1].chat()
    named, _ = (await several.got("/api/models"))["models"]
    first, _ = named["targets"]
    assert (first["state"], first["workers"], first["attempts"], first["share"]) == ("ready", [1, 2], 2, 1.0)
    echo, _ = (await several.got("/api/providers"))["providers"]
    assert (echo["name"], [target["workers"] for target in echo["targets"]]) == ("echo", [[1, 2]])


async def test_a_change_reaches_all_workers() -> None:
    several = Several()
    for stand in several.stands:
        stand.live(CircuitOpened(RequestContext(), "other", 5, "other/b"))
    closed = await several.ask("POST", "/api/circuits/other/b/close")
    assert (closed.status, closed.json["workers"]) == (200, [1, 2])
    assert [stand.live.problems.present for stand in several.stands] == [[], []]
    probed = (await several.ask("POST", "/api/providers/other/probe")).json
    assert (probed["models"], probed["worker"] in (1, 2)) == (["b", "parrot"], True)


@pytest.mark.parametrize("away", [ConnectionError("gone"), TimeoutError()])
async def test_a_worker_that_is_away_is_left_out_and_said_to_be(away: Exception) -> None:
    several = Several()
    await several.stands[1].chat(x_request_id="req_1")
    several.lines[0].away = away
    assert (await several.got("/api/overview"))["workers"] == {"answering": 1, "of": 2}
    assert [each["worker"] for each in (await several.got("/api/requests"))["requests"]] == [2]


async def test_without_any_worker_the_answer_is_a_503() -> None:
    several = Several()
    for line in several.lines:
        line.away = ConnectionError("gone")
    answer = await several.ask("GET", "/api/overview")
    assert answer.status == 503
    assert "No worker answers" in answer.error["message"]


async def test_older_requests_come_from_the_ledger() -> None:
    ledger = MemoryLedger()
    now = datetime.now(UTC)
    await ledger.write(
        [
            entry(now - timedelta(hours=hours), request_id=f"old_{hours}", owner="bob", status=200 + hours)
            for hours in range(1, 6)
        ]
    )
    several = Several(ledger)
    await several.stands[0].chat(x_request_id="new")
    page = await several.got("/api/requests?limit=3")
    assert [(each["id"], each["worker"]) for each in page["requests"]] == [("new", 1), ("old_1", None), ("old_2", None)]
    page = await several.got(f"/api/requests?limit=3&before={page['before']}")
    assert [each["id"] for each in page["requests"]] == ["old_3", "old_4", "old_5"]
    assert page["before"] is None
    page = await several.got("/api/requests?owner=bob&status=203")
    assert [each["id"] for each in page["requests"]] == ["old_3"]


async def test_a_request_that_is_remembered_and_in_the_ledger_comes_once() -> None:
    ledger, several = MemoryLedger(), None
    several = Several(ledger)
    await several.stands[0].chat(x_request_id="same")
    (remembered,) = several.stands[0].live.recent
    came_in = datetime.fromtimestamp(remembered.at - remembered.duration, UTC)
    # A client may have used the same id before.
    await ledger.write([entry(came_in, request_id="same"), entry(came_in - timedelta(hours=1), request_id="same")])
    page = await several.got("/api/requests")
    assert [each["worker"] for each in page["requests"]] == [1, None]


class Away(MemoryLedger):
    async def entries(self, **facts: Any) -> Page:
        raise LedgerUnavailable("The ledger does not answer.")


async def test_a_ledger_that_is_away_is_said_to_be_missing() -> None:
    several = Several(Away())
    await several.stands[0].chat(x_request_id="new")
    page = await several.got("/api/requests")
    assert ([each["id"] for each in page["requests"]], page["missing"]) == (["new"], "The ledger does not answer.")
