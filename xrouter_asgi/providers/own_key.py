"""Bring your own key: callers who pay the upstream themselves."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import (
    InvalidAPIKey,
    InvalidRequest,
    UpstreamError,
    UpstreamQuotaExceeded,
    UpstreamUnauthorized,
    XRouterError,
)
from ..recent import Recent
from ..wire import ModelList
from .base import CLIENT_CREDENTIAL, Call, Provider, Reply, Unready, uses_client_credential
from .target import Attempting, as_target

CAPACITY = 100
"""Providers kept for the next call. The one used longest ago goes first, once its calls have ended."""

HEADER = CLIENT_CREDENTIAL.decode("ascii")

_USABLE = re.compile(r"[\x21-\x7e]{1,4096}")  # what a header upstream can hold

logger = logging.getLogger("xrouter")


@dataclass(slots=True, eq=False)
class _Owned:
    """The provider of one credential, and how many calls it is answering."""

    provider: Attempting  # which keeps deadlines, whatever `build` made
    calls: int = 0


class BringYourOwnKey:
    """Sends a call with the caller's own credential for the upstream, from the header `x-provider-key`.

    Each credential has a provider to itself: connections, tokens and queues are shared with nobody. What goes wrong
    with it is the caller's business: a refused credential is a 401, and no other upstream is asked instead, since that
    one would be paid for by somebody else, or be shown a credential that is not meant for it.

    Retries and circuit breakers belong inside of `build`, so that the failures of one caller count for no other.

    Args:
        build: Makes the provider of a credential, such as `lambda key: OpenAIProvider(url, api_key=key)`. A ValueError
            says that the credential has a form that cannot be used.
        inner: Answers whoever sends no credential. None asks for one, and lists no models.
        name: What it is called; if not given, as `inner`.
    """

    def __init__(
        self, build: Callable[[str], Provider], *, inner: Provider | None = None, name: str | None = None
    ) -> None:
        self.name = name or (inner.name if inner is not None else "own_key")
        self._build = build
        self._inner = None if inner is None else as_target(inner)
        # By the whole digest of the credential, which is kept nowhere but in its provider.
        self._kept: Recent[bytes, _Owned] = Recent(CAPACITY)
        self._leaving: set[_Owned] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def speaks(self, dialect: str, /) -> bool:
        """True: the providers inside say for themselves what they speak."""
        return True

    def ready(self, call: Call, /) -> Unready | None:
        """What `inner` says. Callers with a credential of their own wait for nobody."""
        if uses_client_credential(call) or self._inner is None:
            return None
        return self._inner.ready(call)

    async def send(self, call: Call, /) -> Reply:
        """Answer the call.

        Raises:
            InvalidRequest: 401. There is no credential, and no `inner`.
            InvalidAPIKey: 401. The credential came twice or cannot be used, or the upstream refused it.
        """
        credential = _credential(call.headers)
        if credential is None:
            if self._inner is not None:
                return await self._inner.send(call)
            raise InvalidRequest(
                f"This model is used with a credential of your own. Send it in the header '{HEADER}'.", status=401
            )
        owned = self._provider_of(credential)
        call.context.own_keys |= {self.name}
        owned.calls += 1
        try:
            reply = await owned.provider.send(call.for_own_account())
        except BaseException as error:
            self._ended(owned)
            if isinstance(error, UpstreamError):
                raise _callers_own(error) from error
            raise
        reply.when_ended(lambda error: self._ended(owned))
        return reply

    async def count_tokens(self, call: Call, /) -> int | None:
        """What `inner` says. Nothing is asked with a caller's own credential for what an estimate can say, too."""
        if uses_client_credential(call) or self._inner is None:
            return None
        return await self._inner.count_tokens(call)

    async def models(self, *, deadline: float | None = None) -> ModelList:
        """The models that `inner` lists; none without it."""
        if self._inner is None:
            return ModelList({"object": "list", "data": []})
        return await self._inner.models(deadline=deadline)

    async def aclose(self) -> None:
        """Close every provider, `inner` too."""
        for owned in [*self._kept.values(), *self._leaving]:
            self._close(owned.provider)
        self._kept.clear()
        self._leaving.clear()
        if self._closing:
            await asyncio.wait(self._closing)
        if self._inner is not None:
            await self._inner.aclose()

    def _provider_of(self, credential: str) -> _Owned:
        digest = hashlib.sha256(credential.encode("ascii")).digest()
        owned = self._kept.get(digest)
        if owned is None:
            try:
                owned = _Owned(as_target(self._build(credential)))
            except ValueError:
                # Its text may hold the credential.
                raise InvalidAPIKey(f"The credential in '{HEADER}' has a form that cannot be used.") from None
            if (oldest := self._kept.put(digest, owned)) is not None:
                self._leaving.add(oldest)
                self._close_if_left(oldest)
        return owned

    def _ended(self, owned: _Owned) -> None:
        owned.calls -= 1
        self._close_if_left(owned)

    def _close_if_left(self, owned: _Owned) -> None:
        if not owned.calls and owned in self._leaving:
            self._leaving.discard(owned)
            self._close(owned.provider)

    def _close(self, provider: Provider) -> None:
        task = asyncio.create_task(_close(provider))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _credential(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """What the caller sent; None for nothing, and for an empty value."""
    values = [value for name, value in headers if name == CLIENT_CREDENTIAL]
    if len(values) > 1:
        raise InvalidAPIKey(f"The header '{HEADER}' came more than once.")
    credential = values[0].decode("latin-1").strip(" \t") if values else ""
    if credential and not _USABLE.fullmatch(credential):
        raise InvalidAPIKey(f"The credential in '{HEADER}' has a form that cannot be used.")
    return credential or None


def _callers_own(error: UpstreamError) -> XRouterError:
    """The same as the caller's business, which no other upstream may make good."""
    told: XRouterError = error
    if isinstance(error, UpstreamUnauthorized):
        told = InvalidAPIKey(f"The upstream refused the credential in '{HEADER}'.", detail=error.detail)
    elif isinstance(error, UpstreamQuotaExceeded):
        message = f"The quota of the account behind '{HEADER}' is used up."
        told = UpstreamQuotaExceeded(message, detail=error.detail)
    return told.but(falls_back=False, upstream_ids=error.upstream_ids)


async def _close(provider: Provider) -> None:
    try:
        await provider.aclose()
    except Exception:
        logger.exception("The provider '%s' of a caller's own key could not be closed", provider.name)
