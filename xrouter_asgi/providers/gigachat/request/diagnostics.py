"""The sentences in which a request is refused before GigaChat sees it, each with the parameter it is about."""

from __future__ import annotations

from ....errors import InvalidRequest, UnsupportedOperation


def invalid(param: str, reason: str, *, code: str = "invalid_value") -> InvalidRequest:
    """A value that is wrong; `reason` is a clause."""
    return InvalidRequest(f"Invalid value for '{param}': {reason}.", code=code, param=param)


def missing(param: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


def unsupported(param: str, reason: str) -> UnsupportedOperation:
    """A parameter GigaChat cannot honour; `reason` is a sentence."""
    return UnsupportedOperation(f"Unsupported parameter: '{param}'. {reason}", param=param)


def unsupported_value(param: str, reason: str) -> UnsupportedOperation:
    """A value that is right elsewhere; `reason` is a clause."""
    return UnsupportedOperation(f"Invalid value for '{param}': {reason}.", code="unsupported_value", param=param)
