"""The operator's API: what happens, the keys, the settings."""

from .app import AdminApp

__all__ = ["AdminApp"]
