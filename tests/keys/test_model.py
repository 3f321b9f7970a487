"""A store and the caches of two processes against a dictionary, over random programs of changes, time and outages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule

from xrouter_asgi.errors import KeyStoreUnavailable
from xrouter_asgi.keys import APIKey, CachedKeys, Changed, Issuer, KeySpec, MemoryKeyStore, new_secret
from xrouter_asgi.keys.cache import RETRY_INTERVAL, STALE_IF_ERROR, TTL

from .clock import START, Clock


class Frail(MemoryKeyStore):
    """A store that can be away."""

    away = False

    async def find(self, digests: Sequence[bytes], /) -> APIKey | None:
        if self.away:
            raise KeyStoreUnavailable("away")
        return await super().find(digests)

    def watch(self, changed: Changed, /) -> None:
        """The first process is told of changes, the second is not."""
        if not self._watchers:
            super().watch(changed)


@dataclass
class Truth:
    """When a secret is good, in seconds of the clock: from `begins` up to `ends`."""

    id: str
    begins: float = -inf
    ends: float = inf

    def good(self, at: float) -> bool:
        return self.begins <= at < self.ends


class Keys(RuleBasedStateMachine):
    secrets = Bundle("secrets")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.store = Frail()
        self.issuer = Issuer(self.store, by="model", now=self.clock.wall)
        self.processes = [CachedKeys(self.store, clock=self.clock, now=self.clock.wall) for _ in range(2)]
        self.truth: dict[str, Truth] = {}
        self.revoked: set[str] = set()
        self.suspended: set[str] = set()
        self.back = -inf  # when the last outage ended
        self.changed: dict[str, float] = {}  # by id, when the store last changed
        self.seen: dict[tuple[str, int], float] = {}  # by secret and process, when it was last let in

    def teardown(self) -> None:
        for process in self.processes:
            self.loop.run_until_complete(process.aclose())
        self.loop.close()

    @rule(target=secrets, begins=st.sampled_from([None, 1, 7]), lives=st.sampled_from([None, 8, 40]))
    def create(self, begins: int | None, lives: int | None) -> str:
        now = self.clock.seconds
        start, end = now + (begins or 0), now + lives if lives else inf
        grant = KeySpec(
            not_before=START + timedelta(seconds=start) if begins else None,
            expires_at=START + timedelta(seconds=end) if lives else None,
        )
        issued = self.loop.run_until_complete(self.issuer.create(grant))
        self.truth[issued.secret] = Truth(issued.key.id, start if begins else -inf, end)
        self.changed[issued.key.id] = now
        return issued.secret

    @rule(target=secrets, old=secrets, overlap=st.sampled_from([0, 3, 30]))
    def rotate(self, old: str, overlap: int) -> str:
        truth, now = self.truth[old], self.clock.seconds
        if truth.id in self.revoked:
            return old
        try:
            issued = self.loop.run_until_complete(self.issuer.rotate(truth.id, overlap=overlap))
        except ValueError:  # Its end is past.
            return old
        end = self.loop.run_until_complete(self.store.get(truth.id)).expires_at
        for other in self.truth.values():
            if other.id == truth.id:
                other.ends = min(other.ends, now + overlap)
        ends = (end - START).total_seconds() if end else inf
        self.truth[issued.secret] = Truth(truth.id, truth.begins, ends)
        self.note_change(truth.id)
        return issued.secret

    @rule(secret=secrets)
    def revoke(self, secret: str) -> None:
        truth = self.truth[secret]
        if truth.id not in self.revoked:
            self.loop.run_until_complete(self.issuer.revoke(truth.id))
            self.revoked.add(truth.id)
            self.note_change(truth.id)
            for other in self.truth.values():
                if other.id == truth.id:
                    other.ends = min(other.ends, self.clock.seconds)

    @rule(secret=secrets, suspended=st.booleans())
    def suspend_or_resume(self, secret: str, suspended: bool) -> None:
        id = self.truth[secret].id
        if id in self.revoked or suspended == (id in self.suspended):
            return
        self.loop.run_until_complete((self.issuer.suspend if suspended else self.issuer.resume)(id))
        self.suspended ^= {id}
        self.note_change(id)

    def note_change(self, id: str) -> None:
        """What a process knows of a changed key it may have to ask for again, whether the store is away or not."""
        self.changed[id] = self.clock.seconds
        self.seen = {(secret, at): time for (secret, at), time in self.seen.items() if self.truth[secret].id != id}

    @rule(away=st.booleans())
    def lose_or_find_the_store(self, away: bool) -> None:
        if self.store.away and not away:
            self.back = self.clock.seconds
        self.store.away = away

    @rule(process=st.sampled_from([0, 1]), seconds=st.sampled_from([0, 0.5, 1, 2, 5, 20, 60]))
    def check_all(self, process: int, seconds: float) -> None:
        self.clock.tick(seconds)
        for secret in [*self.truth, new_secret()]:
            self.check(secret, process)

    def check(self, secret: str, process: int) -> None:
        now, truth = self.clock.seconds, self.truth.get(secret)
        good = truth is not None and truth.good(now) and truth.id not in self.suspended
        away = self.store.away or now < self.back + RETRY_INTERVAL
        changed = self.changed[truth.id] if truth is not None else -inf
        try:
            key = self.loop.run_until_complete(self.processes[process].check(secret))
        except KeyStoreUnavailable:
            assert away
            # Whoever was seen to be good lately goes on being so. The answer was TTL seconds old then, at most.
            seen = self.seen.get((secret, process), -inf)
            assert not good or now >= seen - TTL + STALE_IF_ERROR
            return
        # A process that is not told may not know yet of a change: for as long as an answer is fresh, and longer in an
        # outage.
        late = process == 1 and now < changed + (STALE_IF_ERROR if away else TTL)
        if key is None:
            assert not good or late
            return
        assert truth is not None
        assert key.id == truth.id
        assert good or late
        if good and not away:
            self.seen[secret, process] = now


TestKeys = Keys.TestCase
TestKeys.settings = settings(max_examples=100, stateful_step_count=50)
