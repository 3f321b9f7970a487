"""The upstream path: the one place that speaks HTTP to providers."""

from .answer import Answer, AnswerStream
from .cancel_safe import OwnedTransport
from .failures import has_unknown_issuer
from .redaction import Redaction
from .retry_after import retry_after
from .timeouts import Timeouts, start_stream
from .tls import ssl_context
from .transport import HTTPTransport
from .upstream import USER_AGENT, Instrument, Upstream

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
