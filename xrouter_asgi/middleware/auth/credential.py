"""The key that a request carries, and the check of it.

The key stands in one header and is sent once. A request that can be read in two ways is refused, because the proxy
before this gateway or the application behind it may read it in the other way. A key in the query string is refused, not
ignored: every proxy on its way has already logged it (RFC 6750, 5.3), and its owner has to know.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.types import Scope

from ...asgi.scope import peer_address
from ...context import Principal
from ...errors import InvalidAPIKey, InvalidRequest, RateLimitExceeded
from ...keys import CachedKeys
from .throttle import Failures

_BARE = (b"x-api-key", b"api-key")  # Anthropic's clients; Azure's
_QUERY = frozenset({"access_token", "api-key", "api_key", "apikey", "x-api-key"})
_HOW = "Send it once, in the header 'Authorization: Bearer KEY'."


class KeyCheck:
    """Finds the caller by the key in the headers."""

    def __init__(self, keys: CachedKeys, failures: Failures) -> None:
        self._keys = keys
        self._failures = failures

    async def __call__(self, scope: Scope) -> Principal:
        """The principal of the key. All wrong keys get the same answer.

        Raises:
            InvalidRequest: 401. There is no key.
            InvalidAPIKey: 401. The key opens nothing, or the request is ambiguous.
            RateLimitExceeded: The address has sent too many wrong keys.
            KeyStoreUnavailable: The store cannot be asked.
        """
        secret = read_secret(scope)
        address = peer_address(scope)
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


def read_secret(scope: Scope) -> str:
    """The key in `Authorization: Bearer`, `x-api-key` or `api-key`; in several of them, if all hold the same.

    Raises:
        InvalidRequest: 401. There is no key, or only an empty one.
        InvalidAPIKey: 401. A header comes twice, two keys differ, the scheme is not Bearer, or a key is in the URL.
    """
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name == b"authorization" or name in _BARE:
            if name in found:
                raise InvalidAPIKey(f"The header '{name.decode()}' came more than once. Send your API key once.")
            found[name] = _token(value) if name == b"authorization" else value.decode("latin-1").strip(" \t")
    if scope["query_string"] and _in_query(scope["query_string"]):
        raise InvalidAPIKey(f"An API key must not be part of a URL. {_HOW} Have this one replaced: URLs are logged.")
    secrets = {secret for secret in found.values() if secret}
    if not secrets:
        raise InvalidRequest(f"You did not provide an API key. {_HOW}", status=401)
    if len(secrets) > 1:
        raise InvalidAPIKey(f"The request carries different API keys. {_HOW}")
    return secrets.pop()


def _token(value: bytes) -> str:
    """The text after `Bearer`, which may be in any case (RFC 9110, 11.1), and after at least one space."""
    scheme, _, token = value.decode("latin-1").strip(" \t").partition(" ")
    if scheme and scheme.lower() != "bearer":
        raise InvalidAPIKey(f"This scheme of Authorization is not accepted. {_HOW}")
    return token.strip(" \t")


def _in_query(query: bytes) -> bool:
    return any(name.lower() in _QUERY for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
