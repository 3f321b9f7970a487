"""A gateway with its upstreams and clients, which a seed makes up, and what is promised of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence

from starlette.types import ASGIApp

from tests.simulation.client import SLOW, Client, Plan
from tests.simulation.ledger import Ledger
from tests.simulation.loop import SeededLoop
from tests.simulation.onion import ATTEMPTS, RATIO, TOTAL, Gate, Onion
from tests.simulation.upstream import SimulatedUpstream
from xrouter_asgi.events import AttemptEnded, AttemptRetried, AttemptStarted, CircuitOpened
from xrouter_asgi.middleware.rate_limit import RateLimitMiddleware
from xrouter_asgi.middleware.request_events import RequestEventsMiddleware
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.virtual import now

GRACE = 1.0  # seconds over the deadline (R1)
CLOSED_WITHIN = 2.0  # seconds after a client left (R7)
ATTEMPTS_IN_ALL = 4  # R2
DEAD_AFTER = 20  # attempts in a row that fail, after which there are no retries


class Broken(Exception):
    """A promise is broken."""


class World:
    """Runs once.

    Attributes:
        journal: What happened, a line each: the same for the same seed.
    """

    def __init__(self, seed: int, loop: SeededLoop) -> None:
        self.journal: list[str] = []
        self._loop = loop
        self._dice = dice = random.Random(seed)
        # Now and then one upstream, which is dead, and a crowd before it: else twenty failures in a row are too rare.
        crowded = dice.random() < 0.05
        names = "a" if crowded else "abc"[: dice.randint(1, 3)]
        self._upstreams = [SimulatedUpstream(name, dice, dead=crowded) for name in names]
        self._onion = Onion(self._upstreams, dice)
        self._ledger = Ledger(clock=loop.time)
        # Without comments: a client counts an answer as begun by its head, which a comment sends before there is one.
        self._router = LLMRouter({"m": self._onion.provider}, commit_after=None)
        limit = dice.choice(("20/minute; 4 parallel", "5/minute", "2 parallel; 3000 tokens/minute", "1000/minute"))
        limited = RateLimitMiddleware(self._router, limit=limit, store=self._ledger)
        app: ASGIApp = RequestEventsMiddleware(limited, observers=[self._observe])
        clients = 50 if crowded else dice.randint(1, 25)
        self._clients = [Client(Plan.draw(number, dice), app) for number in range(clients)]
        self._by_id = {client.plan.request_id: client for client in self._clients}
        self._attempts: dict[str, list[str]] = {client.plan.request_id: [] for client in self._clients}
        self._broken: list[str] = []

    async def run(self) -> None:
        """Live through it.

        Raises:
            Broken: A promise is.
        """
        fate = asyncio.ensure_future(self._turn())
        async with self._router.lifespan():
            self._loop.after_step = self._check_step
            await asyncio.gather(*(client.run() for client in self._clients))
            self._loop.after_step = None
        fate.cancel()
        await asyncio.wait({fate})
        self._broken += self._left_over()
        for client in self._clients:
            self._broken += [f"{client.plan.request_id}: {wrong}" for wrong in client.check()]
        self._raise()

    async def _turn(self) -> None:
        """The wheel of fortune: moods, jumps of the clock, now and then the order to stop."""
        dice = self._dice
        while True:
            await asyncio.sleep(dice.uniform(0.0, 10.0))
            match dice.choices(("mood", "jump", "stop"), (20, 2, 1))[0]:
                case "mood":
                    dice.choice(self._upstreams).change_mood()
                case "jump":
                    self._loop.jump(dice.uniform(0.0, 100.0))
                    self._note("the clock jumps")
                case "stop":
                    self._router.stop()
                    for client in self._clients:
                        client.stopped = client.stopped or client.runs
                    self._note("all calls are stopped")

    def _observe(self, event: object) -> None:
        match event:
            case AttemptStarted(context, attempt):
                self._note(f"{context.request_id} asks {attempt.provider}")
                self._attempts[context.request_id].append(attempt.provider)
                if self._by_id[context.request_id].answered:
                    self._broken.append(f"R4: {context.request_id} asks {attempt.provider} after its answer began")
                self._gate(attempt.provider).asked(context.request_id)
                self._check_budget(attempt.provider)
            case AttemptEnded(context, attempt):
                self._note(f"{context.request_id} is done with {attempt.provider}: {attempt.error!r}")
            case AttemptRetried(context, provider):
                self._note(f"{context.request_id} will ask {provider} again")
                self._check_dead(provider)
                self._check_budget(provider)
            case CircuitOpened(_, provider):
                self._note(f"the circuit of {provider} opens")

    def _note(self, line: str) -> None:
        self.journal.append(f"{self._loop.time():9.3f} {line}")

    def _check_step(self) -> None:
        """What holds at every moment."""
        time = self._loop.time()
        self._broken += self._overdue(time)
        for upstream, slots in zip(self._upstreams, self._onion.slots, strict=True):
            if slots.in_flight < 0:
                self._broken.append(f"R11: {upstream.name} has {slots.in_flight} calls in flight")
            if slots.waiting and slots.in_flight < slots.limit:
                self._broken.append(f"R11: {slots.waiting} calls for {upstream.name} wait although a slot is free")
            if upstream.open > slots.in_flight:
                self._broken.append(f"R11: {upstream.name} answers {upstream.open}, and {slots.in_flight} are counted")
        for name, asked in self._attempts.items():
            if len(asked) > ATTEMPTS_IN_ALL or any(asked.count(provider) > ATTEMPTS for provider in asked):
                self._broken.append(f"R2: {name} asked {', '.join(asked)}")
        self._raise()

    def _overdue(self, time: float) -> Iterator[str]:
        """R1 and R7. A jump of the clock makes everything due at once."""
        for client in self._clients:
            if client.began is None or not client.runs:
                continue
            # A slow client takes its time for each message that is still to come: the head, a comment that keeps the
            # stream awake, the chunks that were due in the same moment, the error.
            if time > max(client.began + TOTAL, self._loop.jumped) + GRACE + 4 * SLOW:
                yield f"R1: {client.plan.request_id} began at {client.began:.3f} and has no end at {time:.3f}"
            if client.left is not None and time > max(client.left, self._loop.jumped) + CLOSED_WITHIN:
                yield f"R7: {client.plan.request_id} left at {client.left:.3f} and still runs at {time:.3f}"

    def _gate(self, provider: str) -> Gate:
        (gate,) = (gate for gate in self._onion.gates if gate.name == provider)
        return gate

    def _check_dead(self, provider: str) -> None:
        """R3."""
        (upstream,) = (upstream for upstream in self._upstreams if upstream.name == provider)
        if upstream.in_vain >= DEAD_AFTER:
            self._broken.append(f"R3: a retry at {provider}, which failed {upstream.in_vain} times in a row")

    def _check_budget(self, provider: str) -> None:
        """R3. A retry is granted for the requests of the 10 s before it, so those of 20 s stand behind any 10 s."""
        gate, time = self._gate(provider), now()
        if gate.retries > len(gate.budget.granted):
            self._broken.append(f"R3: {gate.retries} retries at {provider}, {len(gate.budget.granted)} were granted")
        retries = sum(at > time - 10 for at in gate.budget.granted)
        requests = sum(at > time - 20 for at in gate.times)
        if retries > RATIO * requests + self._onion.per_second * 11:
            self._broken.append(f"R3: {retries} retries of {requests} requests at {provider}")

    def _left_over(self) -> Iterator[str]:
        """R7, R8, R11: nothing stays once all are gone."""
        for upstream, slots in zip(self._upstreams, self._onion.slots, strict=True):
            if upstream.open:
                yield f"R7: {upstream.name} still answers {upstream.open}"
            if slots.in_flight or slots.waiting:
                yield f"R11: {upstream.name} still has {slots.in_flight} calls and {slots.waiting} in line"
            if not upstream.closings:
                yield f"R7: {upstream.name} was not closed"
        if self._ledger.open:
            yield f"R8: {len(self._ledger.open)} reservations are not settled"
        if twice := [lease for lease, times in self._ledger.settled.items() if times != 1]:
            yield f"R8: {len(twice)} reservations are settled more than once"
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            yield f"R7: {len(others)} tasks are left"

    def _raise(self) -> None:
        if self._broken:
            self._loop.after_step = None  # so that it ends in peace
            raise Broken("; ".join(self._broken[:3]))


def live(seed: int) -> Sequence[str]:
    """Live through a seed, and return its journal.

    Raises:
        Broken: A promise is, with the journal as a note. Any other exception is a defect, too.
    """
    loop = SeededLoop(random.Random(-seed))
    world = World(seed, loop)
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(world.run())
    except Exception as error:
        error.add_note("\n".join(world.journal))
        raise
    return world.journal
