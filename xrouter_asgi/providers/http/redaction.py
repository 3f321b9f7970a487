"""What no client may see in an upstream's words: secrets, by value and by shape, and where the upstream lives."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

MAX_MESSAGE = 1024
"""Bytes of UTF-8."""

_HIDDEN = "[redacted]"
_SHORTEST = 4
_PASSING = 3  # access tokens: the current one, and those that requests under way may still carry
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_HALF_PAIR = re.compile(r"[\ud800-\udfff]")  # of a surrogate pair, which UTF-8 cannot hold

# Every repetition has a bound, so that the work grows with the length of the text alone.
_KEYS = re.compile(
    # Keys (whole or masked by the upstream), accounts, tokens.
    r"\bsk-[\w*.-]{3,}|\bAIza[\w-]{10,}|\bAKIA[A-Z0-9]{12,}|\beyJ[\w-]{8,}[\w.-]*"
    r"|\b(?:pk|rk|gsk|xai|org|proj|hf|r8)[-_](?:(?=[\w-]{0,64}[\d*])[\w*-]{8,}|[\w-]{24,})"
    r"|\bbearer\s+(?:(?=[\w~+/-]{0,64}[\d_=.][\w=])[^\s\"',;)\]}]+|[\w~+/-]{20,})"
    r"|\bbasic\s+(?=[a-z+/]{0,64}[0-9=])[\w+/=-]{8,}",
    re.IGNORECASE,
)

_LABEL = r"(?!\d+\.)[a-z0-9_][\w-]{0,62}"  # a parameter's path has numbers between its dots, a host has not
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_PORT = r"(?::\d{1,5})?"
_PLACES = re.compile(
    # URLs, without the punctuation of the sentence around them.
    r"\b[a-z][a-z0-9+.-]{1,20}://[^\s\"'`<>]*[^\s\"'`<>.,;:!?)\]}]"
    # IPv4 and IPv6 addresses.
    rf"|(?<![\w.]){_OCTET}(?:\.{_OCTET}){{3}}{_PORT}(?![\w-]|\.\w)"
    rf"|\[(?:[0-9a-f]{{0,4}}:){{2,7}}[0-9a-f.]{{0,15}}\]{_PORT}"
    r"|(?<![\w:.])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:])"
    r"|(?<![\w:.])(?=[a-f:]{0,39}\d)(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6}(?![\w:])"
    # A user at a host, a host with its port, a host that only a private network knows.
    rf"|(?<![\w.+-])[\w.+-]{{1,64}}@(?:{_LABEL}\.){{1,9}}[a-z][\w-]{{0,62}}{_PORT}"
    rf"|(?<![\w.@-])(?:{_LABEL}\.){{1,9}}[a-z][\w-]{{0,62}}:\d{{2,5}}\b"
    rf"|(?<![\w.@-])(?:{_LABEL}\.){{1,9}}(?:internal|local|svc|lan|corp|invalid)(?![\w-]|\.\w){_PORT}"
    r"|\blocalhost:\d{2,5}\b|(?:(?<=dial tcp )|(?<=lookup )|(?<=host ))[a-z][a-z0-9-]{0,62}:\d{2,5}\b"
    # Paths in a file system.
    r"|(?<![\w./-])/(?:home|root|usr|var|opt|app|srv|mnt|tmp)(?:/[^\s\"'`<>,;:)\]}]*|(?![\w-]))"
    r"|(?<!\w)(?-i:[A-Zcd]):\\{1,2}[\w.$-][^\s\"'`<>,;)\]}]*",
    re.IGNORECASE,
)


class Redaction:
    """Takes secrets, places and control characters out of a text.

    Names of models and members, paths of parameters and of the API, and media types stay: clients need them.

    Args:
        secrets: Values known to be secret. Those of fewer than 4 characters stay: removing them would tear words apart.
        hosts: The upstream's. They and their parents, as far as these have two names or more, are taken out. A host of
            one name stays, unless a port follows it: it may be a word or a model.
    """

    def __init__(self, secrets: Iterable[str] = (), *, hosts: Iterable[str] = ()) -> None:
        self._secrets = {secret for secret in secrets if len(secret) >= _SHORTEST}
        self._passing: deque[str] = deque(maxlen=_PASSING)
        self._hosts = _pattern(hosts)

    def learn(self, secret: str) -> None:
        """Remember one more secret, an access token, until three newer ones have come."""
        if len(secret) >= _SHORTEST and secret not in self._passing:
            self._passing.append(secret)

    def __call__(self, text: str) -> str:
        """The text for a client: one line, without secrets and places, cut at `MAX_MESSAGE` bytes of UTF-8."""
        text = _PLACES.sub(_HIDDEN, self._without_secrets(text))
        return _cut(self._hosts.sub(_HIDDEN, text) if self._hosts else text)

    def for_log(self, text: str) -> str:
        """The text for the operator, who may see places: one line, without secrets, cut like that for a client."""
        return _cut(self._without_secrets(text))

    def _without_secrets(self, text: str) -> str:
        # The longest first: one may be part of another.
        for secret in sorted({*self._secrets, *self._passing}, key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        # Patterns are searched only in what may be shown. A secret that this cuts in two still looks like one.
        return _KEYS.sub(_HIDDEN, _CONTROL.sub(" ", _HALF_PAIR.sub("\ufffd", text[: 4 * MAX_MESSAGE])))

    def __repr__(self) -> str:
        return f"Redaction({len(self._secrets) + len(self._passing)} values)"


def _cut(text: str) -> str:
    return text.encode("utf-8", "replace")[:MAX_MESSAGE].decode("utf-8", "ignore")


def _pattern(hosts: Iterable[str]) -> re.Pattern[str] | None:
    names = set()
    for host in hosts:
        labels = host.lower().strip("[].").split(".")
        names |= {".".join(labels[start:]) for start in range(len(labels) - 1)}
    # "co.uk" and its like belong to nobody; addresses are found by their shape.
    own = sorted((name for name in names if len(name) > 6 and not name[-1].isdecimal()), key=len, reverse=True)
    if not own:
        return None
    known = "|".join(map(re.escape, own))
    return re.compile(rf"(?<![\w.-])(?:[\w-]{{1,63}}\.){{0,9}}(?:{known}){_PORT}(?![\w-]|\.\w)", re.IGNORECASE)
