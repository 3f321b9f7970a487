"""Names of functions. Clients choose them more freely than GigaChat takes them, so each may have an alias.

GigaChat's own error text allows Latin letters, digits, `_`, `-` and `.`; its documentation allows less. The subset here
is safe under both.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

MAX_NAME = 64

# GigaChat's built-in functions: a client's own function of that name would start the built-in one.
RESERVED = frozenset({"text2image", "text2model3d", "web_search"})

_SAFE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_]")


class FunctionNames:
    """A reversible table of the names in one request.

    An alias depends on the name alone, except where two would collide, so that the same tools give the same prompt in
    every turn and GigaChat's cache of prompt prefixes stays useful.

    Args:
        names: The client's names: those of its tools first, then those in its history.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        unique = list(dict.fromkeys(names))
        self._to_gigachat = {name: name for name in unique if _is_safe(name)}
        taken = set(self._to_gigachat)
        for name in unique:
            if name not in self._to_gigachat:
                alias = _alias(name)
                if alias in taken:
                    alias = _with_hash(alias, name)
                self._to_gigachat[name] = alias
                taken.add(alias)
        self._to_client = {alias: name for name, alias in self._to_gigachat.items()}

    def to_gigachat(self, name: str) -> str:
        """The name that GigaChat knows. `name` must be in the table."""
        return self._to_gigachat[name]

    def to_client(self, alias: str) -> str:
        """The client's own name. A name that GigaChat made up stays as it is."""
        return self._to_client.get(alias, alias)


def _is_safe(name: str) -> bool:
    return _SAFE.fullmatch(name) is not None and name not in RESERVED


def _alias(name: str) -> str:
    alias = _ILLEGAL.sub("_", name)
    if not alias[:1].isalpha() or alias in RESERVED:
        alias = f"f_{alias}"
    return alias if len(alias) <= MAX_NAME else _with_hash(alias, name)


def _with_hash(alias: str, name: str) -> str:
    return f"{alias[: MAX_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
