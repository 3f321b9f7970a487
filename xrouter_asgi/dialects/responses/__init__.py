"""OpenAI's Responses."""

from .responses import RESPONSES, ParsedResponses
from .writer import ResponsesWriter

__all__ = ["RESPONSES", "ParsedResponses", "ResponsesWriter"]
