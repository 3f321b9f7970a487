"""The life of an access token: asked for once, renewed ahead of time, dropped when it is refused.

Callers never wait for a token that can be renewed in time. All of them share one request for it, its result and its
failure; and while it fails, the authorization server is left alone for a while, so that a wrong key does not hammer it
(it allows 10 requests per second, and counts failures too).
"""

from __future__ import annotations

import asyncio
import copy
import logging
import random
import time
from collections.abc import Callable

from ....errors import UpstreamTimeout, UpstreamUnauthorized, UpstreamUnavailable, XRouterError
from ....queueing.single_flight import SingleFlight
from .credentials import Login, Token

log = logging.getLogger("xrouter")

_AHEAD = 300.0  # renew in the background when so many seconds are left …
_JITTER = 30.0  # … or up to so many more, so that processes do not all renew at once
_AT_ONCE = 60.0  # … and make callers wait when so few are left
_TRIES = 3
_AFTER_REFUSAL = 30.0
_AFTER_OUTAGE = 2.0


class TokenSource:
    """Hands out the current access token.

    Args:
        login: How to get one.
        ready: A token from elsewhere, of unknown expiry; used until it is refused.
        patience: Seconds that one renewal may take, its three tries together.
        backoff: Seconds before the second try; the third waits thrice as long.
        clock: Unix time, for reading an expiry.
        monotonic: Seconds of a clock that nobody sets, for everything else.
    """

    def __init__(
        self,
        login: Login,
        *,
        ready: str | None = None,
        patience: float = 5.0,
        backoff: float = 0.25,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._login = login
        self._patience = patience
        self._backoff = backoff
        self._clock = clock
        self._monotonic = monotonic
        self._flights: SingleFlight[str, str] = SingleFlight()
        self._token = ready
        self._renew_at = self._needed_at = self._expires_at = float("inf")
        self._failure: XRouterError | None = None
        self._quiet_until = float("-inf")  # while a failure is remembered

    async def get(self) -> str:
        """The token to use now.

        Raises:
            UpstreamUnauthorized: The credentials are refused, or were within the last 30 s.
            UpstreamUnavailable, UpstreamTimeout: `token_unavailable`: none can be had, and the old one has expired.
        """
        now = self._monotonic()
        if self._token is not None and now < self._needed_at:
            if now >= self._renew_at and now >= self._quiet_until:
                self._flights.start("access token", self._renew)
            return self._token
        if now < self._quiet_until and self._failure is not None:
            return self._old_token(copy.copy(self._failure))
        try:
            return await self._flights.do("access token", self._renew)
        except XRouterError as error:
            return self._old_token(error)

    async def replace(self, token: str) -> str:
        """The token to use after the API refused this one, which is dropped unless it has been replaced already.

        Raises:
            XRouterError: As from `get()`.
        """
        self._drop(token)
        return await self.get()

    def refuse(self, token: str, *, detail: str) -> UpstreamUnauthorized:
        """Note that the API refused the replacement too; for 30 s nobody else tries. Returns the error to raise."""
        error = UpstreamUnauthorized("GigaChat refused this gateway's access token, and a new one too.", detail=detail)
        if token == self._token:
            self._drop(token)
            self._remember(error, _AFTER_REFUSAL)
        return error

    async def aclose(self) -> None:
        """End a renewal under way."""
        await self._flights.aclose()

    def _drop(self, token: str) -> None:
        if token == self._token:
            self._token = None

    def _old_token(self, error: XRouterError) -> str:
        """The token that could not be renewed, as long as it lives."""
        if self._token is not None and self._monotonic() < self._expires_at:
            return self._token
        raise error

    async def _renew(self) -> str:
        try:
            token = await self._ask()
        except XRouterError as error:
            facts = {"code": error.code, "detail": error.detail}
            log.warning("An access token was not renewed: %s", error.message, extra=facts)
            self._remember(error, _AFTER_REFUSAL if isinstance(error, UpstreamUnauthorized) else _AFTER_OUTAGE)
            raise
        self._accept(token)
        return token.value

    def _accept(self, token: Token) -> None:
        now = self._monotonic()
        life = token.life
        self._token = token.value
        self._expires_at = now + life
        # Short lives are divided likewise, else such a token would be renewed on each request.
        self._needed_at = self._expires_at - min(_AT_ONCE, life / 4)
        self._renew_at = self._expires_at - min(_AHEAD + random.uniform(0, _JITTER), life / 2)  # noqa: S311 -- no secret
        self._failure = None
        self._quiet_until = float("-inf")

    def _remember(self, error: XRouterError, seconds: float) -> None:
        self._failure = error
        self._quiet_until = self._monotonic() + seconds

    async def _ask(self) -> Token:
        """Up to three tries within `patience`; a refusal ends them."""
        failure: XRouterError = UpstreamTimeout("GigaChat's authorization server did not answer in time.")
        try:
            async with asyncio.timeout(self._patience):
                for attempt in range(_TRIES):
                    if attempt:
                        await asyncio.sleep(self._backoff * (2 * attempt - 1))
                    try:
                        return await self._login.token(now=self._clock())
                    except (UpstreamUnavailable, UpstreamTimeout) as error:
                        failure = error
        except TimeoutError:
            pass
        # The reason stays readable, under the one code of a token that cannot be had.
        message = f"There is no access token for GigaChat now. {failure.message}"
        raise type(failure)(message, code="token_unavailable", detail=failure.detail) from failure
