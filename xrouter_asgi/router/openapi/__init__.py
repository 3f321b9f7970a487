"""The OpenAPI document of what a router serves."""

from .document import openapi

__all__ = ["openapi"]
