from __future__ import annotations

import pytest

from xrouter_asgi.errors import UpstreamError
from xrouter_asgi.providers.http import Redaction, UpstreamErrorBody, json_object


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c", "param": "p"}}, UpstreamErrorBody("m", "t", "c", "p")),
        ({"error": {"message": "m", "code": 422}}, UpstreamErrorBody("m", status=422)),
        ({"error": {"message": "m", "code": "503"}}, UpstreamErrorBody("m", status=503)),
        ({"error": {"message": "m"}, "status": 404}, UpstreamErrorBody("m", status=404)),
        ([{"error": {"message": "m", "code": 400, "status": "INVALID_ARGUMENT"}}], UpstreamErrorBody("m", status=400)),
        ({"error": "m"}, UpstreamErrorBody("m")),
        ({"object": "error", "message": "m", "type": "Bad", "code": 400}, UpstreamErrorBody("m", "Bad", status=400)),
        ({"detail": "m"}, UpstreamErrorBody("m")),
        ({"detail": [{"loc": ["body", "messages", 0], "msg": "m"}]}, UpstreamErrorBody("m", param="messages.0")),
        ({"detail": [{"msg": "m"}]}, UpstreamErrorBody("m")),
        ({"detail": ["m"]}, UpstreamErrorBody()),
        ({"error": {"message": "m", "param": "None", "code": "has spaces", "type": "x" * 65}}, UpstreamErrorBody("m")),
        ({"error": {"message": 1, "param": 2, "code": 99, "type": 4}}, UpstreamErrorBody()),
        ({"error": {"message": "  "}}, UpstreamErrorBody()),
        ({"error": {"message": "Oh: <HTML><body>…"}}, UpstreamErrorBody(page="")),
        ({"message": "m", "error": {"code": "c"}}, UpstreamErrorBody("m", code="c")),
        ({"message": 5, "error": {"message": "m"}}, UpstreamErrorBody("m")),
        ({"error": {"text": "m"}}, UpstreamErrorBody()),
        (["m"], UpstreamErrorBody("m")),
        (" m\n", UpstreamErrorBody("m")),
        ([], UpstreamErrorBody()),
        (None, UpstreamErrorBody()),
        (5, UpstreamErrorBody()),
    ],
)  # fmt: skip
def test_words_are_read_from_every_shape(body: object, said: UpstreamErrorBody) -> None:
    assert UpstreamErrorBody.of_value(body, Redaction([])) == said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"status":404,"message":"No such model"}\n', UpstreamErrorBody("No such model", status=404)),
        (b"", UpstreamErrorBody()),
        (b"plain words", UpstreamErrorBody("plain words")),
        (b"half \xd0", UpstreamErrorBody("half \ufffd")),
        (b"<html><head><title>403 Forbidden</title></head></html>", UpstreamErrorBody(page="403 Forbidden")),
        (b"\n<!DOCTYPE html><h1 class='a'> Oops </h1>", UpstreamErrorBody(page="Oops")),
        (b"<?xml version='1.0'?><Error/>", UpstreamErrorBody(page="")),
        (b"<center></center>", UpstreamErrorBody(page="")),
        (b'{"message":"<html><title>502</title></html>"}', UpstreamErrorBody(page="502")),
    ],
)
def test_a_body_is_json_a_page_or_plain_text(body: bytes, said: UpstreamErrorBody) -> None:
    assert UpstreamErrorBody.of(body, Redaction()) == said


def test_a_secret_is_no_code_and_no_type() -> None:
    said = UpstreamErrorBody.of_value(
        {"error": {"type": "sk-abcdef", "code": "our-key", "message": "m"}}, Redaction(["our-key"])
    )
    assert said == UpstreamErrorBody("m")


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
        ("give array<string>, not <image>", "give array<string>, not <image>"),
    ],
)
def test_words_are_made_fit_for_a_client(said: str, shown: str) -> None:
    assert (UpstreamErrorBody.of_value({"message": said}, Redaction()).message or "").split() == shown.split()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff"])
def test_what_is_no_object_is_a_bad_body(data: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        json_object(data)
    assert caught.value.code == "bad_body"


def test_an_object_is_read() -> None:
    assert json_object(b'{"a": 1}') == {"a": 1}
