"""What clients may speak: one dialect for each client API, and the table of them all."""

from .chat import CHAT
from .embeddings import EMBEDDINGS

DIALECTS = (CHAT, EMBEDDINGS)

__all__ = ["DIALECTS"]
