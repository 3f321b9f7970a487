"""A model at a provider, and what every wrapper of a provider has in common."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeAlias

from ..context import RequestContext, stem, tell
from ..decision import Attempt
from ..errors import UpstreamTimeout, XRouterError
from ..events import AttemptEnded, AttemptStarted
from ..wire import ModelList
from .base import Body, Call, NativeProvider, Provider, ReadyProvider, Reply, TokenCounter, Unready

_GRACE = 0.1  # seconds after the deadline: a provider that keeps deadlines says better what happened
_USUAL = 120.0  # seconds until a first byte (Timeouts.first): lateness after less time shows nothing


class Target:
    """A model at a provider. Each call through it is an attempt, noted in the context and told to its observers.

    It is the backstop of deadlines: it ends what a provider that is no `ReadyProvider` has not ended 0.1 s after
    `call.deadline`. A `ReadyProvider` keeps deadlines by itself; a second timer would cost 4 % of a plain chat.

    Args:
        inner: The provider.
        model: The upstream's name of the model. A `*` in it stands for what the pattern in the table matched. None asks
            for the model by the client's own name.
    """

    def __init__(self, inner: Provider, *, model: str | None = None) -> None:
        self.inner = inner
        self.model = model
        self._ready = inner if isinstance(inner, ReadyProvider) else None
        self._native = inner if isinstance(inner, NativeProvider) else None

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def context_window(self) -> int | None:
        """Unknown: only whoever configured a model knows."""
        return None

    def speaks(self, dialect: str, /) -> bool:
        """Whether the provider is sent what a client of that dialect wrote. See `NativeProvider`."""
        return self._native is not None and self._native.speaks(dialect)

    def ready(self, call: Call, /) -> Unready | None:
        """What the provider says; one that says nothing is always ready."""
        return None if self._ready is None else self._ready.ready(call)

    async def send(self, call: Call, /) -> Reply:
        """Pass the call on with the upstream's model.

        Raises:
            UpstreamTimeout: A deadline was not kept.
            UnsupportedOperation: The provider does not speak what the client wrote, which no chat can say.
        """
        original = call.original
        if original is not None and original.untranslatable is not None and not self.speaks(original.dialect):
            raise original.untranslatable
        model = self._model_of(call)
        if call.attempt is not None:
            # One target around another: the outer one counts.
            return await self._send(call.within(call.attempt, model, call.trace_headers))
        context = call.context
        attempt = Attempt(self.name, model)
        context.attempts.append(attempt)
        if context.observers:
            tell(context.observers, AttemptStarted(context, attempt))
        trace_headers = () if context.propagate is None else context.propagate(attempt)
        call = call.within(attempt, model, trace_headers)
        try:
            reply = await self._send(call)
        except BaseException as error:
            _end(context, attempt, None, error)
            raise
        attempt.first = time.perf_counter()
        reply.attempt = attempt
        reply.when_ended(partial(_end, context, attempt, reply.body))
        return reply

    async def count_tokens(self, call: Call, /) -> int | None:
        """What the provider says, if it can. This is no attempt: no model is asked."""
        if not isinstance(self.inner, TokenCounter):
            return None
        model = self._model_of(call)
        return await self.inner.count_tokens(call.within(Attempt(self.name, model), model, ()))

    async def models(self, names: str = "*", *, deadline: float | None = None) -> ModelList:
        """The models that can be asked for through it, under the names that clients use.

        Args:
            names: How clients write the name: a pattern whose `*` stands for what the `*` in `model` stands for.
            deadline: See `ReadyProvider.models`.
        """
        pattern = names if self.model is None else self.model
        if self._ready is None or "*" not in pattern:
            return ModelList({"object": "list", "data": []})
        listed = await self._ready.models(deadline=deadline)
        data = [
            {**each, "id": names.replace("*", matched)}
            for each in listed.value["data"]
            if (matched := stem(pattern, each["id"]))  # no upstream has a model without a name
        ]
        return ModelList({"object": "list", "data": data})

    async def aclose(self) -> None:
        await self.inner.aclose()

    def _model_of(self, call: Call) -> str:
        return call.model if self.model is None else self.model.replace("*", call.stem)

    def _send(self, call: Call) -> Coroutine[Any, Any, Reply]:
        if call.deadline is None or self._ready is not None:
            return self.inner.send(call)
        return _send_until(call.deadline, self.inner, call)


class Wrapper:
    """A provider around another one: a policy. It forwards everything; a policy overrides what it changes.

    Args:
        inner: What it stands around. A provider that is no attempt yet gets a `Target`; see `as_target`.
    """

    def __init__(self, inner: Provider) -> None:
        self.inner = as_target(inner)

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def context_window(self) -> int | None:
        """Tokens of input and output together; None if nobody says."""
        return self.inner.context_window

    def speaks(self, dialect: str, /) -> bool:
        """What the inner provider says. See `NativeProvider`."""
        return self.inner.speaks(dialect)

    def ready(self, call: Call, /) -> Unready | None:
        """What the inner provider says, unless the policy itself stands in the way."""
        return self.inner.ready(call)

    def send(self, call: Call, /) -> Coroutine[Any, Any, Reply]:
        """Answer the call. See `Provider.send`."""
        return self.inner.send(call)

    async def count_tokens(self, call: Call, /) -> int | None:
        """What the inner provider says. See `TokenCounter`."""
        return await self.inner.count_tokens(call)

    async def models(self, names: str = "*", *, deadline: float | None = None) -> ModelList:
        """The models that the inner provider lists. See `Target.models`."""
        return await self.inner.models(names, deadline=deadline)

    async def aclose(self) -> None:
        """Close the inner provider."""
        await self.inner.aclose()


Attempting: TypeAlias = Target | Wrapper
"""Makes an attempt of each call that goes through it."""


def as_target(provider: Provider) -> Attempting:
    """The provider, with a `Target` around it if calls through it are no attempts yet.

    So attempts, spans, metrics and alerts never depend on how a provider was put together.

    Raises:
        TypeError: It is no provider, such as a class in place of an instance.
    """
    if isinstance(provider, (Target, Wrapper)):
        return provider
    if isinstance(provider, type):
        raise TypeError(f"{provider.__name__} is a class. Make an instance of it: {provider.__name__}(…).")
    if not callable(getattr(provider, "send", None)):
        raise TypeError(f"A {type(provider).__name__} is no provider: it has no method 'send'.")
    return Target(provider)


async def _send_until(deadline: float, provider: Provider, call: Call) -> Reply:
    """Send the call; end it, or its stream, a moment after the deadline."""
    loop = asyncio.get_running_loop()
    overdue = partial(_overdue, trips=deadline - loop.time() >= _USUAL)
    try:
        async with asyncio.timeout_at(deadline + _GRACE) as backstop:
            reply = await provider.send(call)
    except TimeoutError:
        if not backstop.expired():
            raise
        raise overdue() from None
    if (stream := reply.stream) is not None:
        timer = loop.call_at(deadline + _GRACE, lambda: stream.break_off(overdue()))
        stream.when_ended(lambda error: timer.cancel())
    return reply


def _overdue(*, trips: bool) -> UpstreamTimeout:
    return UpstreamTimeout("The upstream did not finish its answer in time.", code="total_timeout", trips=trips)


def _end(context: RequestContext, attempt: Attempt, body: Body | None, error: BaseException | None) -> None:
    attempt.ended = time.perf_counter()
    if body is not None:
        attempt.usage = getattr(body, "usage", None)  # the router says what is wrong with a body of another kind
    match error:
        case None:
            pass
        case asyncio.CancelledError(args=(XRouterError() as reason, *_)):
            attempt.error = reason  # a policy gave the attempt up, and said why: `task.cancel(error)`
        case _:
            attempt.error = error
    if context.observers:
        tell(context.observers, AttemptEnded(context, attempt))
