"""The upstream path: the one place that speaks HTTP to providers."""

from .answer import AnswerStream, UpstreamAnswer
from .bodies import UpstreamErrorBody, json_object
from .cancel_safe import OwnedTransport
from .chunk_stream import Batches, ChunkDecoder, Pieces, start_stream
from .exchange import Endpoint, ResponseBody, ResponseHead
from .failures import has_unknown_issuer
from .redaction import MAX_MESSAGE, Redaction
from .request import Fields, Site
from .retry_after import retry_after
from .timeouts import Timeouts
from .tls import TLS
from .transport import HTTPTransport
from .upstream import USER_AGENT, Instrument, Upstream

__all__ = [
    "MAX_MESSAGE",
    "TLS",
    "USER_AGENT",
    "AnswerStream",
    "Batches",
    "ChunkDecoder",
    "Endpoint",
    "Fields",
    "HTTPTransport",
    "Instrument",
    "OwnedTransport",
    "Pieces",
    "Redaction",
    "ResponseBody",
    "ResponseHead",
    "Site",
    "Timeouts",
    "Upstream",
    "UpstreamAnswer",
    "UpstreamErrorBody",
    "has_unknown_issuer",
    "json_object",
    "retry_after",
    "start_stream",
]
