"""What is said about a request before GigaChat sees it: refusals, and warnings about what does not reach it."""

from __future__ import annotations

from collections.abc import Iterator

from ....errors import InvalidRequest, UnsupportedOperation
from ...base import MAX_WARNINGS, ignored_word


def invalid(param: str, reason: str, *, code: str = "invalid_value") -> InvalidRequest:
    """The error for a wrong value; `reason` is a clause."""
    return InvalidRequest(f"Invalid value for '{param}': {reason}.", code=code, param=param)


def missing(param: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


def unsupported(param: str, reason: str) -> UnsupportedOperation:
    """The error for a parameter that GigaChat cannot honour; `reason` is a sentence."""
    return UnsupportedOperation(f"Unsupported parameter: '{param}'. {reason}", param=param)


def unsupported_value(param: str, reason: str) -> UnsupportedOperation:
    """The error for a value that other upstreams accept; `reason` is a clause."""
    return UnsupportedOperation(f"Invalid value for '{param}': {reason}.", code="unsupported_value", param=param)


class Warnings:
    """The words for `x-xrouter-warnings`, such as `seed_ignored`: each once, in the order of `add`."""

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._words: dict[str, None] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def add(self, word: str, *, param: str, reason: str) -> None:
        """Note `word`. When strict, raises UnsupportedOperation about `param` with `reason`, a clause."""
        if self._strict:
            message = f"'{param}': {reason}. The gateway is strict, so it does not go on without it."
            raise UnsupportedOperation(message, param=param)
        if len(self._words) < MAX_WARNINGS:
            self._words[word] = None

    def ignored(self, param: str) -> None:
        """Note `<param>_ignored`: GigaChat has no such parameter, so it was dropped."""
        self.add(ignored_word(param), param=param[:64], reason="GigaChat has no such parameter")
