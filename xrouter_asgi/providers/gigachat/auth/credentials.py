"""Ways to get an access token, and what a refusal means in words.

GigaChat's authorization server has error bodies of its own, `{"code": 1…7, "message": …}`; none of those codes goes
away by repetition, and each has one typical mistake behind it.
"""

from __future__ import annotations

import base64
import hashlib
import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

from ....errors import UpstreamTimeout, UpstreamUnauthorized, UpstreamUnavailable, XRouterError
from ....wire.codec import decode
from ...http import Answer, Redaction, Upstream

SCOPES = ("GIGACHAT_API_PERS", "GIGACHAT_API_B2B", "GIGACHAT_API_CORP")

_NO_EXPIRY = 25 * 60.0  # tokens live 30 minutes
_SHORTEST_LIFE = 30.0
_SECONDS = 1e11  # below: seconds since 1970 until the year 5138; above: milliseconds since March 1973
_SCOPE_ADVICE = (
    "Set 'scope' to the one of the contract: GIGACHAT_API_PERS for individuals, GIGACHAT_API_B2B for companies with "
    "prepaid packages, GIGACHAT_API_CORP for companies that pay as they go."
)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token.

    Attributes:
        life: Seconds it may be used from the moment it came.
    """

    value: str = field(repr=False)
    life: float


class Login(Protocol):
    """One way to get an access token."""

    async def token(self, *, now: float) -> Token:
        """Ask for a new token; `now` is Unix time, which its expiry is compared with.

        Raises:
            UpstreamUnauthorized: The credentials were refused: a repetition changes nothing.
            XRouterError: Anything else: it may work later.
        """
        ...


class AuthorizationKey:
    """OAuth with the authorization key of a project: base64 of `client_id:client_secret`.

    Args:
        upstream: Whose base URL is the whole address of the token endpoint.
        redact: Applied to the words of a refusal; learns each token.
    """

    def __init__(self, key: str, *, scope: str, upstream: Upstream, redact: Redaction) -> None:
        self._headers = [
            (b"Authorization", _ascii(f"Basic {key}", "credentials")),
            (b"Content-Type", b"application/x-www-form-urlencoded"),
            (b"Accept", b"application/json"),
        ]
        self._scope = scope
        self._upstream = upstream
        self._redact = redact

    async def token(self, *, now: float) -> Token:
        rquid = str(uuid.uuid4())
        answer = await self._upstream.fetch(
            "POST",
            "",
            headers=[*self._headers, (b"RqUID", rquid.encode())],
            content=urlencode({"scope": self._scope}).encode(),
        )
        # There is no X-Request-Id here: their support finds the call by our RqUID.
        trace = f"RqUID {rquid}"
        if answer.status != 200:
            raise _failure(answer, trace, lambda code: _oauth_words(code, self._scope), self._redact)
        return _read(answer, now=now, trace=trace, redact=self._redact)


class Password:
    """User and password of an internal stand.

    Args:
        upstream: The API itself, which has the token endpoint.
        redact: Applied to the words of a refusal; learns each token.
    """

    def __init__(self, user: str, password: str, *, upstream: Upstream, redact: Redaction) -> None:
        self._headers = [
            (b"Authorization", f"Basic {_pair(user, password)}".encode()),
            (b"Accept", b"application/json"),
        ]
        self._upstream = upstream
        self._redact = redact

    async def token(self, *, now: float) -> Token:
        answer = await self._upstream.fetch("POST", "/token", headers=self._headers)
        trace = f"request id {answer.headers.get('x-request-id')}"
        if answer.status != 200:
            reason = "the user or the password is wrong. Check 'user' and 'password'."
            raise _failure(answer, trace, lambda _: reason, self._redact)
        return _read(answer, now=now, trace=trace, redact=self._redact)


class ReadyToken:
    """An access token made elsewhere: there is no other one to be had.

    It is handed out again even after it was refused, as whoever made it may still make it valid.
    """

    def __init__(self, value: str) -> None:
        bearer(value)
        self._value = value

    async def token(self, *, now: float) -> Token:
        return Token(self._value, math.inf)


def digest(*secrets: str | None) -> str:
    """A name for credentials that does not tell them: 64 hexadecimal digits."""
    joined = "\0".join(secret or "" for secret in secrets)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()


def secrets_of(
    *, credentials: str | None, user: str | None, password: str | None, access_token: str | None
) -> list[str]:
    """What must not be shown of an account's credentials, in each form in which somebody may quote them."""
    secrets = [credentials, user, password, access_token]
    if credentials:
        try:
            decoded = base64.b64decode(f"{credentials}==").decode()
        except ValueError:  # no base64, or no text in it
            decoded = ""
        secrets += [credentials.rstrip("="), *decoded.split(":", 1)]
    if user and password:
        pair = _pair(user, password)
        secrets += [pair, pair.rstrip("=")]
    return [secret for secret in secrets if secret]


def bearer(token: str) -> bytes:
    """The value of the `Authorization` header."""
    return b"Bearer " + _ascii(token, "access_token")


def _pair(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _ascii(value: str, name: str) -> bytes:
    if not value.isascii() or not value.isprintable():
        # Without the value, as it is a secret.
        raise ValueError(f"'{name}' holds a character that no header may hold. Copy it again, without line breaks.")
    return value.encode()


def _read(answer: Answer, *, now: float, trace: str, redact: Redaction) -> Token:
    """Both shapes: `{access_token, expires_at}` and `{tok, exp}`, in seconds or milliseconds since 1970."""
    body = _object(answer)
    value = body.get("access_token") or body.get("tok")
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise UpstreamUnavailable(
            "GigaChat's authorization server did not answer with a token.",
            code="token_unavailable",
            detail=redact(f"{trace}: status 200, members {sorted(body)}"),
        )
    redact.learn(value)
    expiry = body.get("expires_at", body.get("exp"))
    if isinstance(expiry, bool) or not isinstance(expiry, int | float) or expiry <= 0:
        return Token(value, _NO_EXPIRY)
    seconds = expiry if expiry < _SECONDS else expiry / 1000
    # The floor is for clocks that disagree: a token born expired would be asked for again on each request.
    return Token(value, max(_SHORTEST_LIFE, seconds - now))


def _failure(answer: Answer, trace: str, words: Callable[[object], str], redact: Redaction) -> XRouterError:
    body = _object(answer)
    code, said = (redact(str(body.get(name)))[:300] for name in ("code", "message"))
    detail = f"{trace}: status {answer.status}, code {code}, message {said!r}"
    if answer.status in (408, 504):
        return UpstreamTimeout("GigaChat's authorization server timed out.", code="token_unavailable", detail=detail)
    if answer.status == 429 or answer.status >= 500:
        return UpstreamUnavailable(
            "GigaChat's authorization server is overloaded or down.", code="token_unavailable", detail=detail
        )
    reason = words(body.get("code"))
    return UpstreamUnauthorized(f"GigaChat refused this gateway's credentials: {reason}", detail=detail)


def _oauth_words(code: object, scope: str) -> str:
    match code:
        case 1:
            return f"there is no scope '{scope}'. {_SCOPE_ADVICE}"
        case 4:
            return (
                "the authorization key cannot be decoded. Often the client secret was pasted instead of the "
                "authorization key: set 'credentials' to the key, which is longer."
            )
        case 5:
            return f"the scope is empty. {_SCOPE_ADVICE}"
        case 6:
            return "the authorization key is not known, or no longer. Set 'credentials' to a newly made one."
        case 7:
            return f"the authorization key is not for the scope '{scope}'. {_SCOPE_ADVICE}"
        case _:
            return "it gave no reason that is known. Check 'credentials', 'scope' and 'auth_url'."


def _object(answer: Answer) -> dict[str, Any]:
    try:
        body = decode(answer.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
