from __future__ import annotations

from dataclasses import replace

import pytest

from xrouter_asgi.dialects.base import estimate_tokens, ignored
from xrouter_asgi.dialects.chat import CHAT
from xrouter_asgi.errors import InvalidRequest, UnsupportedOperation
from xrouter_asgi.wire import Document

TRANSLATING = replace(CHAT, params={"messages": "input", "response_format": "text.format"})


@pytest.mark.parametrize(
    ("param", "told"),
    [
        ("messages", "input"),
        ("messages[2].content[0].type", "input"),
        ("response_format.json_schema", "text.format"),
        ("tools[0].function.name", "tools[0].function.name"),
        ("messages_of", "messages_of"),
        (None, None),
    ],
)
def test_what_a_provider_blames_is_told_by_the_client_s_own_name(param: str | None, told: str | None) -> None:
    error = UnsupportedOperation("No.", param=param)
    assert TRANSLATING.named_back(error).param == told


def test_an_error_that_others_may_hold_is_not_changed() -> None:
    error = InvalidRequest("No.", param="messages")
    assert TRANSLATING.named_back(error) is not error
    assert error.param == "messages"
    assert CHAT.named_back(error) is error


def test_a_warning_is_one_word_whatever_a_client_calls_a_member() -> None:
    assert ignored("top_k") == "top_k_ignored"
    assert ignored("a, b\r\nc") == "a__b__c_ignored"
    assert ignored("x" * 100) == "x" * 64 + "_ignored"


@pytest.mark.parametrize(("content", "tokens"), [("", 8), ("x" * 40, 18), ("я" * 40, 28)])
def test_four_bytes_of_messages_and_tools_count_as_a_token(content: str, tokens: int) -> None:
    document = Document({"model": "m" * 99, "messages": [{"role": "user", "content": content}]})
    assert estimate_tokens(document) == tokens


def test_a_request_has_at_least_one_token() -> None:
    assert estimate_tokens(Document({"model": "m"})) == 1
