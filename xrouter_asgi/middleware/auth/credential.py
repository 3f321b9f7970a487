"""The key that a request carries: in one header, said once.

What can be read in two ways is refused, because whoever stands before or behind this gateway may read it in the other
way. A key in the query string is refused too, and not merely ignored: by then it stands in the logs of every proxy on
its way (RFC 6750, 5.3), and its owner has to know.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.types import Scope

from ...errors import InvalidAPIKey, InvalidRequest

_BARE = (b"x-api-key", b"api-key")  # Anthropic's clients; Azure's
_QUERY = frozenset({"access_token", "api-key", "api_key", "apikey", "x-api-key"})
_HOW = "Send it once, in the header 'Authorization: Bearer KEY'."


def read_secret(scope: Scope) -> str:
    """The key in `Authorization: Bearer`, `x-api-key` or `api-key`; in several of them, if it is the same.

    Raises:
        InvalidRequest: 401. None is there; an empty one is none.
        InvalidAPIKey: 401. One header came twice, two differ, the scheme is another one, or it is in the query string.
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
    """What follows `Bearer`, in any case (RFC 9110, 11.1), and at least one space."""
    scheme, _, token = value.decode("latin-1").strip(" \t").partition(" ")
    if scheme and scheme.lower() != "bearer":
        raise InvalidAPIKey(f"This scheme of Authorization is not accepted. {_HOW}")
    return token.strip(" \t")


def _in_query(query: bytes) -> bool:
    return any(name.lower() in _QUERY for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
