"""The upstream path: the one place that speaks HTTP to providers."""

from .answer import Answer, AnswerStream
from .owned import OwnedTransport
from .timeouts import Timeouts
from .tls import ssl_context
from .transport import HTTPTransport
from .upstream import Instrument, Upstream

__all__ = [
    "Answer",
    "AnswerStream",
    "HTTPTransport",
    "Instrument",
    "OwnedTransport",
    "Timeouts",
    "Upstream",
    "ssl_context",
]
