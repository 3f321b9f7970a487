"""A model of a file of settings, in this process: what stands around the router, such as limits, does not apply."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import cast

from ...errors import XRouterError
from ...providers.base import Call
from ...router.router import LLMRouter
from ...wire import ChatRequest
from ...wire.stream import ChatStream
from ..gateway import GatewayError
from .asked import AnswerFacts, SaidMessage, pieces, request_of


class ModelInProcess:
    """Asks the provider that a router has for a model. Closes the router.

    Raises GatewayError if the router serves no such model.
    """

    def __init__(self, router: LLMRouter, name: str) -> None:
        found = router.models.find(name)
        if found is None:
            raise GatewayError(f"The settings serve no model {name!r}. Known: {', '.join(router.models)}.")
        self.name = name
        self._router = router
        self._provider, self._stem = found

    async def ask(self, messages: Sequence[SaidMessage], facts: AnswerFacts) -> AsyncIterator[str]:
        """See `AskedModel.ask`."""
        try:
            call = Call(ChatRequest.of(request_of(self.name, messages)), self.name, self._stem)
            reply = await self._provider.send(call)
            facts.target = f"{reply.provider}/{reply.model}"
            try:
                async for batch in cast(ChatStream, reply.body):  # a stream was asked for
                    for chunk in batch:
                        for piece in pieces(chunk.value, facts):
                            yield piece
            finally:
                await reply.aclose()
        except XRouterError as error:
            raise GatewayError(f"{error.message} ({error.detail})" if error.detail else error.message) from error

    async def aclose(self) -> None:
        await self._router.aclose()


async def first_model(router: LLMRouter) -> str:
    """The first name that the settings serve; of settings with patterns alone, the first model that they stand for.

    Raises GatewayError if there is none.
    """
    for name in router.models:
        if "*" not in name:
            return name
    try:
        return str((await router.models.list())[0]["id"])
    except XRouterError as error:
        raise GatewayError(f"{error.message} ({error.detail})" if error.detail else error.message) from error
    except LookupError:
        raise GatewayError("The upstream lists no model. Name one with --model.") from None
