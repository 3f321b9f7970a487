"""What clients may speak: one dialect for each client API, and the table of them all."""

from .base import Dialect, EventWriter, Headers, Operation, ParsedRequest
from .chat import CHAT
from .completions import COMPLETIONS
from .embeddings import EMBEDDINGS
from .messages import MESSAGES

DIALECTS = (CHAT, EMBEDDINGS, COMPLETIONS, MESSAGES)

__all__ = ["DIALECTS", "Dialect", "EventWriter", "Headers", "Operation", "ParsedRequest"]
