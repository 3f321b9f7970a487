"""An hour at a gateway, as an operator sees it: some models, some keys, some trouble. The same one each time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

from tests.ledger.entries import entry
from xrouter_asgi.admin import AdminApp, LimitsUsed, ThisProcess
from xrouter_asgi.admin.upstreams import upstreams_of
from xrouter_asgi.context import Attempt, Cost, Principal, RequestContext, Usage
from xrouter_asgi.decision import CandidateVerdict, Unready
from xrouter_asgi.errors import InvalidRequest, UpstreamError, UpstreamTimeout, UpstreamUnavailable, XRouterError
from xrouter_asgi.events import CooldownStarted, RequestEnded
from xrouter_asgi.keys import Issued, Issuer, KeySpec, MemoryKeyStore
from xrouter_asgi.ledger import Budgets, MemoryLedger, SeededBudget, Spend
from xrouter_asgi.limits import LimitStore, MemoryLimits
from xrouter_asgi.limits.prices import NANO
from xrouter_asgi.limits.rules import LimitRules, Subject
from xrouter_asgi.live import Live
from xrouter_asgi.policies.upstream_state import Cooldown
from xrouter_asgi.reloading import ReloadableRouter, Reloaded
from xrouter_asgi.settings import Settings
from xrouter_asgi.standalone import build_router
from xrouter_asgi.testing.clock import Clock

LIMITS = ["600/minute", "500k tokens/hour", "8 parallel"]
SETTINGS = Settings.parse(
    {
        "providers": {
            "gigachat": {"kind": "echo", "models": ["GigaChat-2-Pro", "GigaChat-2"]},
            "openai": {"kind": "echo", "models": ["gpt-5-mini", "text-embedding-3-small"]},
            "ollama": {"kind": "echo", "models": ["qwen3:8b"]},
        },
        "models": {
            "assistant": {"targets": ["gigachat/GigaChat-2-Pro", "openai/gpt-5-mini", "ollama/qwen3:8b"]},
            "fast": {"targets": ["gigachat/GigaChat-2", "openai/gpt-5-mini"], "strategy": "two_choices"},
            "embeddings": {"targets": ["openai/text-embedding-3-small"]},
            "local-*": {"targets": ["ollama/*"]},
        },
        "prices": [
            {"target": "gigachat/*", "input": 1.5, "output": 1.5},
            {"target": "openai/*", "input": 0.25, "output": 2},
        ],
        "rate_limit": {"limit": LIMITS},
    },
    source="/etc/xrouter/xrouter.toml",
)
HOUR = 3600
BUDGETS = ["1.5 USD/calendar day per owner", "8 USD/calendar day per all"]
OWNERS = ("ann", "search-team", "billing-bot", "night-report")


@dataclass
class Scene:
    """The operator's app over what happened; make it with `Scene.open()`."""

    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    registry: MemoryKeyStore = field(default_factory=MemoryKeyStore)
    clock: Clock = field(default_factory=lambda: Clock(time.time() - HOUR))
    random: Random = field(default_factory=lambda: Random(7))
    operator: Issued = field(init=False)
    reader: Issued = field(init=False)
    router: ReloadableRouter = field(init=False)
    live: Live = field(init=False)
    app: AdminApp = field(init=False)

    @classmethod
    async def open(cls) -> Scene:
        scene = cls()
        issuer = Issuer(scene.registry, by="xrouter admin key")
        scene.operator = await issuer.create(KeySpec(name="Ann, on call", scopes=frozenset({"admin"})), kind="admin")
        scene.reader = await issuer.create(KeySpec(name="wallboard", scopes=frozenset({"admin:read"})), kind="admin")
        await scene._issue()
        scene.router = ReloadableRouter(SETTINGS, build=build_router)
        scene.live = Live(now=scene.clock)
        await scene._happen()
        await scene._cost()
        store = SeededBudget(MemoryLimits(), scene.ledger)
        await scene._use_up(store)
        spend = Spend(scene.ledger, budgets=Budgets(scene.ledger, limit=BUDGETS, keys=scene.registry, store=store))
        scene.app = AdminApp(
            ThisProcess(scene.router, scene.live, limits=LimitsUsed(store, limit=[*LIMITS, *BUDGETS])),
            keys=scene.registry,
            spend=spend,
            settings=lambda: SETTINGS,
            reload=scene._reload,
        )
        return scene

    @property
    def pages(self) -> dict[str, str]:
        """The way to each page, by its name."""
        several = next(each for each in reversed(self.live.recent) if len(each.attempts) > 1 and not each.failed)
        key = self.keys[0].id
        return {
            "now": "/",
            "requests": "/requests",
            "request": f"/requests/{several.id}",
            "models": "/models?model=assistant&tokens=20000&tools=true",
            "keys": "/keys",
            "key": f"/keys/{key}",
            "new-key": "/keys/new",
            "revoke": f"/keys/{key}/revoke",
            "spend": "/spend",
            "settings": "/settings",
            "error": "/nowhere",
        }

    def hear_of(self, model: str) -> str:
        """A request for a model of this name has ended. Returns its id."""
        context = RequestContext(model=model, endpoint="chat")
        self._refused(context)
        return context.request_id

    async def _reload(self) -> Reloaded:
        version = SETTINGS.version
        return Reloaded(version, version, problems=["xrouter.toml: models.fast.targets[1] names provider 'opnai'."])

    async def _issue(self) -> None:
        by_ann = Issuer(self.registry, by=self.operator.key.id)
        keys = [
            KeySpec(name="Ann's notebook", owner="ann", limits=("60/minute", "5 USD/day"), groups=("research",)),
            KeySpec(name="search", owner="search-team", models=("fast", "embeddings"), limits=("1200/minute",)),
            KeySpec(name="invoices", owner="billing-bot", scopes=frozenset({"chat"}), models=("assistant",)),
            KeySpec(name="report at night", owner="night-report"),
            KeySpec(name="old laptop", owner="ann"),
        ]
        self.keys = [each.key for each in await by_ann.create_all(keys)]
        await by_ann.rotate(self.keys[0].id, reason="every quarter")
        await by_ann.suspend(self.keys[3].id, reason="it asks in a loop")
        await by_ann.revoke(self.keys[4].id, reason="it was stolen")

    async def _happen(self) -> None:
        for minute in range(61):
            many = self.random.randint(2, 9) + (8 if 20 < minute < 32 else 0)
            for running in reversed(range(many)):
                self._request(RequestContext(), running)
            self.clock.advance(60 if minute < 60 else 0)
        self.live(CooldownStarted(RequestContext(), "gigachat", "rate", 45, "gigachat/GigaChat-2"))
        for view in upstreams_of(self.router.models)["fast"]:
            if view.name == "gigachat/GigaChat-2" and view.breaker is not None:
                until = asyncio.get_running_loop().time() + 45
                view.breaker._cooldown = Cooldown("rate", until, None, "rate_limit_error", 429)

    async def _cost(self) -> None:
        """What was spent in the last 30 days, with little on two days of seven."""
        models = {"assistant": 0.9, "fast": 0.3, "embeddings": 0.08}
        today = datetime.now(UTC)
        for day in range(30):
            at = today - timedelta(days=day)
            entries = [
                entry(
                    at,
                    owner=owner,
                    key=self.keys[number].id,
                    model=model,
                    input=self.random.randint(20_000, 90_000),
                    output=self.random.randint(5_000, 30_000),
                    cost=round(NANO * price * (0.2 if at.weekday() > 4 else 1) * (0.5 + self.random.random())),
                )
                for model, price in models.items()
                for number, owner in enumerate(OWNERS)
            ]
            await self.ledger.write(entries)

    async def _use_up(self, store: LimitStore) -> None:
        """What callers have used of their limits: most of them little, one nearly all."""
        rules, used = LimitRules(LIMITS, {}), ((51, 183_000, 3), (310, 92_500, 1), (12, 4_100, 0))
        for key, (requests, tokens, parallel) in zip(self.keys, used, strict=False):
            counts = {each.limit.unit: each for each in rules.counts(Subject(key.id, key.owner, "", key.limits))}
            taken = [replace(counts["requests"], cost=requests), replace(counts["tokens"], cost=tokens)]
            await store.reserve(taken, lease=key.id)
            for number in range(parallel):
                await store.reserve([replace(counts["parallel"], cost=1)], lease=f"{key.id} {number}")

    def _request(self, context: RequestContext, running: int) -> None:
        dice = self.random.random
        model, first, second = self.random.choice(
            [
                ("assistant", ("gigachat", "GigaChat-2-Pro"), ("openai", "gpt-5-mini")),
                ("assistant", ("gigachat", "GigaChat-2-Pro"), ("openai", "gpt-5-mini")),
                ("fast", ("gigachat", "GigaChat-2"), ("openai", "gpt-5-mini")),
                ("embeddings", ("openai", "text-embedding-3-small"), None),
            ]
        )
        context.model, context.endpoint = model, "embeddings" if second is None else "chat"
        context.request_id = f"req_{self.random.getrandbits(128):032x}"
        owner = self.random.randrange(len(OWNERS))
        context.principal = Principal(self.keys[owner].id, OWNERS[owner])
        context.streamed = second is not None and dice() < 0.7
        if dice() < 0.03:
            self._refused(context)
            return
        wait, came = 0.2 + 0.5 * dice(), 0.4 + 2.5 * dice()
        began = context.decision.began
        failing = second is not None and dice() < 0.06
        excluded = Unready("cooling", None, "cooling (rate_limit) for 12.4 s") if dice() < 0.1 else None
        end, error = 0.0, None
        if failing:
            error = self.random.choice([UpstreamTimeout("It was silent."), UpstreamUnavailable("It is down.")])
            end = 0.6 + dice()
            self._attempt(context, first, began, None, end, error)
        answering = second if failing and second is not None else first
        status: int = 200
        if failing and dice() < 0.4:
            self._attempt(context, second or first, began + end + 0.05, None, 0.3, UpstreamError("It broke."))
            context.error, status, duration, begun = error, 502, end + 0.35, None
        else:
            start = end + (0.05 if failing else 0.004)
            self._attempt(context, answering, began + start, wait, wait + came, None)
            context.provider, context.upstream_model = answering
            context.usage = Usage(round(40 + 900 * dice()), 0 if second is None else round(20 + 500 * dice()))
            context.cost = Cost(round(context.usage.total_tokens * 1500))
            duration, begun = start + wait + came, start + wait
        self._decide(context, first, second, excluded)
        self.live(replace(_ended(context, status, duration, begun), running=running))

    def _refused(self, context: RequestContext) -> None:
        context.error = InvalidRequest("No.", code="context_length_exceeded")
        self.live(_ended(context, 400, 0.003, 0.003))

    def _attempt(
        self,
        context: RequestContext,
        target: tuple[str, str],
        began: float,
        first: float | None,
        took: float,
        error: XRouterError | None,
    ) -> None:
        attempt = Attempt(*target, started=began)
        attempt.first = None if first is None else began + first
        attempt.ended, attempt.error = began + took, error
        context.attempts.append(attempt)

    def _decide(
        self, context: RequestContext, first: tuple[str, str], second: tuple[str, str] | None, excluded: Unready | None
    ) -> None:
        context.decision.version, context.decision.strategy = SETTINGS.version, "in_order"
        verdicts = [CandidateVerdict("/".join(first))]
        if second is not None and second != first:
            verdicts.append(CandidateVerdict("/".join(second)))
        if excluded is not None:
            verdicts.append(CandidateVerdict("ollama/qwen3:8b", None, excluded))
        context.decision.candidates = tuple(verdicts)


def _ended(context: RequestContext, status: int, duration: float, first_byte: float | None) -> RequestEnded:
    return RequestEnded(context, "POST", "/v1", status, True, duration, first_byte, 100, 100, "127.0.0.1")
