"""How much a caller may ask for."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..asgi.lifespan import ClosingAtShutdown
from ..asgi.responses import id_header, send_error
from ..asgi.scope import local_path
from ..context import CostEstimate, RequestContext
from ..errors import InvalidRequest, RateLimitExceeded, XRouterError
from ..events import LimiterDegraded, LimiterRestored
from ..limits.base import Charge, LimitStatus, LimitStore, Reservation
from ..limits.estimates import OutputEstimates, tokens_spent
from ..limits.headers import ietf_headers, openai_headers
from ..limits.limit import Limit
from ..limits.redis import store_at
from ..limits.rules import Key, LimitRule, LimitRules, Limits, Subject, principal_or_address


class RateLimitMiddleware:
    """Bounds the requests, tokens and parallel requests of each caller. Refuses with 429 and says when to come back.

    Works on any application for requests. Tokens and models are what `LLMRouter` knows: it asks for those when it has
    read the body, and they are settled when the answer is over, however it ends. In front of another application such
    limits are not counted.

    Place it below `APIKeyMiddleware`, so that a limit belongs to a key and not to an address.

    Args:
        app: The application.
        limit: `60/minute; 100000 tokens/minute; 8 parallel`, or an iterable of such. A principal's own limits stand in
            place of those of the same kind.
        key: Whom a limit per key belongs to; None for nobody. By default the principal, else the address.
        models: Limits by the name of a model, or a pattern with one `*`: of tokens in place of those of the same kind,
            others on top.
        store: Keeps the counts. A URL makes one, which is closed with the lifespan: `memory://`, `redis://…`.
        exclude_paths: Paths below the mount that are not counted, such as `/health`; exact.
        ietf: Whether to send the `RateLimit` and `RateLimit-Policy` fields, which are still a draft.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: Limits,
        key: Key = principal_or_address,
        models: Mapping[str, Limits] | None = None,
        store: LimitStore | str = "memory://",
        exclude_paths: Collection[str] = (),
        ietf: bool = False,
    ) -> None:
        self.app = app
        self.store = store_at(store) if isinstance(store, str) else store
        self.rules = LimitRules(limit, models or {})
        self.key = key
        self.estimates = OutputEstimates()
        self.ietf = ietf
        ours = {"limits": self.store.aclose} if isinstance(store, str) else {}
        self._lifespan = ClosingAtShutdown(app, closing=ours)
        self._exclude_paths = frozenset(exclude_paths)
        for path in self._exclude_paths:
            if not path.startswith("/") or "*" in path:
                raise ValueError(f"The path {path!r} cannot be excluded. Write it as in ('/health', '/ready').")
        self._local = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one ASGI scope through, or refuse it."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] != "http" or local_path(scope) in self._exclude_paths:
            await self.app(scope, receive, send)
        else:
            scope = dict(scope)
            limited = _LimitedRequest(self, scope)
            try:
                await limited.run(scope, receive, send)
            finally:
                limited.settle()

    def note(self, reservation: Reservation, context: RequestContext) -> None:
        """Tell when the shared count goes away and when it is back."""
        if reservation.local != self._local:
            self._local = reservation.local
            context.emit(LimiterDegraded(context) if reservation.local else LimiterRestored(context))


@dataclass(slots=True)
class _Claim:
    lease: str
    charges: Sequence[Charge]
    demand: CostEstimate | None
    admitted: bool = False


class _LimitedRequest:
    """One request: what it holds, until it is settled."""

    def __init__(self, limiter: RateLimitMiddleware, scope: Scope) -> None:
        self._limiter = limiter
        self._context = RequestContext.of(scope)
        self._caller = Subject.of(scope, limiter.key)
        self._claims: list[_Claim] = []
        self._statuses: list[LimitStatus] = []
        self._local = False
        self._outer_admit = self._context.reserve_tokens

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_statuses(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._add_headers(message.get("headers", ()))}
            await send(message)

        try:
            await self._reserve(self._charges(self._limiter.rules.before_body(self._caller)))
        except XRouterError as error:
            self._context.error = error
            identity = id_header(self._context.request_id)
            await send_error(send_with_statuses, error, headers=[identity])
            self._context.release()
            return
        self._context.reserve_tokens = self.reserve_tokens
        await self._limiter.app(scope, receive, send_with_statuses)

    async def reserve_tokens(self, demand: CostEstimate) -> None:
        """Reserve what a call may come to, when its size is known.

        Raises:
            InvalidRequest: It is larger than a whole limit.
            RateLimitExceeded: Not now. Then the request as a whole has taken nothing.
        """
        if self._outer_admit is not None:
            await self._outer_admit(demand)
        rules = self._limiter.rules.for_model(self._caller, demand.model)
        await self._reserve(self._charges(rules, demand), demand)

    def settle(self) -> None:
        """Say what the request came to. Waits for nothing, so nothing can come between."""
        limiter, context = self._limiter, self._context
        context.reserve_tokens = self._outer_admit  # it holds this object, which holds the context
        for claim in self._claims:
            demand = claim.demand
            if not claim.admitted:  # cancelled while it was asked for
                limiter.store.settle(claim.lease)
                continue
            spent = None if demand is None else tokens_spent(context, demand)
            limiter.store.settle(claim.lease, [_came_to(charge, spent) for charge in claim.charges])
            if demand is not None and demand.completion_tokens != 0 and context.usage is not None:
                limiter.estimates.learn(self._caller.key or "", demand.model, context.usage.completion_tokens)

    def _charges(self, rules: Sequence[LimitRule], demand: CostEstimate | None = None) -> list[Charge]:
        model = "" if demand is None else demand.model
        charges = (rule.charge(self._caller, model=model, cost=self._cost(rule.limit, demand)) for rule in rules)
        return [charge for charge in charges if charge is not None]

    def _cost(self, limit: Limit, demand: CostEstimate | None) -> int:
        """What to reserve. A guess is cut to the limit; what the client says itself is not."""
        if limit.unit != "tokens" or demand is None:
            return 1
        output = demand.completion_tokens
        if demand.prompt_tokens + (output or 0) > limit.amount:
            raise _too_large(demand, limit)
        if output is None:
            output = self._limiter.estimates.expect(self._caller.key or "", demand.model, limit=limit.amount)
        return min(demand.prompt_tokens + output, limit.amount)

    async def _reserve(self, charges: Sequence[Charge], demand: CostEstimate | None = None) -> None:
        if not charges:
            return
        claim = _Claim(os.urandom(16).hex(), charges, demand)
        self._claims.append(claim)  # before the await, which may be cancelled
        reservation = await self._limiter.store.reserve(charges, lease=claim.lease)
        self._limiter.note(reservation, self._context)
        self._local |= reservation.local
        self._statuses += reservation.statuses
        claim.admitted = reservation.admitted
        if not reservation.admitted:
            for taken in self._claims:
                self._limiter.store.settle(taken.lease)
            self._claims.clear()
            raise _refusal(reservation)

    def _add_headers(self, headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Where an application or a limiter further in says something itself, it is left."""
        said = {name.lower() for name, _ in headers}
        ours = openai_headers(self._statuses)
        if self._limiter.ietf:
            ours += ietf_headers(self._statuses)
        if self._local:
            ours.append((b"x-ratelimit-scope", b"local"))
        return [*headers, *(header for header in ours if header[0] not in said)]


def _came_to(charge: Charge, spent: int | None) -> int:
    return charge.cost if spent is None or charge.limit.unit != "tokens" else spent


def _refusal(reservation: Reservation) -> XRouterError:
    if reservation.refused is None:
        return XRouterError(
            "Limits cannot be checked now. Please try again in 1s.",
            status=503,
            type="service_unavailable_error",
            code="limiter_unavailable",
            retry_after=reservation.retry_after,
        )
    # In these words, because clients read the seconds out of them.
    wait = math.ceil(reservation.retry_after * 1000) / 1000
    text = f"{wait * 1000:.0f}ms" if wait < 1 else f"{wait:.10g}s"
    return RateLimitExceeded(
        f"Limit of {reservation.refused} reached. Please try again in {text}.",
        type="tokens" if reservation.refused.unit == "tokens" else "requests",
        retry_after=reservation.retry_after,
    )


def _too_large(demand: CostEstimate, limit: Limit) -> InvalidRequest:
    tokens = demand.prompt_tokens + (demand.completion_tokens or 0)
    return InvalidRequest(
        f"This request may take {tokens} tokens, and the limit is {limit}. Send less text, or ask for fewer tokens.",
        code="tokens_exceed_limit",
    )
