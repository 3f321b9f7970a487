"""GigaChat, spoken to in its own dialect."""

from .options import Options
from .provider import GigaChatProvider

__all__ = ["GigaChatProvider", "Options"]
