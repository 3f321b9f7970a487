"""Why an answer ended: GigaChat's `finish_reason` -> OpenAI's."""

from __future__ import annotations

from ....errors import UpstreamError

# `blacklist` is what v1 says; the others are v2's, which some stands use in v1 too.
_FILTERED = ("blacklist", "request_blacklist", "response_blacklist", "request_filter")
_FAILED = ("error", "function_call_error")
_KNOWN = ("stop", "length", "function_call", *_FILTERED, *_FAILED)


def finish_reason(said: object, *, called: bool, has_text: bool, as_function: bool = False) -> str:
    """OpenAI's reason.

    Args:
        said: GigaChat's; unknown ones count as `stop`.
        called: The answer holds a call that can be passed on.
        has_text: The answer holds text.
        as_function: The client speaks of functions, not of tools.

    Raises:
        UpstreamError: GigaChat announces a call and gives neither a usable one nor text.
    """
    if said == "length":
        return "length"
    if said in _FILTERED:
        return "content_filter"
    if called:
        return "function_call" if as_function else "tool_calls"
    if not has_text and (said in _FAILED or said == "function_call"):
        raise UpstreamError("GigaChat: the model failed to call a function properly. Try again.")
    return "stop"


def finish_warning(said: object, *, called: bool) -> str | None:
    """The word for an end that was taken for `stop` although GigaChat did not say so."""
    if said in _FAILED and not called:
        return "finish_reason_error"
    return None if said in _KNOWN else "finish_reason_unknown"


def is_usable(call: object, said: object) -> bool:
    """Whether a `function_call` can be passed on: it has a name and, when GigaChat says it failed, intact arguments."""
    if not isinstance(call, dict) or not isinstance(call.get("name"), str) or not call["name"]:
        return False
    return said not in _FAILED or isinstance(call.get("arguments"), dict)
