"""The operator's pages, which a browser is shown. They need the extra `admin`."""

from .pages import Pages

__all__ = ["Pages"]
