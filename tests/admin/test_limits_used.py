"""How far the limits of keys are used up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tests.admin.stand import Stand
from tests.admin.test_pages import page
from tests.admin.test_several import Line
from xrouter_asgi.admin import AdminApp, LimitsUsed, ThisProcess, WorkerProcess
from xrouter_asgi.keys import Issued, KeySpec
from xrouter_asgi.limits import Charge, Limit, LimitStatus, LimitStore, MemoryLimits
from xrouter_asgi.limits.rules import LimitRules, Subject

GENERAL = "600/minute; 10k tokens/hour; 8 parallel; 20 USD/calendar month per owner"


def workers(stand: Stand, *stores: LimitStore, shared: LimitStore | None = None) -> None:
    """Let the stand ask a worker for each of these stores, over its line."""
    lines = [Line(ThisProcess(stand.router, stand.live, limits=LimitsUsed(each, limit=GENERAL))) for each in stores]
    stand.app = AdminApp(
        *(WorkerProcess(number, line.ask) for number, line in enumerate(lines, 1)),
        keys=stand.registry,
        limits=None if shared is None else LimitsUsed(shared, limit=GENERAL),
    )


def counted(stand: Stand, store: LimitStore, **limits: Any) -> None:
    """Let the stand tell of the limits that this store counts."""
    told = LimitsUsed(store, **{"limit": GENERAL, **limits})
    stand.app = AdminApp(ThisProcess(stand.router, stand.live, limits=told), keys=stand.registry)


async def use(store: LimitStore, key: Issued, lease: str = "one", **costs: int) -> None:
    """Take so much of the limits that count in these units, as a request of the key would."""
    made = key.key
    caller = Subject(made.id, made.owner, "", made.limits, made.groups)
    charges = [
        Charge(each.subject, each.limit, costs[each.limit.unit], each.models, each.span)
        for each in LimitRules(GENERAL, {}).counts(caller)
        if each.limit.unit in costs
    ]
    assert (await store.reserve(charges, lease=lease)).admitted


async def used(stand: Stand, key: Issued) -> dict[str, tuple[str, str, str]]:
    """What is used and left of each limit, and whose it is."""
    told = (await stand.ask("GET", f"/api/keys/{key.key.id}")).json["limits_used"]
    return {each["limit"]: (each["used"], each["remaining"], each["subject"]) for each in told}


async def test_a_key_is_told_with_what_it_has_used_of_each_limit(stand: Stand) -> None:
    store, key = MemoryLimits(), stand.ordinary
    counted(stand, store)
    await use(store, key, requests=3, tokens=1200, parallel=1, money=5 * 10**9)
    assert await used(stand, key) == {
        "600 per 1 minute": ("3", "597", key.key.id),
        "10000 tokens per 1 hour": ("1200", "8800", key.key.id),
        "8 parallel requests": ("1", "7", key.key.id),
        "20 USD per calendar month": ("5", "15", "ann"),
    }
    text = await page(stand, f"/keys/{key.key.id}")
    for shown in ("3 / 600", "1,200 / 10,000", "1 / 8", "5.00 / 20.00", "owner ann"):
        assert shown in text


async def test_the_page_of_a_key_stays_current_by_its_limits_alone(stand: Stand) -> None:
    store, key = MemoryLimits(), stand.ordinary
    counted(stand, store)
    await use(store, key, requests=3)
    text = await page(stand, f"/keys/{key.key.id}?part=live")
    assert "3 / 600" in text
    assert "Audit" not in text


async def test_a_limit_says_when_all_of_it_is_free_again(stand: Stand) -> None:
    store, key = MemoryLimits(), stand.ordinary
    counted(stand, store)
    told = (await stand.ask("GET", f"/api/keys/{key.key.id}")).json["limits_used"]
    assert {each["free_at"] for each in told} == {None}
    await use(store, key, requests=3, parallel=1)
    told = (await stand.ask("GET", f"/api/keys/{key.key.id}")).json["limits_used"]
    free = {each["unit"]: each["free_at"] is not None for each in told}
    assert free == {"requests": True, "tokens": False, "parallel": False, "money": False}


async def test_own_limits_and_those_of_groups_and_of_models_count_and_those_of_models_and_addresses_do_not(
    stand: Stand,
) -> None:
    key = await stand.issuer.create(KeySpec(owner="bob", limits=("5/minute",), groups=("eu",)))
    limit = "600/minute; 9/minute per model; 9/minute per address; 90/minute per group; 99/day per all"
    counted(stand, MemoryLimits(), limit=limit, models={"big-*": "100 tokens/day"})
    told = (await stand.ask("GET", f"/api/keys/{key.key.id}")).json["limits_used"]
    assert [(each["amount"], each["per"], each["subject"], each["models"]) for each in told] == [
        ("5", "key", key.key.id, None),
        ("90", "group", "eu", None),
        ("99", "all", "", None),
        ("100", "key", key.key.id, "big-*"),
    ]


async def test_the_list_tells_of_each_key_and_of_no_admin_key(stand: Stand) -> None:
    store = MemoryLimits()
    counted(stand, store)
    many = [await stand.issuer.create(KeySpec(name=f"key {number}")) for number in range(20)]
    await use(store, many[-1], requests=300)
    listed = (await stand.ask("GET", "/api/keys")).json["keys"]
    assert {each["kind"]: len(each["limits_used"]) for each in listed} == {"admin": 0, "live": 4}
    assert [each["limits_used"][0]["used"] for each in listed if each["kind"] == "live"] == ["0"] * 20 + ["300"]


class Away(MemoryLimits):
    async def read(self, charges: Sequence[Charge]) -> Sequence[LimitStatus]:
        return ()


async def test_a_store_that_is_away_makes_nobody_know(stand: Stand) -> None:
    counted(stand, Away())
    assert (await stand.ask("GET", f"/api/keys/{stand.ordinary.key.id}")).json["limits_used"] is None
    assert "Nobody can tell" in await page(stand, f"/keys/{stand.ordinary.key.id}")
    assert (await stand.ask("GET", "/api/keys")).status == 200


async def test_each_worker_that_counts_for_itself_is_told_of(stand: Stand) -> None:
    here, there = MemoryLimits(), MemoryLimits()
    workers(stand, here, there)
    await use(here, stand.ordinary, requests=3)
    await use(there, stand.ordinary, requests=540)
    told = (await stand.ask("GET", f"/api/keys/{stand.ordinary.key.id}")).json["limits_used"]
    requests = [(each["worker"], each["used"]) for each in told if each["unit"] == "requests"]
    assert requests == [(1, "3"), (2, "540")]
    text = await page(stand, f"/keys/{stand.ordinary.key.id}")
    assert text.index("worker 2") < text.index("worker 1")  # the most used first


async def test_what_all_workers_count_together_is_told_once(stand: Stand) -> None:
    shared = MemoryLimits()
    workers(stand, shared, shared, shared=shared)
    await use(shared, stand.ordinary, requests=3)
    told = (await stand.ask("GET", f"/api/keys/{stand.ordinary.key.id}")).json["limits_used"]
    assert [(each["worker"], each["used"]) for each in told if each["unit"] == "requests"] == [(None, "3")]
    assert "worker 1" not in await page(stand, f"/keys/{stand.ordinary.key.id}")


async def test_keys_are_shown_also_while_no_worker_answers(stand: Stand) -> None:
    line = Line(ThisProcess(stand.router, stand.live))
    line.away = ConnectionError("gone")
    stand.app = AdminApp(WorkerProcess(1, line.ask), WorkerProcess(2, line.ask), keys=stand.registry)
    answer = await stand.ask("GET", f"/api/keys/{stand.ordinary.key.id}")
    assert (answer.status, answer.json["limits_used"]) == (200, None)


async def test_the_list_draws_the_limit_that_is_most_used_and_not_that_of_all(stand: Stand) -> None:
    store = MemoryLimits()
    counted(stand, store, limit=f"{GENERAL}; 4/day per all")
    await store.reserve([Charge("", Limit.parse("4/day per all"), 4)], lease="all")
    await use(store, stand.ordinary, requests=540, tokens=100)
    text = await page(stand, "/keys")
    assert re.search(r'<rect class="late" x="0" width="900"', text.replace("0.0", "0").replace(".0", ""))
    assert "90\N{NARROW NO-BREAK SPACE}%" in text
    assert "100\N{NARROW NO-BREAK SPACE}%" not in text


async def test_without_limits_there_is_nothing_to_tell(stand: Stand) -> None:
    stand.app = AdminApp(ThisProcess(stand.router, stand.live), keys=stand.registry)
    assert (await stand.ask("GET", f"/api/keys/{stand.ordinary.key.id}")).json["limits_used"] == []
    assert "No limit counts for this key." in await page(stand, f"/keys/{stand.ordinary.key.id}")
