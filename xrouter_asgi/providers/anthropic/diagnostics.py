"""What is said about a request before the upstream sees it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from ...errors import InvalidRequest, UnsupportedOperation
from ..base import MAX_WARNINGS


def invalid(param: str, reason: str) -> InvalidRequest:
    """The error for a wrong value; `reason` is a clause."""
    return InvalidRequest(f"Invalid value for '{param}': {reason}.", code="invalid_value", param=param)


def unsupported(param: str, reason: str) -> UnsupportedOperation:
    """The error for a parameter that the Messages API cannot honour; `reason` is a sentence."""
    return UnsupportedOperation(f"Unsupported parameter: '{param}'. {reason}", param=param)


def unsupported_value(param: str, reason: str) -> UnsupportedOperation:
    """The error for a value that other upstreams accept; `reason` is a clause."""
    return UnsupportedOperation(f"Invalid value for '{param}': {reason}.", code="unsupported_value", param=param)


def each_once(warnings: Iterable[str]) -> list[str]:
    """The words for `x-xrouter-warnings`, as many as a header can hold."""
    return list(islice(dict.fromkeys(warnings), MAX_WARNINGS))
