"""The upstream path: the one place that speaks HTTP to providers."""

from .answer import AnswerStream, UpstreamAnswer
from .blame import REJECTIONS, Blame, blame
from .bodies import UpstreamErrorBody, json_object
from .cancel_safe import OwnedTransport
from .chunk_stream import Batches, ChunkDecoder, Pieces, start_stream
from .error_rules import ErrorReader, ErrorRule, about_the_account
from .events import Ending, EventStreamDecoder, bad_event, event_object, is_whole, kind_of, object_in
from .failures import has_unknown_issuer
from .native import DialectEvents, NativeDecoder
from .redaction import MAX_MESSAGE, Redaction
from .request import Fields, SharedFields
from .text_pattern import TextPattern
from .tls import SYSTEM, TLS
from .upstream import USER_AGENT, Instrument, Timeouts, Upstream
from .waits import retry_after

__all__ = [
    "MAX_MESSAGE",
    "REJECTIONS",
    "SYSTEM",
    "TLS",
    "USER_AGENT",
    "AnswerStream",
    "Batches",
    "Blame",
    "ChunkDecoder",
    "DialectEvents",
    "Ending",
    "ErrorReader",
    "ErrorRule",
    "EventStreamDecoder",
    "Fields",
    "Instrument",
    "NativeDecoder",
    "OwnedTransport",
    "Pieces",
    "Redaction",
    "SharedFields",
    "TextPattern",
    "Timeouts",
    "Upstream",
    "UpstreamAnswer",
    "UpstreamErrorBody",
    "about_the_account",
    "bad_event",
    "blame",
    "event_object",
    "has_unknown_issuer",
    "is_whole",
    "json_object",
    "kind_of",
    "object_in",
    "retry_after",
    "start_stream",
]
