"""What clients may speak: one dialect for each client API, and the table of them all."""

from .base import Counting, Dialect, EventWriter, Headers, KeptConversation, Operation, ParsedRequest, Reader
from .chat import CHAT
from .completions import COMPLETIONS
from .embeddings import EMBEDDINGS
from .messages import MESSAGES
from .responses import RESPONSES

DIALECTS = (CHAT, RESPONSES, MESSAGES, EMBEDDINGS, COMPLETIONS)

__all__ = [
    "DIALECTS",
    "Counting",
    "Dialect",
    "EventWriter",
    "Headers",
    "KeptConversation",
    "Operation",
    "ParsedRequest",
    "Reader",
]
