"""What clients may speak: one dialect for each client API, and the table of them all."""

from .base import Dialect, EventWriter, Operation, ParsedRequest
from .chat import CHAT
from .embeddings import EMBEDDINGS

DIALECTS = (CHAT, EMBEDDINGS)

__all__ = ["DIALECTS", "Dialect", "EventWriter", "Operation", "ParsedRequest"]
