"""GigaChat on 127.0.0.1, which enforces the rules of the real one: `faults` says how to make it fail."""

from .account import KEY
from .fake import MODELS, FakeGigaChat

__all__ = ["KEY", "MODELS", "FakeGigaChat"]
