"""Anthropic's API on a socket."""

from .fake import FakeAnthropic

__all__ = ["FakeAnthropic"]
