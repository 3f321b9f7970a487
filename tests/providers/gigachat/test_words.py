from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from xrouter_asgi.providers.gigachat.words import Words, retry_after


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
    assert Words.of(body).text == text


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
    assert Words.of(body) == Words("", page=page, is_page=True)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a\r\nb\x00c\u2028d", "a b c d"),
        ("see https://internal.example/path?x=1 now", "see (address) now"),
        ("dial tcp 10.1.2.3:8443: refused", "dial tcp (address): refused"),
        ("host gw.internal.example:9443 is down", "host (address) is down"),
        ("bad token Bearer abc.def", "bad token (secret)"),
        ("bad token eyJhbGciOiJIUzI1NiJ9.e30.abc", "bad token (secret)"),
        ("a <b>bold</b> word", "a  bold  word"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
    ],
)
def test_words_are_made_fit_for_a_client(said: str, shown: str) -> None:
    assert Words.of_document({"message": said}).text.split() == shown.split()


def test_a_sentence_is_prefixed_ended_and_bounded() -> None:
    assert Words("No such model").sentence("x") == "GigaChat: No such model."
    assert Words("Really?").sentence("x") == "GigaChat: Really?"
    assert Words("").sentence("it failed") == "GigaChat: it failed."
    assert len(Words("ы" * 2000).sentence("x").encode()) <= 1024


def test_the_detail_tells_words_pages_and_nothing_apart() -> None:
    assert Words("x").detail(422) == "GigaChat answered 422 with 'x'."
    assert Words("", page="T", is_page=True).detail(502) == "GigaChat answered 502 with a page titled 'T'."
    assert Words("").detail(503) == "GigaChat answered 503 with no words."


NOW = datetime(2026, 9, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("1", 1.0),
        ("0.5", 0.5),
        (" 60 ", 60.0),
        ("61", None),
        ("0", None),
        ("-1", None),
        ("inf", None),
        ("nan", None),
        ("1e1", None),
        ("soon", None),
        ("", None),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30.0),
        ("Tue, 01 Sep 2026 12:00:30 -0000", 30.0),
        (format_datetime(NOW - timedelta(seconds=30), usegmt=True), None),
        (format_datetime(NOW + timedelta(days=365), usegmt=True), None),
    ],
)
def test_only_a_sane_wait_counts(value: str, wait: float | None) -> None:
    headers = httpx.Headers({"retry-after": value, "date": format_datetime(NOW, usegmt=True)})
    assert retry_after(headers) == wait


def test_a_moment_counts_from_our_clock_if_the_server_tells_none() -> None:
    moment = datetime.now(UTC) + timedelta(seconds=40)
    wait = retry_after(httpx.Headers({"retry-after": format_datetime(moment, usegmt=True)}))
    assert wait is not None
    assert 0 < wait <= 60


def test_no_header_is_no_wait() -> None:
    assert retry_after(httpx.Headers()) is None
