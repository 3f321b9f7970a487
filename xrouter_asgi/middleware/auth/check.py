"""The check of a key."""

from __future__ import annotations

from starlette.types import Scope

from ...context import Principal
from ...errors import InvalidAPIKey, RateLimitExceeded
from ...keys import CachedKeys
from .credential import read_secret
from .throttle import Failures


class KeyCheck:
    """Tells who is calling by the key in the headers."""

    def __init__(self, keys: CachedKeys, failures: Failures) -> None:
        self._keys = keys
        self._failures = failures

    async def __call__(self, scope: Scope) -> Principal:
        """Whoever the key belongs to. No two wrong keys can be told apart by the answer.

        Raises:
            InvalidRequest: 401. There is no key.
            InvalidAPIKey: 401. It opens nothing, or the request is ambiguous.
            RateLimitExceeded: The address was wrong too often.
            KeyStoreUnavailable: The store cannot tell.
        """
        secret = read_secret(scope)
        # The peer as the server tells it: whoever may set X-Forwarded-For is the server's or the proxy's business.
        address = (scope.get("client") or ("",))[0]
        if wait := self._failures.wait(address, secret):
            raise RateLimitExceeded(
                f"Too many wrong API keys came from your address. Please try again in {wait:.1f}s.", retry_after=wait
            )
        key = await self._keys.check(secret)
        if key is None:
            self._failures.wrong(address, secret)
            raise InvalidAPIKey("Incorrect API key provided. It is unknown, expired or revoked.")
        self._failures.right(secret)
        return key.principal()
