"""RateLimitMiddleware: reserve what a request may cost, or answer 429."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..asgi.excluded_paths import ExcludedPaths
from ..asgi.lifespan import ClosingAtShutdown
from ..asgi.refusal import OnError, send_refusal
from ..asgi.responses import Headers, with_headers
from ..context import CostEstimate, RequestContext, normal_form
from ..errors import RateLimitExceeded, XRouterError
from ..events import LimiterDegraded, LimiterRestored
from ..limits.base import Charge, LimitStatus, LimitStore, Reservation
from ..limits.estimates import ASSUMED_OUTPUT, OutputEstimates, Work
from ..limits.headers import ietf_headers, openai_headers
from ..limits.redis import store_at
from ..limits.rules import FindSubject, LimitRule, LimitRules, Limits, Subject, principal_or_address
from ..limits.units import UNITS


class RateLimitMiddleware:
    """Bounds the requests, tokens and parallel requests of each caller. Refuses with 429, which says when to retry.

    Works around any application for requests. Only `LLMRouter` knows tokens and models: it reserves them when it has
    read the body, and they are settled when the answer ends, however it ends. Around another application, limits of
    tokens and of models do nothing.

    Place it below `APIKeyMiddleware`, so that a limit belongs to a key and not to an address.

    Args:
        app: Any ASGI application.
        limit: `60/minute; 100000 tokens/minute; 8 parallel`, or an iterable of such. A principal's own limits replace
            those of the same kind.
        key: Names the caller that a limit per key belongs to; None for nobody. By default the principal's id, else the
            address.
        models: Limits by the name of a model, or by a pattern with one `*`, in any case. Those of tokens replace the
            general ones of the same kind; others come on top.
        assumed_output: Tokens that an answer is expected to have at least if the client sets no bound. From 0.
        store: Keeps the counts; or the URL of one, `memory://` or `redis://…`, which is closed with the lifespan.
        exclude_paths: Paths below the mount that are not counted: `/health`, or `/docs/*` for all below `/docs`.
        ietf: Send the `RateLimit` and `RateLimit-Policy` fields as well, which are still a draft.
        on_error: Turns a refusal of this middleware into the host's own answer. `LLMRouter` renders those for tokens.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: Limits,
        key: FindSubject = principal_or_address,
        models: Mapping[str, Limits] | None = None,
        assumed_output: int = ASSUMED_OUTPUT,
        store: LimitStore | str = "memory://",
        exclude_paths: Iterable[str] = (),
        ietf: bool = False,
        on_error: OnError | None = None,
    ) -> None:
        self.app = app
        opened = store_at(store) if isinstance(store, str) else store
        self._lifespan = ClosingAtShutdown(app, closing={"limits": opened.aclose} if isinstance(store, str) else {})
        estimates = OutputEstimates(assumed=assumed_output)
        self._limiter = _Limiter(opened, LimitRules(limit, models or {}), estimates, ietf=ietf)
        self._key = key
        self._excluded = ExcludedPaths(exclude_paths)
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, partial(self._connect_and_send, send))
            return
        if scope["type"] != "http" or self._excluded.match(scope):
            await self.app(scope, receive, send)
            return
        scope = dict(scope)
        context = RequestContext.of(scope)
        request = _LimitedRequest(self._limiter, Subject.of(scope, self._key, context.principal), context)

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = with_headers(message, request.headers())
            await send(message)

        try:
            await request.reserve_before_body()
        except XRouterError as error:
            await send_refusal(scope, receive, send_with_limits, error, on_error=self._on_error)
        else:
            await self.app(scope, receive, send_with_limits)
        finally:
            request.settle()

    async def _connect_and_send(self, send: Send, message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            await self._limiter.store.connect()
        await send(message)


@dataclass(slots=True)
class _Limiter:
    """What all requests share."""

    store: LimitStore
    rules: LimitRules
    estimates: OutputEstimates
    ietf: bool  # answers carry the fields of the IETF's draft as well
    local: bool = False  # the last reservation was decided in this process alone: the shared store is away


@dataclass(slots=True)
class _Claim:
    lease: str
    charges: Sequence[Charge]
    work: Work
    admitted: bool = False


class _LimitedRequest:
    """Reserves in two steps, requests before the body is read and tokens after, and settles both together."""

    def __init__(self, limiter: _Limiter, subject: Subject, context: RequestContext) -> None:
        self._limiter = limiter
        self._subject = subject
        self._context = context
        self._claims: list[_Claim] = []
        self._statuses: list[LimitStatus] = []
        self._local = False
        self._work: Work | None = None
        self._reserve_further_out = context.reserve_tokens

    async def reserve_before_body(self) -> None:
        """Reserve what is known without the body, and let `LLMRouter` reserve the rest.

        Raises RateLimitExceeded, and XRouterError (503) when limits cannot be checked.
        """
        await self._reserve(self._limiter.rules.before_body(self._subject), Work(self._context))
        self._context.reserve_tokens = self.reserve_tokens

    async def reserve_tokens(self, estimate: CostEstimate) -> None:
        """Reserve what a call may cost. A refused request gives back all that it has reserved.

        Raises InvalidRequest for a call that is larger than a whole limit, and RateLimitExceeded.
        """
        if self._reserve_further_out is not None:
            await self._reserve_further_out(estimate)
        model = normal_form(estimate.model)
        if rules := self._limiter.rules.for_model(self._subject, model):
            estimate = replace(estimate, model=model)
            self._work = self._limiter.estimates.begin(self._context, self._subject.key or "", estimate)
            await self._reserve(rules, self._work)

    def settle(self) -> None:
        """Say what the request has cost. Waits for nothing, so that no cancellation can come between."""
        limiter = self._limiter
        self._context.reserve_tokens = self._reserve_further_out  # or this object and the context would hold each other
        for claim in self._claims:
            if claim.admitted:
                costs = [UNITS[charge.limit.unit].after(claim.work, charge.cost) for charge in claim.charges]
                limiter.store.settle(claim.lease, costs)
            else:  # the request was cancelled while it asked
                limiter.store.settle(claim.lease)
        if self._work is not None:
            limiter.estimates.end(self._work)

    def headers(self) -> Headers:
        """How far the limits are used up, for the head of the answer."""
        headers = openai_headers(self._statuses)
        if self._limiter.ietf:
            headers += ietf_headers(self._statuses)
        if self._local:
            headers.append((b"x-ratelimit-scope", b"local"))
        return headers

    async def _reserve(self, rules: Sequence[LimitRule], work: Work) -> None:
        charges = []
        for rule in rules:
            cost = UNITS[rule.limit.unit].before(work, rule.limit)
            if cost is not None and (charge := rule.charge(self._subject, model=work.estimate.model, cost=cost)):
                charges.append(charge)
        if not charges:
            return
        claim = _Claim(os.urandom(16).hex(), charges, work)
        self._claims.append(claim)  # before the await, which may be cancelled
        reservation = await self._limiter.store.reserve(charges, lease=claim.lease)
        self._statuses += reservation.statuses
        self._local |= reservation.local
        if reservation.local != self._limiter.local:
            self._limiter.local = reservation.local
            self._context.emit((LimiterDegraded if reservation.local else LimiterRestored)(self._context))
        claim.admitted = reservation.admitted
        if not reservation.admitted:
            for each in self._claims:
                self._limiter.store.settle(each.lease)
            self._claims.clear()
            raise _refusal(reservation)


def _refusal(reservation: Reservation) -> XRouterError:
    if reservation.refused is None:
        return XRouterError(
            "Limits cannot be checked now. Please try again in 1s.",
            status=503,
            type="service_unavailable_error",
            code="limiter_unavailable",
            retry_after=reservation.retry_after,
        )
    # In OpenAI's words, because clients read the seconds out of them.
    wait = math.ceil(reservation.retry_after * 1000) / 1000
    text = f"{wait * 1000:.0f}ms" if wait < 1 else f"{wait:.10g}s"
    return RateLimitExceeded(
        f"Limit of {reservation.refused} reached. Please try again in {text}.",
        type="tokens" if reservation.refused.unit == "tokens" else "requests",
        retry_after=reservation.retry_after,
    )
