from __future__ import annotations

import inspect
import re

import pytest

from xrouter_asgi import errors
from xrouter_asgi.envelopes import openai
from xrouter_asgi.errors import (
    MethodNotAllowed,
    ModelNotFound,
    RateLimitExceeded,
    UpstreamTimeout,
    UpstreamUnauthorized,
    XRouterError,
)

FAMILY = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, XRouterError)]


def family_as_drawn() -> dict[str, tuple[str, ...]]:
    """The rows of the tree at the top of the module: name → status, code, retry, trips, falls back."""
    rows: dict[str, tuple[str, ...]] = {}
    for line in (errors.__doc__ or "").splitlines():
        if "──" in line:
            name, status, *code, retry, trips, falls = re.sub(r"[│├└─]|see openai's literals", " ", line).split()
            rows[name] = (status, " ".join(code) or "null", retry, trips, falls)
    return rows


@pytest.mark.parametrize("kind", [kind for kind in FAMILY if kind is not XRouterError], ids=lambda kind: kind.__name__)
def test_each_error_is_what_the_tree_says(kind: type[XRouterError]) -> None:
    status, code, *facts = family_as_drawn()[kind.__name__]
    if kind is not errors.RequestRejected:  # its status is "theirs", its code "the upstream's own"
        assert (str(kind.status), str(kind.code or "null")) == (status, code)
    assert [{"yes": True, "no": False}[fact] for fact in facts] == [kind.retryable, kind.trips, kind.falls_back]


def test_the_tree_names_every_error() -> None:
    assert {*family_as_drawn(), "XRouterError"} == {kind.__name__ for kind in FAMILY}


def test_an_error_can_be_told_apart_from_its_class() -> None:
    error = UpstreamTimeout("Late.", code="idle_timeout", type="timeout", status=599, should_retry=False, detail="d")
    assert (error.status, error.type, error.code, error.should_retry) == (599, "timeout", "idle_timeout", False)
    assert (error.detail, str(error)) == ("d", "Late.")
    assert (UpstreamTimeout.status, UpstreamTimeout.type, UpstreamTimeout.code) == (
        504,
        "server_error",
        "upstream_timeout",
    )


def test_what_only_an_operator_may_see_is_not_in_the_answer() -> None:
    error = UpstreamTimeout("Late.", detail="https://10.0.0.1")
    assert "10.0.0.1" not in f"{error}{error!r}{openai(error, '')}"


@pytest.mark.parametrize(
    ("seconds", "header", "milliseconds"),
    [(0.0, b"1", b"1"), (0.0004, b"1", b"1"), (1.0, b"1", b"1000"), (1.0001, b"2", b"1001"), (59.5, b"60", b"59500")],
)
def test_a_delay_is_rounded_up(seconds: float, header: bytes, milliseconds: bytes) -> None:
    error = RateLimitExceeded("Slow down.", retry_after=seconds)
    assert error.headers() == [(b"retry-after", header), (b"retry-after-ms", milliseconds)]


def test_whether_to_retry_is_said_only_when_it_is_known() -> None:
    assert XRouterError("Oh.").headers() == []
    assert XRouterError("Oh.", should_retry=True).headers() == [(b"x-should-retry", b"true")]
    assert UpstreamUnauthorized("Oh.").headers() == [(b"x-should-retry", b"false")]


def test_the_upstream_can_be_asked_about_a_failure() -> None:
    error = XRouterError("Oh.", should_retry=False)
    error.upstream_ids = [("x-upstream-request-id", "r1")]
    assert error.headers() == [(b"x-upstream-request-id", b"r1"), (b"x-should-retry", b"false")]


def test_a_wrong_method_names_the_right_ones() -> None:
    assert MethodNotAllowed("No.", allow="POST").headers() == [(b"allow", b"POST")]


def test_an_unknown_model_is_named_in_the_words_that_clients_match() -> None:
    error = ModelNotFound("gpt-0")
    assert "The model `gpt-0` does not exist" in error.message
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
    assert ModelNotFound("gpt-0", "Theirs.", detail="d").message == "Theirs."
    assert len(ModelNotFound("x" * 100_000).message) < 400


def test_an_error_may_differ_from_its_class_in_what_may_follow() -> None:
    error = UpstreamTimeout("Late.", retryable=True, trips=False, falls_back=False)
    assert (error.retryable, error.trips, error.falls_back) == (True, False, False)
    assert (UpstreamTimeout.retryable, UpstreamTimeout.trips, UpstreamTimeout.falls_back) == (False, True, True)
