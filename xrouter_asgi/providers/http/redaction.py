"""Takes out of an upstream's words what no client and no log may see: secrets, by value and by shape, and addresses."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

MAX_MESSAGE = 1024
"""Bytes of UTF-8."""

_SHORTEST = 4
_PASSING = 3  # access tokens: the current one, and those that requests under way may still carry
_SHAPES = re.compile(
    # Keys (whole or masked by the upstream), accounts, tokens.
    r"\bsk-[\w*.-]{3,}|\b(?:pk|rk|gsk|xai|org|proj)[-_][\w*-]{8,}|\bAIza[\w-]{10,}|\beyJ[\w-]{8,}[\w.-]*"
    r"|\bbearer\s+\S+|\bbasic\s+(?=[a-z+/]*[0-9=])[\w+/=-]{8,}"
    # URLs, IPv4 addresses, a host with its port.
    r"|\b[a-z][a-z0-9+.-]{1,20}://\S+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b"
    r"|(?<![\w.-])(?:[\w-]{1,63}\.){1,9}[a-z][\w-]{0,62}:\d{2,5}\b",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Redaction:
    """Takes secrets, addresses and control characters out of a text.

    Args:
        secrets: Values known to be secret. Those of fewer than 4 characters stay: removing them would tear words apart.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = {secret for secret in secrets if len(secret) >= _SHORTEST}
        self._passing: deque[str] = deque(maxlen=_PASSING)

    def learn(self, secret: str) -> None:
        """Remember one more secret, an access token, until three newer ones have come."""
        if len(secret) >= _SHORTEST and secret not in self._passing:
            self._passing.append(secret)

    def __call__(self, text: str) -> str:
        """The text in one line, without secrets, keys, accounts and addresses, cut at `MAX_MESSAGE` bytes of UTF-8."""
        # The longest first: one may be part of another.
        for secret in sorted({*self._secrets, *self._passing}, key=len, reverse=True):
            text = text.replace(secret, "[redacted]")
        # Patterns are searched only in what may be shown. A secret that this cuts in two still looks like one.
        text = _CONTROL.sub(" ", text[: 4 * MAX_MESSAGE])
        text = _SHAPES.sub("[redacted]", text)
        return text.encode("utf-8", "replace")[:MAX_MESSAGE].decode("utf-8", "ignore")

    def __repr__(self) -> str:
        return f"Redaction({len(self._secrets) + len(self._passing)} values)"
