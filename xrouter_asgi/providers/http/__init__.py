"""The upstream path: the one place that speaks HTTP to providers."""

from xrouter_asgi.providers.http.answer import Answer, AnswerStream
from xrouter_asgi.providers.http.owned import OwnedTransport
from xrouter_asgi.providers.http.timeouts import Timeouts
from xrouter_asgi.providers.http.tls import ssl_context
from xrouter_asgi.providers.http.transport import HTTPTransport
from xrouter_asgi.providers.http.upstream import Upstream

__all__ = ["Answer", "AnswerStream", "HTTPTransport", "OwnedTransport", "Timeouts", "Upstream", "ssl_context"]
