"""What providers fail with, before anything has been sent."""

from __future__ import annotations

from xrouter_asgi import XRouterError
from xrouter_asgi.errors import (
    CircuitOpen,
    ConcurrencyExceeded,
    InvalidRequest,
    ModelNotFound,
    RequestRejected,
    UnsupportedOperation,
    UpstreamError,
    UpstreamForbidden,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnauthorized,
    UpstreamUnavailable,
)

from .house import CHAT, EMBEDDINGS, House, completion, embeddings, hello, routed
from .recording import Case, Make, post

ERRORS: dict[str, BaseException] = {
    "invalid-request": InvalidRequest("The picture is too large.", param="messages[0].content", code="image_too_large"),
    "unsupported-operation": UnsupportedOperation("This model has no tools.", param="tools"),
    "request-rejected": RequestRejected("Мало слов.", status=422, param="messages", code="too_short", type="odd"),
    "model-not-found": ModelNotFound("house-1"),
    "upstream": UpstreamError("The upstream answered what is no answer.", code="bad_body", detail="secret"),
    "unauthorized": UpstreamUnauthorized("The upstream refused our credentials."),
    "forbidden": UpstreamForbidden("The contract does not cover this model."),
    "rate-limited": UpstreamRateLimited("The upstream is busy.", retry_after=2.5),
    "rate-limited-for-no-time": UpstreamRateLimited("The upstream is busy.", retry_after=0),
    "concurrency": ConcurrencyExceeded("Too many calls are under way.", retry_after=0.2),
    "quota": UpstreamQuotaExceeded("The account is out of tokens.", retry_after=3600),
    "unavailable": UpstreamUnavailable("The upstream is overloaded.", status=503, code="overloaded", retry_after=30),
    "timeout": UpstreamTimeout("The upstream did not answer in time.", code="first_byte_timeout"),
    "circuit-open": CircuitOpen("The upstream is left alone.", retry_after=11.01),
    "retry-wanted": XRouterError("Something odd happened.", status=500, should_retry=True),
    "defect": RuntimeError("secret"),
}


def _failing(error: BaseException) -> Make:
    return lambda tape: routed(House(error))


CASES = [Case(f"{name}", _failing(error), [post(CHAT, hello())]) for name, error in ERRORS.items()]
CASES += [
    Case("no-answer-to-chat", lambda tape: routed(House(embeddings([0.5]))), [post(CHAT, hello())]),
    Case(
        "no-answer-to-embeddings",
        lambda tape: routed(House(completion())),
        [post(EMBEDDINGS, {"model": "m", "input": "Hello"})],
    ),
    Case(
        "of-embeddings",
        _failing(ERRORS["rate-limited"]),
        [post(EMBEDDINGS, {"model": "m", "input": "Hello"})],
    ),
]
