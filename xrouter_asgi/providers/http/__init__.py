"""The upstream path: the one place that speaks HTTP to providers."""

from .answer import Answer, AnswerStream
from .failures import has_unknown_issuer
from .owned import OwnedTransport
from .redaction import Redaction
from .timeouts import Timeouts, start_stream
from .tls import ssl_context
from .transport import HTTPTransport
from .upstream import USER_AGENT, Instrument, Upstream
from .wait import retry_after

__all__ = [
    "USER_AGENT",
    "Answer",
    "AnswerStream",
    "HTTPTransport",
    "Instrument",
    "OwnedTransport",
    "Redaction",
    "Timeouts",
    "Upstream",
    "has_unknown_issuer",
    "retry_after",
    "ssl_context",
    "start_stream",
]
