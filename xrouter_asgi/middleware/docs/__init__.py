"""A page that shows the OpenAPI document to people."""

from .docs import DocsMiddleware

__all__ = ["DocsMiddleware"]
