"""Names of tools and ids of calls, which clients choose more freely than the Messages API takes them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

# https://docs.claude.com/en/api/messages: a name has up to 64 of these (128 since 2026), an id any number of them.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")


class Aliases:
    """A table of the names in one request that can be read in both directions.

    An alias depends on the name alone, so that the same tools give the same prompt in every turn, and caches hold.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._to_client = {alias: name for name in names if (alias := self.to_upstream(name)) != name}

    @staticmethod
    def to_upstream(name: str) -> str:
        """The name that the upstream takes."""
        if _NAME.fullmatch(name):
            return name
        return f"{_ILLEGAL.sub('_', name)[:55]}_{_hash(name, 8)}"

    def to_client(self, alias: str) -> str:
        """The client's own name. A name that the model made up stays as it is."""
        return self._to_client.get(alias, alias)


class CallIds:
    """The ids of calls in one conversation: each fits the upstream's pattern, and no two are alike.

    Some clients number their calls anew in every turn. Which id a call gets depends on what stands before it alone.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()

    def next(self, given: str) -> str:
        """The id for the next call, which the client calls `given`."""
        fit, repeated = given, 0
        while not _ID.fullmatch(fit) or fit in self._used:
            fit = f"toolu_{_hash(f'{repeated} {given}' if repeated else given, 24)}"
            repeated += 1
        self._used.add(fit)
        return fit


def _hash(text: str, length: int) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:length]
