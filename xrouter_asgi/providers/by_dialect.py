"""An upstream that speaks more than one client API, each at an endpoint of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ..decision import Unready
from ..errors import UpstreamError
from ..wire import ModelList
from .base import Call, NativeProvider, ReadyProvider, Reply, TokenCounter

logger = logging.getLogger("xrouter")


class ByDialect:
    """Passes on what clients of some dialects wrote, and answers everybody else by `inner`.

    If the upstream turns out not to have an endpoint, its clients are answered by `inner` from then on.

    Args:
        inner: Answers chats, and all else that no other provider speaks.
        others: Providers of the same upstream, by the dialect that each of them speaks.
    """

    def __init__(self, inner: ReadyProvider, others: Mapping[str, ReadyProvider]) -> None:
        self.inner = inner
        self._others = dict(others)
        self._lacking: set[str] = set()

    @property
    def name(self) -> str:
        return self.inner.name

    def speaks(self, dialect: str, /) -> bool:
        """Whether what a client of that dialect wrote is sent as it is."""
        inner = self.inner
        return self._other(dialect) is not None or (isinstance(inner, NativeProvider) and inner.speaks(dialect))

    def ready(self, call: Call, /) -> Unready | None:
        return self.inner.ready(call)

    async def send(self, call: Call, /) -> Reply:
        """Answer the call. See `Provider.send`."""
        if call.original is not None and (other := self._other(call.original.dialect)) is not None:
            try:
                return await other.send(call)
            except UpstreamError as error:
                if error.code != "upstream_not_found" or call.original.untranslatable is not None:
                    raise
                self._lacking.add(call.original.dialect)
                logger.warning("'%s' does not speak '%s': it is translated", self.name, call.original.dialect)
        return await self.inner.send(call)

    async def count_tokens(self, call: Call, /) -> int | None:
        """What the provider of the client's dialect says, if it can."""
        original = call.original
        other: object = None if original is None else self._other(original.dialect)
        return await other.count_tokens(call) if isinstance(other, TokenCounter) else None

    async def models(self, *, deadline: float | None = None) -> ModelList:
        """The models that `inner` lists."""
        return await self.inner.models(deadline=deadline)

    async def aclose(self) -> None:
        """Close them all."""
        for provider in (self.inner, *self._others.values()):
            await provider.aclose()

    def _other(self, dialect: str) -> ReadyProvider | None:
        return None if dialect in self._lacking else self._others.get(dialect)
