"""What was answered and may be needed again: responses that requests refer to, answers to what is asked twice."""

from .answer import AnswerKind, AnswerPart, KeptAnswer
from .base import AnswerStore, ResponseStore
from .memory import MemoryAnswers, MemoryResponses
from .redis import RedisAnswers, RedisResponses

__all__ = [
    "AnswerKind",
    "AnswerPart",
    "AnswerStore",
    "KeptAnswer",
    "MemoryAnswers",
    "MemoryResponses",
    "RedisAnswers",
    "RedisResponses",
    "ResponseStore",
]
