from __future__ import annotations

import pytest

from xrouter_asgi.providers.http import Redaction


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Incorrect API key provided: sk-proj-****abcd. Oh.", "Incorrect API key provided: [redacted] Oh."),
        ("in organization org-AbCd1234567890 on tokens", "in organization [redacted] on tokens"),
        ("see https://internal.host:8000/x?key=1 now", "see [redacted] now"),
        ("dial tcp 10.1.2.3:8443: refused", "dial tcp [redacted]: refused"),
        ("host gw.internal.example:9443 is down", "host [redacted] is down"),
        ("sent Authorization: Bearer abc.def", "sent Authorization: [redacted]"),
        ("sent Authorization: Basic dXNlcjpwYXNz=", "sent Authorization: [redacted]"),
        ("a token eyJhbGciOiJIUzI1NiJ9.e30.x here", "a token [redacted] here"),
        ("our secret-value and secret-value-2", "our [redacted] and [redacted]"),
        ("a risk-averse task, org-wide", "a risk-averse task, org-wide"),
        ("abc stays, as it would tear words", "abc stays, as it would tear words"),
        ("a basic subscription, at 10:30, of llama3.1:70", "a basic subscription, at 10:30, of llama3.1:70"),
        ("bad\r\nX-Evil: 1\x00\x1b[31m a\u2028b", "bad X-Evil: 1 [31m a b"),
    ],
)
def test_secrets_addresses_and_control_characters_are_taken_out(text: str, shown: str) -> None:
    assert Redaction(["secret-value", "secret-value-2", "", "abc"])(text) == shown


def test_words_are_cut_without_cutting_a_secret_or_a_character() -> None:
    redact = Redaction(["the-secret"])
    assert redact("я" * 600) == "я" * 512
    assert "the-s" not in redact("x" * 1020 + " the-secret")
    assert "the-s" not in redact("https://" + "x" * 4080 + " the-secret")
    assert "the-secret" not in repr(redact)


def test_the_last_three_secrets_that_came_up_are_known() -> None:
    redact = Redaction(["for-ever"])
    for secret in ("token-1", "token-2", "token-2", "token-3", "abc", "token-4"):
        redact.learn(secret)
    assert redact("for-ever token-1 token-2 token-3 token-4") == "[redacted] token-1 [redacted] [redacted] [redacted]"
    assert redact("abc") == "abc"
