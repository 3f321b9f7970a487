"""Credentials, and how each becomes an access token.

GigaChat's authorization server has error bodies of its own, `{"code": 1…7, "message": …}`. No repetition changes any of
those codes, and behind each of them is one typical mistake.
"""

from __future__ import annotations

import base64
import hashlib
import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias
from urllib.parse import urlencode

from ....errors import UpstreamError, UpstreamTimeout, UpstreamUnauthorized, UpstreamUnavailable, XRouterError
from ...http import Redaction, Upstream, UpstreamAnswer, json_object, retry_after
from .key import mistake_in

AUTH_URL = "https://ngw.devices.sberbank.ru:9443/api/v2/oauth"
INDIVIDUALS = "GIGACHAT_API_PERS"
"""The scope of the contract with a person. Companies have `GIGACHAT_API_B2B` or `GIGACHAT_API_CORP`."""

_NO_EXPIRY = 25 * 60.0  # tokens live 30 minutes
_SHORTEST_LIFE = 30.0
_SECONDS = 1e11  # below: seconds since 1970 until the year 5138; above: milliseconds since March 1973
_SCOPE_ADVICE = (
    "Set 'scope' to the one of the contract: GIGACHAT_API_PERS for individuals, GIGACHAT_API_B2B for companies with "
    "prepaid packages, GIGACHAT_API_CORP for companies that pay as they go."
)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, which may be used for `life` seconds from the moment it came."""

    value: str = field(repr=False)
    life: float


@dataclass(frozen=True, slots=True)
class AuthorizationKey:
    """The authorization key of a project, which becomes tokens by OAuth.

    Args:
        key: base64 of `client_id:client_secret`, as Studio shows it.
        scope: The contract behind the key: `GIGACHAT_API_PERS`, `GIGACHAT_API_B2B` or `GIGACHAT_API_CORP`.
        url: The whole address of the token endpoint.

    Raises:
        ValueError: It is no such key: see `key.mistake_in`.
    """

    key: str = field(repr=False)
    scope: str = INDIVIDUALS
    url: str = AUTH_URL

    def __post_init__(self) -> None:
        if (mistake := mistake_in(self.key)) is not None:
            raise ValueError(f"'credentials' {mistake}")

    @property
    def secrets(self) -> list[str]:
        """What nobody may be shown, in each form in which somebody may quote it."""
        bare = self.key.rstrip("=")
        return [self.key, bare, *base64.b64decode(f"{bare}==").decode().split(":", 1)]

    async def token(self, upstream: Upstream, redact: Redaction) -> Token:
        """Get a new token.

        Args:
            upstream: The one at `url`, or the API if that is None.
            redact: Applied to the words of a refusal; learns the token.

        Raises:
            UpstreamUnauthorized: The credentials were refused: a repetition changes nothing.
            XRouterError: Anything else: it may work later.
        """
        rquid = str(uuid.uuid4())
        answer = await upstream.fetch(
            "POST",
            "",
            headers=[
                (b"Authorization", f"Basic {self.key}".encode()),
                (b"Content-Type", b"application/x-www-form-urlencoded"),
                (b"Accept", b"application/json"),
                (b"RqUID", rquid.encode()),
            ],
            content=urlencode({"scope": self.scope}).encode(),
        )
        # There is no X-Request-Id here: their support finds the call by our RqUID.
        return _token(answer, f"RqUID {rquid}", redact, lambda code: _oauth_words(code, self.scope))


@dataclass(frozen=True, slots=True)
class Password:
    """User and password of an internal stand, which become tokens at the API itself."""

    user: str = field(repr=False)
    password: str = field(repr=False)
    scope: ClassVar[None] = None
    url: ClassVar[None] = None

    @property
    def secrets(self) -> list[str]:
        return [self.user, self.password, self._pair, self._pair.rstrip("=")]

    @property
    def _pair(self) -> str:
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    async def token(self, upstream: Upstream, redact: Redaction) -> Token:
        """See `AuthorizationKey.token`."""
        headers = [(b"Authorization", f"Basic {self._pair}".encode()), (b"Accept", b"application/json")]
        answer = await upstream.fetch("POST", "/token", headers=headers)
        reason = "the user or the password is wrong. Check 'user' and 'password'."
        return _token(answer, f"request id {answer.headers.get('x-request-id')}", redact, lambda _: reason)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token made elsewhere, used until GigaChat refuses it.

    Args:
        value: The token.
        then: What gets the next token. None uses this one on and on: whoever made it may make it valid again.
        scope: The contract behind it, if `then` does not tell.

    Raises:
        ValueError: No header can hold the token.
    """

    value: str = field(repr=False)
    then: AuthorizationKey | Password | None = None
    scope: str = INDIVIDUALS

    def __post_init__(self) -> None:
        bearer(self.value)

    @property
    def url(self) -> str | None:
        return None if self.then is None else self.then.url

    @property
    def secrets(self) -> list[str]:
        return [self.value, *(() if self.then is None else self.then.secrets)]

    async def token(self, upstream: Upstream, redact: Redaction) -> Token:
        """See `AuthorizationKey.token`."""
        return Token(self.value, math.inf) if self.then is None else await self.then.token(upstream, redact)


Credentials: TypeAlias = AuthorizationKey | Password | AccessToken


def digest(*secrets: str | None) -> str:
    """A name for secrets that does not tell them: 64 hexadecimal digits."""
    joined = "\0".join(secret or "" for secret in secrets)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()


def bearer(token: str) -> bytes:
    """The value of the `Authorization` header."""
    return b"Bearer " + _ascii(token, "access_token")


def _ascii(value: str, name: str) -> bytes:
    if not value.isascii() or not value.isprintable():
        # Without the value, as it is a secret.
        raise ValueError(f"'{name}' holds a character that no header may hold. Copy it again, without line breaks.")
    return value.encode()


def _token(answer: UpstreamAnswer, trace: str, redact: Redaction, reason: Callable[[object], str]) -> Token:
    """Both shapes: `{access_token, expires_at}` and `{tok, exp}`, in seconds or milliseconds since 1970.

    Args:
        trace: What their support finds the call by.
        reason: The code of a refusal, in words.
    """
    try:
        body = json_object(answer.body)
    except UpstreamError:
        body = {}
    if answer.status != 200:
        raise _failure(answer, body, trace, redact, reason)
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
    # The floor is for clocks that disagree: a token born expired would be replaced on each request.
    return Token(value, max(_SHORTEST_LIFE, seconds - time.time()))


def _failure(
    answer: UpstreamAnswer, body: dict[str, Any], trace: str, redact: Redaction, reason: Callable[[object], str]
) -> XRouterError:
    status = answer.status
    code, said = (redact(str(body.get(name)))[:300] for name in ("code", "message"))
    detail = f"{trace}: status {status}, code {code}, message {said!r}"
    if status in (408, 504):
        return UpstreamTimeout("GigaChat's authorization server timed out.", code="token_unavailable", detail=detail)
    if status == 429 or status >= 500:
        return UpstreamUnavailable(
            "GigaChat's authorization server is overloaded or down.",
            code="token_unavailable",
            retry_after=retry_after(answer.headers),
            detail=detail,
        )
    message = f"GigaChat refused this gateway's credentials: {reason(body.get('code'))}"
    return UpstreamUnauthorized(message, detail=detail)


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
