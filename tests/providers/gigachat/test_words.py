from __future__ import annotations

import pytest

from xrouter_asgi.providers.gigachat.response.error_body import Words
from xrouter_asgi.providers.http import Redaction


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"status":404,"message":"No such model"}\n', "No such model"),
        (b'{"code":6,"message":"x"}', "x"),
        (b'{"error":"x"}', "x"),
        (b'{"error":{"message":"x"}}', "x"),
        (b'{"message":5,"error":{"message":"x"}}', "x"),
        (b'{"detail":"x"}', ""),
        (b'{"error":{"text":"x"}}', ""),
        (b'["x"]', ""),
        (b"", ""),
        (b"plain words", "plain words"),
        (b"half \xd0", "half \ufffd"),
    ],
)
def test_the_words_are_found_in_any_envelope(body: bytes, text: str) -> None:
    assert Words.of(body, Redaction()).text == text


@pytest.mark.parametrize(
    ("body", "page"),
    [
        (b"<html><head><title>403 Forbidden</title></head></html>", "403 Forbidden"),
        (b"\n<!DOCTYPE html><h1 class='a'> Oops </h1>", "Oops"),
        (b"<center></center>", ""),
        (b'{"message":"<html><title>502</title></html>"}', "502"),
    ],
)
def test_a_page_has_a_title_and_no_words(body: bytes, page: str) -> None:
    assert Words.of(body, Redaction()) == Words("", page=page, is_page=True)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a\r\nb\x00c\u2028d", "a b c d"),
        ("see https://internal.example/path?x=1 now", "see [redacted] now"),
        ("dial tcp 10.1.2.3:8443: refused", "dial tcp [redacted]: refused"),
        ("host gw.internal.example:9443 is down", "host [redacted] is down"),
        ("bad token Bearer abc.def", "bad token [redacted]"),
        ("bad token eyJhbGciOiJIUzI1NiJ9.e30.abc", "bad token [redacted]"),
        ("a <b>bold</b> word", "a bold word"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
    ],
)
def test_words_are_made_fit_for_a_client(said: str, shown: str) -> None:
    assert Words.of_document({"message": said}, Redaction()).text.split() == shown.split()


def test_a_sentence_is_prefixed_ended_and_bounded() -> None:
    assert Words("No such model").sentence("x") == "GigaChat: No such model."
    assert Words("Really?").sentence("x") == "GigaChat: Really?"
    assert Words("").sentence("it failed") == "GigaChat: it failed."
    assert len(Words("ы" * 2000).sentence("x").encode()) <= 1024


def test_the_detail_tells_words_pages_and_nothing_apart() -> None:
    assert Words("x").detail(422) == "GigaChat answered 422 with 'x'."
    assert Words("", page="T", is_page=True).detail(502) == "GigaChat answered 502 with a page titled 'T'."
    assert Words("").detail(503) == "GigaChat answered 503 with no words."
