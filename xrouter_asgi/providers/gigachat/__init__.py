"""GigaChat, spoken to natively."""

from .fetch import Downloads
from .options import Options
from .provider import GigaChatProvider

__all__ = ["Downloads", "GigaChatProvider", "Options"]
