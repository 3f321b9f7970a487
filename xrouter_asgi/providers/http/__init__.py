"""The upstream path: the one place that speaks HTTP to providers."""

from .answer import Answer, AnswerStream
from .owned import OwnedTransport
from .timeouts import Timeouts
from .tls import ssl_context
from .transport import HTTPTransport
from .upstream import Instrument, Upstream
from .wait import retry_after

__all__ = [
    "Answer",
    "AnswerStream",
    "HTTPTransport",
    "Instrument",
    "OwnedTransport",
    "Timeouts",
    "Upstream",
    "retry_after",
    "ssl_context",
]
