"""The upstream path: the one place that speaks HTTP to providers."""

from .answer import AnswerStream, UpstreamAnswer
from .bodies import MAX_MESSAGE, Redaction, UpstreamErrorBody, json_object, retry_after
from .cancel_safe import OwnedTransport
from .chunk_stream import Batches, ChunkDecoder, Pieces, start_stream
from .failures import has_unknown_issuer
from .request import Fields
from .tls import TLS
from .upstream import USER_AGENT, Instrument, Timeouts, Upstream

__all__ = [
    "MAX_MESSAGE",
    "TLS",
    "USER_AGENT",
    "AnswerStream",
    "Batches",
    "ChunkDecoder",
    "Fields",
    "Instrument",
    "OwnedTransport",
    "Pieces",
    "Redaction",
    "Timeouts",
    "Upstream",
    "UpstreamAnswer",
    "UpstreamErrorBody",
    "has_unknown_issuer",
    "json_object",
    "retry_after",
    "start_stream",
]
