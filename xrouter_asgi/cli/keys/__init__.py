"""`xrouter keys …`."""

from .command import add_keys_command

__all__ = ["add_keys_command"]
