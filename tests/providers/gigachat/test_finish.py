from __future__ import annotations

import pytest

from xrouter_asgi.errors import UpstreamError
from xrouter_asgi.providers.gigachat.response.finish import finish_reason, finish_warning, is_usable


@pytest.mark.parametrize(
    ("said", "called", "reason"),
    [
        ("stop", False, "stop"),
        ("stop", True, "tool_calls"),
        ("function_call", True, "tool_calls"),
        ("function_call", False, "stop"),
        ("length", False, "length"),
        ("length", True, "length"),
        ("blacklist", False, "content_filter"),
        ("request_blacklist", False, "content_filter"),
        ("response_blacklist", False, "content_filter"),
        ("request_filter", False, "content_filter"),
        ("error", True, "tool_calls"),
        ("error", False, "stop"),
        ("function_call_error", False, "stop"),
        ("request_whitelist", False, "stop"),
        ("surprise", False, "stop"),
        ("surprise", True, "tool_calls"),
        ({"no": "word"}, False, "stop"),
        (None, False, "stop"),
        (None, True, "tool_calls"),
    ],
)
def test_reasons_are_said_in_openais_words(said: object, called: bool, reason: str) -> None:
    assert finish_reason(said, called=called, has_text=True) == reason


def test_the_deprecated_word_is_used_for_functions() -> None:
    assert finish_reason("function_call", called=True, has_text=False, as_function=True) == "function_call"


@pytest.mark.parametrize("said", ["error", "function_call_error", "function_call"])
def test_a_failed_call_without_text_is_an_error(said: str) -> None:
    with pytest.raises(UpstreamError, match="failed to call a function"):
        finish_reason(said, called=False, has_text=False)


def test_an_empty_answer_that_stopped_is_an_answer() -> None:
    assert finish_reason("stop", called=False, has_text=False) == "stop"


@pytest.mark.parametrize(
    ("said", "called", "word"),
    [
        ("stop", False, None),
        ("blacklist", False, None),
        ("error", True, None),
        ("error", False, "finish_reason_error"),
        ("surprise", False, "finish_reason_unknown"),
        ([], False, "finish_reason_unknown"),
        (None, False, "finish_reason_unknown"),
    ],
)
def test_a_reason_that_was_guessed_is_told(said: object, called: bool, word: str | None) -> None:
    assert finish_warning(said, called=called) == word


@pytest.mark.parametrize(
    ("call", "said", "usable"),
    [
        ({"name": "f", "arguments": {}}, "function_call", True),
        ({"name": "f", "arguments": '{"a":'}, "length", True),
        ({"name": "f"}, "stop", True),
        ({"name": "f", "arguments": {}}, "error", True),
        ({"name": "f", "arguments": '{"a":'}, "error", False),
        ({"name": "", "arguments": {}}, "function_call", False),
        ({"name": 5}, "function_call", False),
        ({}, "function_call", False),
        (None, "function_call", False),
    ],
)
def test_a_call_needs_a_name_and_must_not_have_failed(call: object, said: str, usable: bool) -> None:
    assert is_usable(call, said) is usable
