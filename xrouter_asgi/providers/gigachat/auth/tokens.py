"""The life of an access token: fetched once for all callers, renewed ahead of time, dropped when it is refused.

Callers never wait for a token that can be renewed in time. All of them share one request for it, its result and its
failure. After a failure the authorization server is left alone for a while, so that a wrong key does not hammer it: it
allows 10 requests per second, and counts failures too.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable

from ....errors import UpstreamTimeout, UpstreamUnauthorized, UpstreamUnavailable, XRouterError
from ....queueing.single_flight import SingleFlight
from .credentials import Token

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
        login: Gets a new one: see `AuthorizationKey.token`.
        ready: A token from elsewhere, of unknown expiry; used until it is refused.
        patience: Seconds that one renewal may take, its three tries together.
        backoff: Seconds before the second try; three times as many come before the third.
    """

    def __init__(
        self,
        login: Callable[[], Awaitable[Token]],
        *,
        ready: str | None = None,
        patience: float = 5.0,
        backoff: float = 0.25,
    ) -> None:
        self._login = login
        self._patience = patience
        self._backoff = backoff
        self._flights: SingleFlight[str, str] = SingleFlight()
        self._token = ready
        self._renew_at = self._needed_at = self._expires_at = float("inf")
        self._failure: XRouterError | None = None
        self._quiet_until = float("-inf")  # while a failure is remembered

    @property
    def expires(self) -> float | None:
        """When the present token does, in the loop's time; None without one, and for one of unknown expiry."""
        return None if self._token is None or math.isinf(self._expires_at) else self._expires_at

    async def get(self, *, deadline: float | None = None) -> str:
        """The token to use now.

        Args:
            deadline: When to stop waiting, in the loop's time. The renewal goes on, for other callers.

        Raises:
            UpstreamUnauthorized: The credentials are refused, or were within the last 30 s.
            UpstreamUnavailable, UpstreamTimeout: `token_unavailable`: none can be had, and the old one has expired.
            UpstreamTimeout: `total_timeout`: the deadline came first.
        """
        time = asyncio.get_running_loop().time()
        if self._token is not None and time < self._needed_at:
            if time >= self._renew_at and time >= self._quiet_until:
                self._flights.start("access token", self._renew)
            return self._token
        if time < self._quiet_until and self._failure is not None:
            told = self._failure.retry_after is not None
            return self._old_token(self._failure.but(retry_after=self._quiet_until - time if told else None))
        try:
            return await self._flights.do("access token", self._renew, deadline=deadline)
        except TimeoutError:
            message = "GigaChat's authorization server did not answer in the time of this call."
            # The renewal goes on, so its lateness shows nothing yet.
            return self._old_token(UpstreamTimeout(message, code="total_timeout", trips=False))
        except XRouterError as error:
            return self._old_token(error)

    async def replace(self, token: str, *, deadline: float | None = None) -> str:
        """The token to use after the API refused this one, which is dropped unless it has been replaced already.

        Raises:
            XRouterError: As from `get()`.
        """
        if token == self._token:
            self._token = None
        return await self.get(deadline=deadline)

    def refuse(self, token: str, *, detail: str) -> UpstreamUnauthorized:
        """Note that the API refused the replacement too: for 30 s nobody else tries. Returns the error to raise."""
        error = UpstreamUnauthorized("GigaChat refused this gateway's access token, and a new one too.", detail=detail)
        if token == self._token:
            self._token = None
            self._remember(error, _AFTER_REFUSAL)
        return error

    async def aclose(self) -> None:
        """End a renewal under way."""
        await self._flights.aclose()

    def _old_token(self, error: XRouterError) -> str:
        """The token that could not be renewed, as long as it lives; then raises `error`."""
        if self._token is not None and asyncio.get_running_loop().time() < self._expires_at:
            return self._token
        raise error

    async def _renew(self) -> str:
        try:
            token = await self._ask()
        except XRouterError as error:
            facts = {"code": error.code, "detail": error.detail}
            log.warning("An access token was not renewed: %s", error.message, extra=facts)
            least = _AFTER_REFUSAL if isinstance(error, UpstreamUnauthorized) else _AFTER_OUTAGE
            self._remember(error, max(least, error.retry_after or 0))
            raise
        life = token.life
        self._token = token.value
        self._expires_at = asyncio.get_running_loop().time() + life
        # A share of a short life: else such a token would be renewed on each request.
        self._needed_at = self._expires_at - min(_AT_ONCE, life / 4)
        self._renew_at = self._expires_at - min(_AHEAD + random.uniform(0, _JITTER), life / 2)  # noqa: S311 -- no secret
        self._failure = None
        self._quiet_until = float("-inf")
        return token.value

    def _remember(self, error: XRouterError, seconds: float) -> None:
        self._failure = error
        self._quiet_until = asyncio.get_running_loop().time() + seconds

    async def _ask(self) -> Token:
        """Up to three tries within `patience`. A refusal ends them, and so does being told to wait longer than that."""
        failure: XRouterError = UpstreamTimeout("GigaChat's authorization server did not answer in time.")
        try:
            async with asyncio.timeout(self._patience):
                for attempt in range(_TRIES):
                    if attempt:
                        told = failure.retry_after or 0
                        if told >= self._patience:
                            break
                        await asyncio.sleep(max(told, self._backoff * (2 * attempt - 1)))
                    try:
                        return await self._login()
                    except (UpstreamUnavailable, UpstreamTimeout) as error:
                        failure = error
        except TimeoutError:
            pass
        # The message keeps the reason; the code is the one of a token that cannot be had.
        message = f"There is no access token for GigaChat now. {failure.message}"
        raise type(failure)(
            message, code="token_unavailable", retry_after=failure.retry_after, detail=failure.detail
        ) from failure
