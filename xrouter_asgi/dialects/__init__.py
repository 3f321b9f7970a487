"""What clients may speak: one dialect for each client API, and the table of them all."""

from .base import Counting, Dialect, Headers, KeptConversation, Operation, ParsedRequest, Reader
from .chat import CHAT
from .completions import COMPLETIONS
from .embeddings import EMBEDDINGS
from .messages import MESSAGES
from .responses import RESPONSES
from .writers import EventWriter

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
