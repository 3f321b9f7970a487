"""What clients and upstreams see of an upstream that fails."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from time import monotonic

from .arrivals import Answer, arrive, p99, request
from .goal import Finding, Load, at_most, progress
from .stand import Stand, Upstream, settings

_FIRST = 2.0  # seconds that a provider has until its first byte


async def attempts(load: Load) -> list[Finding]:
    """200 requests in 2 seconds at providers that are dead, alone and with a fallback that is dead as well."""
    findings = []
    for fault in ("closed", "500", "reset"):
        progress(f"attempts: 200 requests at dead providers ({fault})")
        async with Stand() as stand:
            upstreams = await stand.upstreams("lone", "first", "second")
            port = await stand.serve(settings(upstreams, {"lone": ["lone/m"], "pair": ["first/m", "second/m"]}))
            for upstream in upstreams.values():
                await upstream.fail(fault)
            lone, pair = await asyncio.gather(
                *(arrive(port, request(model), rate=100, seconds=2) for model in ("lone", "pair"))
            )
            told = Counter(target.partition("/")[0] for answer in (*lone, *pair) for target in answer.asked)
            # A port that is closed keeps no journal; there the gateway has to be believed.
            seen = told if fault == "closed" else {name: len(await each.journal()) for name, each in upstreams.items()}
            findings += [
                at_most(f"{fault}, {name} provider: attempts of 200 requests", seen[name], 1.2 * 200 + 30)
                for name in upstreams
            ]
    return findings


async def outage(load: Load) -> list[Finding]:
    """Providers that are away for a while: how soon they serve again, and whether they are overrun."""
    before, after = (2.0, 9.0) if load.quick else (5.0, 25.0)
    # Each is back at the same moment. A breaker's waits grow, so it also matters how long it was away.
    away = {f"{kind}_{fault}": load.outage for kind in ("lone", "pair") for fault in ("closed", "500", "hang")}
    away |= {"pair_closed_a": 0.75 * load.outage, "pair_closed_b": 0.55 * load.outage}
    progress(f"outage: {before:g} s of health, {load.outage:g} s of outage, {after:g} s of health")
    async with Stand() as stand:
        upstreams = await stand.upstreams("spare", *away)
        models = {name: [f"{name}/m", "spare/m"] if name.startswith("pair") else [f"{name}/m"] for name in away}
        port = await stand.serve(settings(upstreams, models, first=_FIRST))
        began = monotonic()
        back = began + before + load.outage
        seconds = before + load.outage + after
        tasks = {
            name: asyncio.create_task(arrive(port, request(name), rate=load.rate, seconds=seconds)) for name in away
        }
        await asyncio.gather(
            *(_away(upstreams[name], name.split("_")[1], back - length, back) for name, length in away.items())
        )
        findings = []
        for name, length in away.items():
            answers = await tasks[name]
            journal = [moment for moment in await upstreams[name].journal() if moment >= back]
            kind, fault, *_ = name.split("_")
            title = f"{fault} for {length:g} s, {'alone' if kind == 'lone' else 'with a fallback'}"
            served = [answer for answer in answers if answer.due >= back]
            what = f"{title}: seconds until 95 % " + ("are good" if kind == "lone" else "are the primary's again")
            findings += [
                at_most(what, _recovery(served, back, name), 15.0),
                at_most(f"{title}: attempts in the worst second after it", _busiest(journal), 1.5 * load.rate),
            ]
    return findings


async def _away(upstream: Upstream, fault: str, begin: float, end: float) -> None:
    await asyncio.sleep(begin - monotonic())
    await upstream.fail(fault)
    await asyncio.sleep(end - monotonic())
    await upstream.heal(fault)


def _recovery(answers: Sequence[Answer], back: float, provider: str) -> float:
    """Seconds after which 95 % of each second's requests are answered by the provider; infinity if it never happens."""
    total, good = Counter[int](), Counter[int]()
    for answer in answers:
        second = int(answer.due - back)
        total[second] += 1
        good[second] += answer.good and answer.provider == provider
    late = [second for second in total if good[second] < 0.95 * total[second]]
    if not late:
        return 0.0
    return math.inf if max(late) == max(total) else max(late) + 1.0


def _busiest(journal: Sequence[float]) -> int:
    """The most requests in any second, wherever it begins."""
    most = first = 0
    for last, moment in enumerate(journal):
        while journal[first] <= moment - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


async def fallback(load: Load) -> list[Finding]:
    """A primary provider that goes down while another is well: what clients see of it."""
    # Long enough that a breaker has a window full of good answers to forget.
    before, after = (2.0, 3.0) if load.quick else (30.0, 30.0)
    faults = ("closed", "500", "hang")
    progress(f"fallback: primaries go down, and stay so for {10 + after:g} s (timeouts.first = {_FIRST:g} s)")
    async with Stand() as stand:
        upstreams = await stand.upstreams("spare", *(f"down_{fault}" for fault in faults))
        models = {fault: [f"down_{fault}/m", "spare/m"] for fault in faults}
        port = await stand.serve(settings(upstreams, models, first=_FIRST))
        began = monotonic()
        tasks = {
            (fault, stream): asyncio.create_task(
                arrive(port, request(fault, stream=stream), rate=load.rate, seconds=before + 10 + after)
            )
            for fault in faults
            for stream in (False, True)
        }
        await asyncio.sleep(began + before - monotonic())
        down = monotonic()
        await asyncio.gather(*(upstreams[f"down_{fault}"].fail(fault) for fault in faults))
        findings = []
        for (fault, stream), task in tasks.items():
            # Those that were under way in that moment belong to it.
            answers = [answer for answer in await task if answer.due + answer.latency >= down]
            early = [answer for answer in answers if answer.due < down + 10]
            late = [answer for answer in answers if answer.due >= down + 10]
            title = f"{fault}, {'streams' if stream else 'unary'}: errors of clients"
            findings += [
                _errors(f"{title} in the first 10 s", early, 0.005),
                _errors(f"{title} after", late, 0.001),
            ]
    return findings


async def faults(load: Load) -> list[Finding]:
    """Providers of which a share of the answers fails at random, with a fallback that is well, and alone."""
    every = ("500", "503", "reset", "empty")
    kinds = {"mixed": every} if load.quick else {"mixed": every, **{fault: (fault,) for fault in every}}
    # So many that chance alone seldom doubles a share of 0.1 %, which three attempts leave of 10 %.
    rate, seconds = (400.0, 10.0) if load.quick else (50.0, 150.0)
    progress(f"faults: {seconds:g} s of random failures")
    async with Stand() as stand:
        # An empty answer is repeated once: alone, a hundredth of those tenths stays empty, as it should.
        setups = [(setup, kind) for setup in ("pair", "lone") for kind in kinds if (setup, kind) != ("lone", "empty")]
        names = [f"{setup}_{kind}" for setup, kind in setups]
        upstreams = await stand.upstreams("spare", *names)
        models = {name: [f"{name}/m", "spare/m"] if name.startswith("pair") else [f"{name}/m"] for name in names}
        port = await stand.serve(settings(upstreams, models))
        for name in names:
            setup, kind = name.split("_")
            await upstreams[name].fail(*kinds[kind], share=0.3 if setup == "pair" else 0.1)
        rates = {name: 20.0 if name.startswith("pair") else rate for name in names}
        found = await asyncio.gather(
            *(arrive(port, request(name), rate=rates[name], seconds=seconds) for name in names)
        )
    findings = []
    for name, answers in zip(names, found, strict=True):
        setup, kind = name.split("_")
        wanted, where = (0.001, "30 % with a fallback") if setup == "pair" else (0.002, "10 % alone")
        findings.append(_errors(f"{kind}, {where}: errors of clients", answers, wanted))
    return findings


def _errors(what: str, answers: Sequence[Answer], wanted: float) -> Finding:
    """The share of requests that came to nothing good, and what it was that they came to."""
    statuses = Counter(answer.status or "none" for answer in answers if not answer.good)
    told = "".join(f", {count} × {status}" for status, count in statuses.most_common(3))
    more = f" of {len(answers)}{told}; p99 {p99(answers):.1f} s"
    return at_most(what, statuses.total() / len(answers), wanted, "{:.2%}", more=more)
