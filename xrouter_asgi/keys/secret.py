"""Secrets and their digests.

A secret is `xr_live_`, 32 random characters and a checksum of 6. A double click selects all 46 characters, they need no
escaping, and one regular expression finds them in a leak. Nobody guesses 190 bits, so a fast digest is enough; a slow
one would only let attackers keep the gateway busy.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import string
import zlib
from collections.abc import Mapping
from typing import Self

ADMIN = "admin"
"""The kind of the keys of operators. They open the operator's API, and no model."""

KINDS = ("live", "test", ADMIN)
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
MAX_LENGTH = 512  # characters of an imported secret

_FORM = re.compile(rf"xr_(?:{'|'.join(KINDS)})_[0-9A-Za-z]{{38}}")
_PEPPERS = re.compile(r"(\d{1,4}):([^,\s]*)")


def new_secret(kind: str = "live") -> str:
    """A new secret of one of the `KINDS`. Raises ValueError for another kind."""
    if kind not in KINDS:
        raise ValueError(f"Kind {kind!r} is unknown. Known: {', '.join(KINDS)}.")
    body = f"xr_{kind}_" + "".join(secrets.choice(ALPHABET) for _ in range(32))
    return body + _checksum(body)


def well_formed(secret: str) -> bool:
    """Whether `new_secret` can have made it: the public checksum finds a typo without a lookup."""
    return _FORM.fullmatch(secret) is not None and secret[-6:] == _checksum(secret[:-6])


def _checksum(body: str) -> str:
    """The CRC-32 (as in zlib) in base 62, with leading zeros: 6 digits hold its 32 bits."""
    number = zlib.crc32(body.encode("ascii"))
    return "".join(ALPHABET[number // 62**place % 62] for place in range(5, -1, -1))


def importable(secret: str) -> bool:
    """Whether another gateway's secret may be looked up: printable ASCII without spaces, at most `MAX_LENGTH`."""
    return 0 < len(secret) <= MAX_LENGTH and secret.isascii() and secret.isprintable() and " " not in secret


def bits(secret: str) -> float:
    """The most entropy that a secret of unknown form can have, by the length and the alphabet of each of its parts.

    A part shorter than 8, such as `sk`, is a prefix and adds nothing; nor does a part that occurs again. In a part that
    repeats few characters, each of them counts three times at most.
    """
    parts = {part for part in re.split(r"[^0-9A-Za-z]", secret) if len(part) >= 8}
    return sum(min(len(part), 3 * len(set(part))) * math.log2(_alphabet(part)) for part in parts)


def _alphabet(part: str) -> int:
    for form, size in ((r"\d+", 10), (r"[\da-f]+|[\dA-F]+", 16), (r"[a-z]+|[A-Z]+", 26), (r"[\da-z]+|[\dA-Z]+", 36)):
        if re.fullmatch(form, part):
            return size
    return 62


class Hasher:
    """Digests secrets by HMAC-SHA-256 with a pepper, or by plain SHA-256 without one.

    With a pepper, nobody can use a copy of the store to confirm a secret that was found elsewhere.

    Args:
        peppers: Secrets of at least 32 characters, by version, a number from 1. New keys get the highest version; lower
            ones keep older keys valid. Version 0 with an empty text keeps keys valid that have no pepper.

    Raises ValueError if a pepper is too short, or version 0 has one.
    """

    def __init__(self, peppers: Mapping[int, str] | None = None) -> None:
        for version, pepper in (peppers or {}).items():
            if version < 0 or (version == 0) != (pepper == ""):
                raise ValueError(f"Pepper {version} is not a pair. Write a version from 1 and its pepper, or '0:'.")
            if version and len(pepper) < 32:
                message = f"Pepper {version} has {len(pepper)} characters. Take 32 or more: openssl rand -hex 32"
                raise ValueError(message)
        self._peppers = {version: pepper.encode() for version, pepper in sorted((peppers or {0: ""}).items())[::-1]}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `2:PEPPER,1:OLDER`, or one pepper, which becomes version 1. An empty text means no pepper."""
        if not text.strip():
            return cls()
        pairs = [pair.strip() for pair in text.split(",")]
        matches = [_PEPPERS.fullmatch(pair) for pair in pairs]
        if len(pairs) == 1 and matches[0] is None:
            return cls({1: pairs[0]})
        found = [(int(match[1]), match[2]) for match in matches if match is not None]
        if len({version for version, _ in found}) < len(pairs):
            # The message omits the text, which holds secrets.
            raise ValueError('The peppers are not pairs of different versions. Write them as "2:PEPPER,1:OLDER".')
        return cls(dict(found))

    @property
    def version(self) -> int:
        """The version of the pepper for new keys; 0 if they get none."""
        return next(iter(self._peppers))

    def digest(self, secret: str) -> bytes:
        return self.digests(secret)[0]

    def digests(self, secret: str) -> tuple[bytes, ...]:
        """The digests under which a secret may be stored, the current one first."""
        data = secret.encode("utf-8", "surrogatepass")
        return tuple(
            hmac.digest(pepper, data, "sha256") if version else hashlib.sha256(data).digest()
            for version, pepper in self._peppers.items()
        )

    def __str__(self) -> str:
        return f"HMAC-SHA-256 with pepper {self.version}" if self.version else "SHA-256 without a pepper"

    def __repr__(self) -> str:
        return f"Hasher(versions={list(self._peppers)})"
