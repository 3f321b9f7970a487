"""RateLimitMiddleware: reserve what a request may cost, or answer 429."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from functools import partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..asgi.excluded_paths import ExcludedPaths
from ..asgi.hooks import failure, mistake
from ..asgi.lifespan import ClosingAtShutdown
from ..asgi.refusal import OnError, send_refusal
from ..asgi.responses import HEADS, Headers, with_headers
from ..context import BudgetStatus, Cost, CostEstimate, RequestContext, normal_form
from ..errors import XRouterError
from ..events import BudgetUsed, LimiterDegraded, LimiterRestored
from ..limits.base import Charge, LimitStatus, LimitStore, Reservation
from ..limits.budgets import budgets_of
from ..limits.estimates import ASSUMED_OUTPUT, OutputEstimates, Work
from ..limits.headers import budget_headers, ietf_headers, openai_headers, tightest_of
from ..limits.periods import Calendar
from ..limits.prices import Prices, in_units
from ..limits.redis import store_at
from ..limits.refusals import refusal
from ..limits.rules import FindSubject, LimitRule, LimitRules, Limits, Subject, principal_or_address
from ..limits.units import UNITS

_TOLD_BELOW = 0.2  # of a budget is left


class RateLimitMiddleware:
    """Bounds the requests, tokens, money and parallel requests of each caller. Refuses with 429, which says when to
    retry.

    Works around any application for requests. Only `LLMRouter` knows tokens and models: it reserves them when it has
    read the body, and they are settled when the answer ends, however it ends. Around another application, limits of
    tokens, of money and of models do nothing. A WebSocket is one request, and one of those in parallel until it is
    closed.

    Place it below `APIKeyMiddleware`, so that a limit belongs to a key and not to an address.

    Args:
        app: Any ASGI application.
        limit: `60/minute; 100000 tokens/minute; 8 parallel; 20 USD/day`, or an iterable of such. A principal's own
            limits replace those of the same kind.
        key: Names the caller that a limit per key belongs to; None for nobody. By default the principal's id, else the
            address. An `HTTPException` refuses the request, as it does in `identify` of `APIKeyMiddleware`.
        models: Limits by the name of a model, or by a pattern with one `*`, in any case. Those of tokens replace the
            general ones of the same kind, and so do those of money; others come on top.
        prices: What targets cost, for limits of money. Within a budget, a target without a price is not asked.
        timezone: In which the days, weeks and months of limits `/calendar …` begin.
        assumed_output: Tokens that an answer is expected to have at least if the client sets no bound. From 0.
        store: Keeps the counts; or the URL of one, `memory://` or `redis://…`, which is closed with the lifespan.
        exclude_paths: Paths below the mount that are not counted: `/health`, or `/docs/*` for all below `/docs`.
        ietf: Send the `RateLimit` and `RateLimit-Policy` fields as well, which are still a draft.
        on_error: Turns a refusal of this middleware into the host's own answer. `LLMRouter` renders those for tokens
            and money.

    Raises:
        ValueError: A limit cannot be read, or is of money that no prices are in.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: Limits,
        key: FindSubject = principal_or_address,
        models: Mapping[str, Limits] | None = None,
        prices: Prices | None = None,
        timezone: tzinfo = UTC,
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
        rules = LimitRules(limit, models or {}, calendar=Calendar(timezone))
        rules.check_currency(None if prices is None else prices.currency)
        self._limiter = _Limiter(opened, rules, estimates, prices, ietf=ietf)
        self._key = key
        self._excluded = ExcludedPaths(exclude_paths)
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, partial(self._connect_and_send, send))
            return
        if scope["type"] not in ("http", "websocket") or self._excluded.match(scope):
            await self.app(scope, receive, send)
            return
        scope, context = RequestContext.within(scope)
        if not self._limiter.rules.bind(context.principal):
            await self.app(scope, receive, send)
            return
        try:
            subject = self._subject(scope, context)
        except XRouterError as error:
            await send_refusal(scope, receive, send, error, on_error=self._on_error)
            return
        request = _LimitedRequest(self._limiter, subject, context)

        def send_with_limits(message: Message) -> Awaitable[None]:
            if message["type"] in HEADS:
                message = with_headers(message, request.headers())
            return send(message)

        try:
            await request.reserve_before_body()
        except XRouterError as error:
            await send_refusal(scope, receive, send_with_limits, error, on_error=self._on_error)
        else:
            await self.app(scope, receive, send_with_limits)
        finally:
            request.settle()

    def _subject(self, scope: Scope, context: RequestContext) -> Subject:
        """Who is charged. Raises XRouterError if `key` refuses the request, or fails: nobody goes in uncounted."""
        try:
            subject = Subject.of(scope, self._key, context.principal)
        except XRouterError:
            raise
        except Exception as error:
            raise failure("The function 'key' of RateLimitMiddleware failed", error, context) from error
        key: object = subject.key
        if key is not None and not isinstance(key, str):
            raise mistake("key", "a text or None", key, context)
        return subject

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
    prices: Prices | None
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
        self._lease = os.urandom(16).hex()
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
        self._context.reserve_tokens, self._context.budgets = self.reserve_tokens, self.budgets

    async def reserve_tokens(self, estimate: CostEstimate) -> None:
        """Reserve what a call may cost. A refused request gives back all that it has reserved.

        Raises InvalidRequest for a call that is larger than a whole limit, ModelUnpriced, and RateLimitExceeded.
        """
        if self._reserve_further_out is not None:
            await self._reserve_further_out(estimate)
        limiter = self._limiter
        model = normal_form(estimate.model)
        rules = limiter.rules.for_model(self._subject, model)
        if rules or limiter.prices is not None:
            if model != estimate.model:
                estimate = replace(estimate, model=model)
            work = self._work = limiter.estimates.begin(self._context, self._subject.key or "", estimate)
            work.prices = limiter.prices
            await self._reserve(self._charges(rules, work), work)

    async def budgets(self) -> Sequence[BudgetStatus]:
        """How far the caller's budgets are used up."""
        return await budgets_of(self._subject, rules=self._limiter.rules, store=self._limiter.store)

    def settle(self) -> None:
        """Say what the request has cost. Waits for nothing, so that no cancellation can come between."""
        limiter, context, work = self._limiter, self._context, self._work
        # Or this object and the context would hold each other.
        context.reserve_tokens, context.budgets, context.is_priced = self._reserve_further_out, None, None
        if work is not None and limiter.prices is not None:
            context.cost = context.cost or self._cost(work)
        for claim in self._claims:
            if claim.admitted:
                costs = [UNITS[charge.limit.unit].after(claim.work, charge.cost) for charge in claim.charges]
                limiter.store.settle(claim.lease, costs)
            else:  # the request was cancelled while it asked
                limiter.store.settle(claim.lease)
        if work is not None:
            limiter.estimates.end(work)

    def headers(self) -> Headers:
        """How far the limits are used up, and what a whole answer has cost, for the head of the answer."""
        limiter, context, work = self._limiter, self._context, self._work
        tightest = tightest_of(self._statuses)
        headers = openai_headers(tightest)
        if limiter.ietf:
            headers += ietf_headers(self._statuses)
        if self._local:
            headers.append((b"x-ratelimit-scope", b"local"))
        if work is not None and limiter.prices is not None:
            headers += budget_headers(tightest, limiter.rules.calendar)
            if context.usage is not None and not context.streamed:
                context.cost = self._cost(work)
                cost = f"{in_units(context.cost.amount)} {limiter.prices.currency}"
                headers.append((b"x-xrouter-cost", cost.encode()))
        return headers

    def _charges(self, rules: Sequence[LimitRule], work: Work) -> Sequence[Charge]:
        calendar = self._limiter.rules.calendar
        charges: list[Charge] = []
        for rule in rules:
            cost = UNITS[rule.limit.unit].before(work, rule.limit)
            if cost is None:
                continue
            charges += rule.charges(self._subject, calendar, model=work.estimate.model, cost=cost)
            if rule.limit.unit == "money" and work.prices is not None:
                self._context.is_priced = work.prices.knows
        return charges

    def _cost(self, work: Work) -> Cost:
        """What the request has cost. Where nobody knows, the most that was reserved counts."""
        spent = work.spent()
        if not spent.unknown:
            return spent.with_reserved(0)
        charged = (charge for claim in self._claims for charge in claim.charges)
        return spent.with_reserved(max((charge.cost for charge in charged if charge.limit.unit == "money"), default=0))

    async def _reserve(self, charges: Sequence[Charge], work: Work) -> None:
        if not charges:
            return
        limiter = self._limiter
        claim = _Claim(f"{self._lease}{len(self._claims)}", charges, work)
        self._claims.append(claim)  # before the await, which may be cancelled
        reservation = await limiter.store.reserve(charges, lease=claim.lease)
        self._statuses += reservation.statuses
        self._local |= reservation.local
        if reservation.local != limiter.local:
            limiter.local = reservation.local
            self._context.emit((LimiterDegraded if reservation.local else LimiterRestored)(self._context))
        if work.prices is not None:
            self._tell_of_budgets(charges, reservation)
        claim.admitted = reservation.admitted
        if not reservation.admitted:
            for each in self._claims:
                limiter.store.settle(each.lease)
            self._claims.clear()
            raise refusal(reservation, charges, limiter.rules.calendar)

    def _tell_of_budgets(self, charges: Sequence[Charge], reservation: Reservation) -> None:
        """Tell observers of budgets that are nearly used up, or have refused this request."""
        if reservation.local:
            return  # it knows a share of them only
        for charge, (limit, remaining, _) in zip(charges, reservation.statuses, strict=False):
            if limit.unit == "money" and (limit is reservation.refused or remaining <= limit.amount * _TOLD_BELOW):
                share = 1.0 if limit is reservation.refused else (limit.amount - remaining) / limit.amount
                period = self._limiter.rules.calendar.period_of(limit, charge.span)
                self._context.emit(BudgetUsed(self._context, str(limit), limit.per, charge.subject, period, share))
