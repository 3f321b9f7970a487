"""What users write around the package, for type checkers alone: mypy and pyright read this file, nothing runs it.

A line that must be wrong has a `type: ignore`. Both checkers complain about one that is not needed, so a signature that
becomes too lax is noticed as well as one that becomes too strict.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import assert_type

import httpx
import httpx2
from anthropic import AsyncAnthropic
from fastapi import FastAPI
from litestar import Litestar
from litestar.handlers import asgi
from openai import AsyncOpenAI
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Scope

from xrouter_asgi import (
    AccessLog,
    Alerts,
    APIKey,
    APIKeyMiddleware,
    BringYourOwnKey,
    Call,
    Candidate,
    Capabilities,
    CircuitBreaker,
    Concurrency,
    Deadline,
    EchoProvider,
    Fallback,
    GigaChatProvider,
    Hedge,
    LLMRouter,
    MemoryKeyStore,
    MemoryLimits,
    Metrics,
    MetricsApp,
    OpenAIProvider,
    Patience,
    Prebuffer,
    Price,
    Principal,
    Provider,
    RateLimitMiddleware,
    RedisLimits,
    Reply,
    RequestContext,
    RequestEventsMiddleware,
    Retry,
    SQLKeyStore,
    StaticKeys,
    Target,
    Timeout,
    TracingMiddleware,
    Wrapper,
    XRouterError,
    as_response,
    in_process,
    resilient,
    stack,
)
from xrouter_asgi.alerts import Alert, Channel, ErrorShare, Finding, Rule, Webhook, slack
from xrouter_asgi.asgi import OnError
from xrouter_asgi.context import Usage
from xrouter_asgi.decision import Attempt, Decision, Unready
from xrouter_asgi.errors import UnsupportedOperation, UpstreamUnavailable
from xrouter_asgi.events import AttemptEnded, Observer, RequestEnded
from xrouter_asgi.keys import CachedKeys, Changed, Hasher, Issued, Issuer, KeyFilter, KeyRegistry, KeySpec, KeyStore
from xrouter_asgi.limits import Charge, Limit, LimitStatus, LimitStore, Reservation
from xrouter_asgi.middleware import Identify
from xrouter_asgi.policies import CandidateStats, Ranked, Requirements, Strategy, Thresholds, lowest_cost
from xrouter_asgi.providers import TLS, AnthropicOptions, AnthropicProvider, Body, ReadyProvider, Timeouts
from xrouter_asgi.providers.gigachat import AuthorizationKey, GigaChatOptions, Password
from xrouter_asgi.queueing import Slots
from xrouter_asgi.router import ModelTable
from xrouter_asgi.telemetry import (
    Collector,
    LineBuffer,
    Metric,
    MetricsPush,
    OTLPTracer,
    otlp_metric_reader,
    otlp_tracer_provider,
)
from xrouter_asgi.wire import ChatChunk, ChatCompletion, ChatRequest, ChatStream, EmbeddingsRequest, ModelList
from xrouter_asgi.wire.answers import ChatCompletionAnswer

# A provider, and what is made of it


class Parrot:
    """Nothing but the three members."""

    name = "parrot"

    async def send(self, call: Call, /) -> Reply:
        assert_type(call.request, ChatRequest | EmbeddingsRequest)
        assert_type(call.deadline, float | None)
        if not isinstance(call.request, ChatRequest):
            raise UnsupportedOperation("A parrot can only chat.")
        if call.request.stream:
            return Reply(await ChatStream.start(self._words()), provider=self.name)
        return Reply(ChatCompletion({"choices": []}), provider=self.name, model=call.model, warnings=["parrot"])

    async def aclose(self) -> None: ...

    async def _words(self) -> AsyncIterator[Sequence[ChatChunk]]:
        yield [ChatChunk({"choices": []})]


class Mute:
    """A provider that cannot be closed is none."""

    name = "mute"

    async def send(self, call: Call, /) -> Reply:
        raise UpstreamUnavailable("It says nothing.")


parrot: Provider = Parrot()
mute: Provider = Mute()  # type: ignore[assignment]
echo: ReadyProvider = EchoProvider(models=["a"], delay=0.1)
openai: ReadyProvider = OpenAIProvider("http://127.0.0.1/v1", api_key="key", timeouts=Timeouts(first=300.0))
claude: ReadyProvider = AnthropicProvider("key", options=AnthropicOptions(cache="auto", max_tokens=4096))
AnthropicOptions(cache="on")  # type: ignore[arg-type]
gigachat: ReadyProvider = GigaChatProvider("key", max_parallel=10)
gigachat = GigaChatProvider(
    Password("user", "password"), tls=TLS(ca_bundle="ca.pem"), options=GigaChatOptions(strict=True)
)
gigachat = GigaChatProvider(AuthorizationKey("YTpi", scope="GIGACHAT_API_B2B"))
GigaChatOptions(structured_output="yaml")  # type: ignore[arg-type]
not_ready: ReadyProvider = Parrot()  # type: ignore[assignment]
EchoProvider(["a"])  # type: ignore[call-arg]


def with_key(key: str) -> Provider:
    return OpenAIProvider("http://127.0.0.1/v1", api_key=key)


own: ReadyProvider = BringYourOwnKey(with_key, inner=parrot, name="own")


# A policy, and the others around it


class Warned(Wrapper):
    """Adds a warning, and takes no embeddings."""

    def __init__(self, inner: Provider, *, word: str) -> None:
        super().__init__(inner)
        self._word = word

    def ready(self, call: Call, /) -> Unready | None:
        if isinstance(call.request, EmbeddingsRequest):
            return Unready("capability", None, "no embeddings")
        return assert_type(self.inner.ready(call), Unready | None)

    async def send(self, call: Call, /) -> Reply:
        reply = assert_type(await self.inner.send(call), Reply)
        reply.warnings = [*reply.warnings, self._word]
        reply.when_ended(_ended)
        return reply


def _ended(error: BaseException | None) -> None: ...


Unready("asleep", None, "asleep")  # type: ignore[arg-type]
layer: Provider = Target(Warned(parrot, word="beta"), model="a")
layer = Timeout(layer, first=30.0, idle=None)
layer = Concurrency(layer, slots=Slots(10, queue_timeout=5.0))
layer = Prebuffer(layer, seconds=0.5)
layer = CircuitBreaker(layer, thresholds=Thresholds(minimum=5))
layer = Retry(layer, attempts=2)
layer = Hedge(layer, second=Target(echo))
layer = Deadline(layer, total=60.0)
Retry(layer, 2)  # type: ignore[call-arg]
assert_type(resilient(parrot, max_parallel=3), Provider)

# A strategy


def least_loaded(stats: Sequence[CandidateStats], requirements: Requirements, random: Random, /) -> Sequence[Ranked]:
    assert_type(requirements.prompt_tokens, int)
    assert_type(stats[0].candidate.price, Price | None)
    return [Ranked(each, each.load) for each in sorted(stats, key=lambda each: each.load)]


def by_name(names: Sequence[str]) -> Sequence[str]:
    return sorted(names)


strategies: list[Strategy] = [least_loaded, lowest_cost]
candidates = [
    Candidate(Target(echo, model="a"), "echo/a", weight=2.0, price=Price(1.0, 2.0)),
    Candidate(Target(parrot), "parrot", capabilities=Capabilities(vision=False)),
]
model: Provider = stack(candidates, strategy=least_loaded, patience=Patience(attempts=2, first=30.0), hedge=0.03)
model = Fallback(candidates, strategy=lowest_cost, session_affinity=True)
Fallback(candidates, strategy=by_name)  # type: ignore[arg-type]

# An observer


def slow(event: object) -> None:
    if isinstance(event, RequestEnded):
        assert_type(event.duration, float)
        assert_type(event.context, RequestContext)
    elif isinstance(event, AttemptEnded):
        assert_type(event.attempt, Attempt)


observers: list[Observer] = [AccessLog(), AccessLog(LineBuffer()), AccessLog(logging.getLogger("a").info), slow]

# A store of keys


class Keys:
    imported = False

    async def find(self, digests: Sequence[bytes], /) -> APIKey | None:
        return APIKey("key_1", owner="ann")

    def used(self, key: APIKey, /) -> None: ...

    def watch(self, changed: Changed, /) -> None: ...

    async def aclose(self) -> None: ...


async def find(digest: bytes) -> APIKey | None:
    return None


async def find_by_text(secret: str) -> APIKey | None:
    return None


key_stores: list[KeyStore] = [
    Keys(),
    StaticKeys({"secret": APIKey("key_1")}),
    MemoryKeyStore(),
    SQLKeyStore("sqlite:///"),
]
registry: KeyRegistry = SQLKeyStore("sqlite:///keys.db")
no_registry: KeyRegistry = StaticKeys({})  # type: ignore[assignment]


async def create_a_key() -> None:
    issuer = Issuer(registry, by="host", hasher=Hasher({1: "pepper"}))
    assert_type(await issuer.create(KeySpec(owner="ann", models=("a-*",))), Issued)
    assert_type(await issuer.update("key_1", owner=None, limits=("1/minute",), reason="because"), APIKey)
    await issuer.update("key_1", limit=("1/minute",))  # type: ignore[call-arg]
    assert_type(await issuer.list(KeyFilter(states=frozenset({"active"})), most=10), Sequence[APIKey])
    assert_type(await CachedKeys(Keys()).check("secret"), APIKey | None)


# A store of limits


class Counts:
    backlog = 0

    async def connect(self) -> None: ...

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        assert_type(charges[0].limit, Limit)
        return Reservation(admitted=True)

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None: ...

    async def read(self, charges: Sequence[Charge]) -> Sequence[LimitStatus]:
        return [LimitStatus(charge.limit, charge.limit.amount, 0.0) for charge in charges]

    async def aclose(self) -> None: ...


limit_stores: list[LimitStore] = [Counts(), MemoryLimits(), RedisLimits("redis://host", when_unavailable="closed")]
RedisLimits("redis://host", when_unavailable="shut")  # type: ignore[arg-type]

# Alerts


class Restarts:
    name = "restarts"

    def __call__(self, event: object, now: float, /) -> Finding | None:
        return Finding("process", True, "It restarted.") if event == "restart" else None


async def page(alert: Alert) -> None:
    assert_type(alert.recovered, bool)


rules: list[Rule] = [Restarts(), ErrorShare(share=0.2)]
channels: list[Channel] = [page, Webhook("https://host/hook"), slack("https://host/hook"), print]
observers.append(Alerts(rules, channels, cooldown=60.0))
Alerts([page], channels)  # type: ignore[list-item]

# Who is calling, and what a refusal looks like


async def identify(scope: Scope) -> Principal | None:
    return Principal("ann", scopes=frozenset({"chat"}))


def identify_at_once(scope: Scope) -> Principal:
    return Principal("ann")


def identify_by_name(scope: Scope) -> str:
    return "ann"


def refused(scope: Scope, error: XRouterError) -> ASGIApp:
    assert_type(error.retry_after, float | None)
    return PlainTextResponse(error.message, error.status)


def tenant(scope: Scope) -> str | None:
    return assert_type(RequestContext.of(scope), RequestContext).request_id


identities: list[Identify] = [identify, identify_at_once]
on_error: OnError = refused

# Hosts

router = LLMRouter({"a": model, "b-*": Target(openai, model="*")}, max_body=1 << 20, explain=True)
assert_type(router.models, ModelTable)
metrics = Metrics(models=router.models)
shown = MetricsApp(metrics, token="t" * 16)
observers.append(MetricsPush(metrics, Collector("http://host"), interval=30.0))
assert_type(metrics.snapshot(), dict[Metric, dict[tuple[str, ...], list[float]]])
observers.append(Metrics(MeterProvider([otlp_metric_reader()]), models=router.models))
tracer = OTLPTracer(Collector("http://host", headers={"x-token": "t"}), service="site", share=0.1)
assert_type(tracer.exporter.lost, int)
assert_type(otlp_tracer_provider("http://host", service="site"), TracerProvider)

app: ASGIApp = RateLimitMiddleware(
    router, limit="60/minute; 8 parallel", key=tenant, models={"a": Limit(10)}, store=MemoryLimits(), on_error=refused
)
app = APIKeyMiddleware(app, store=SQLKeyStore("sqlite:///keys.db"), exclude_paths=["/health"], on_error=refused)
app = APIKeyMiddleware(app=app, identify=identify)
app = APIKeyMiddleware(app, store=find)
app = RequestEventsMiddleware(app, observers=observers)
app = TracingMiddleware(app, tracer=tracer)
app = TracingMiddleware(app, tracer_provider=otlp_tracer_provider())
APIKeyMiddleware(app, identify=identify_by_name)  # type: ignore[arg-type]
APIKeyMiddleware(app, store=find_by_text)  # type: ignore[arg-type]
APIKeyMiddleware(app, store=Keys(), secret="x")  # type: ignore[call-arg]
RateLimitMiddleware(app)  # type: ignore[call-arg]
LLMRouter({"a": Mute()})  # type: ignore[dict-item]

fastapi = FastAPI(lifespan=router.lifespan)
fastapi.mount("/llm", app)
fastapi.add_middleware(APIKeyMiddleware, store=Keys(), on_error=refused)
fastapi.add_middleware(RateLimitMiddleware, limit=60)  # type: ignore[arg-type]


@asynccontextmanager
async def lifespan(host: Starlette) -> AsyncGenerator[None]:
    async with router.lifespan(host):
        yield


starlette = Starlette(
    routes=[Mount("/llm", app)],
    middleware=[Middleware(RateLimitMiddleware, limit="60/minute"), Middleware(TracingMiddleware)],
    lifespan=lifespan,
)


@fastapi.post("/llm/{path:path}")
async def llm(request: Request) -> Response:
    return assert_type(as_response(app, request, principal=Principal("ann")), Response)


as_response(app, Principal("ann"))  # type: ignore[arg-type]
assert_type(in_process(app), httpx.AsyncClient)
assert_type(in_process(app, principal=Principal("ann"), client=httpx2.AsyncClient), httpx2.AsyncClient)
AsyncOpenAI(http_client=in_process(app, client=httpx2.AsyncClient))
AsyncAnthropic(http_client=in_process(app, client=httpx2.AsyncClient))
in_process(app, principal="ann")  # type: ignore[call-overload]
litestar = Litestar([asgi("/llm", is_mount=True, copy_scope=True)(router)], lifespan=[router.lifespan])

# What comes out


async def ask() -> None:
    request = assert_type(ChatRequest.of({"model": "a", "messages": []}), ChatRequest)
    reply = await model.send(Call(request, deadline=1.0))
    assert_type(reply.body, Body)
    assert_type(reply.stream, ChatStream | None)
    assert_type(reply.attempt, Attempt | None)
    if isinstance(reply.body, ChatStream):
        async for batch in reply.body:
            assert_type(batch, Sequence[ChatChunk])
        assert_type(reply.body.usage, Usage | None)
    assert_type(await echo.models(), ModelList)
    messages = [{"role": "user", "content": "Hi"}]
    whole = assert_type(await router.chat(messages, model="a", temperature=0.2), ChatCompletionAnswer)
    assert_type(whole.choices[0].message.content, str | None)
    async for chunk in router.chat(messages, model="a"):
        assert_type(chunk.choices[0].delta.content, str | None)
    await router.chat(messages)  # type: ignore[call-arg]
    assert_type(RequestContext().decision, Decision)
    assert_type(UpstreamUnavailable("Down.").but(retryable=False), UpstreamUnavailable)
