"""An account of GigaChat: what it lets in, and the tokens that it issues."""

from __future__ import annotations

import base64
import binascii
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from ..http import FakeExchange
from ..virtual import now
from .rules import Refused

KEY = base64.b64encode(b"6f0b1291-c7f3-43c6-bb2e-9f3efb2dc98e:a-client-secret").decode()
_SCOPES = ("GIGACHAT_API_PERS", "GIGACHAT_API_B2B", "GIGACHAT_API_CORP")


class Account:
    """Issues tokens for a key, or for a name and a password, and checks them. `FakeGigaChat` tells of its knobs."""

    def __init__(self, scope: str) -> None:
        self.key = KEY
        self.scope = scope
        self.user = "user"
        self.password = "пароль"
        self.token_life = 1800.0
        self.token_shape = "access_token"
        self.token_unit = 1000
        self.unix_clock: Callable[[], float] = time.time
        self._tokens: dict[str, float] = {}
        self._issued = 0
        self._recent: deque[float] = deque()

    def revoke(self) -> None:
        """End all tokens."""
        self._tokens.clear()

    def grant(self, exchange: FakeExchange) -> tuple[int, dict[str, Any]]:
        """Answer a request for a token by the key: status and body."""
        self._recent.append(now())
        while self._recent[0] <= now() - 1:
            self._recent.popleft()
        if len(self._recent) > 10:
            return 429, {"code": 429, "message": "Too many requests"}
        scheme, _, key = exchange.headers.get("authorization", "").partition(" ")
        try:
            decoded = base64.b64decode(key, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        if scheme not in ("Basic", "Bearer") or ":" not in decoded:
            return 400, {"code": 4, "message": "Can't decode 'Authorization' header"}
        try:
            version = uuid.UUID(exchange.headers.get("rquid", "")).version
        except ValueError:
            version = None
        if version != 4:
            return 400, {"message": "RqUID is missing or malformed"}
        form = parse_qs(exchange.body.decode())
        if exchange.headers.get("content-type") != "application/x-www-form-urlencoded" or "scope" not in form:
            return 400, {"code": 5, "message": "scope is empty"}
        if form["scope"][0] not in _SCOPES:
            return 400, {"code": 1, "message": "scope data format invalid"}
        if key != self.key:
            return 401, {"code": 6, "message": "credentials doesn't match db data"}
        if form["scope"][0] != self.scope:
            return 400, {"code": 7, "message": "scope from db not fully includes consumed scope"}
        return 200, self._issue()

    def login(self, exchange: FakeExchange) -> tuple[int, dict[str, Any]]:
        """Answer a request for a token by name and password: status and body."""
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if exchange.headers.get("authorization") != f"Basic {pair}" or exchange.body:
            return 401, {"status": 401, "message": "Unauthorized"}
        return 200, self._issue()

    def _issue(self) -> dict[str, Any]:
        self._issued += 1
        token = f"token-{self._issued}"
        expires = self.unix_clock() + self.token_life
        self._tokens[token] = now() + self.token_life
        names = ("tok", "exp") if self.token_shape == "tok" else ("access_token", "expires_at")
        expiry = {names[1]: int(expires * self.token_unit)} if self.token_unit else {}
        return {names[0]: token, **expiry}

    def authorize(self, exchange: FakeExchange) -> None:
        """Raise Refused for a request without a token that is valid now."""
        scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self._tokens:
            raise Refused(401, "Unauthorized")
        if self._tokens[token] <= now():
            raise Refused(401, "Token has expired")
