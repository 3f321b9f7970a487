"""One database, and what stores in it have in common. It needs SQLAlchemy: only such stores import it."""

from .database import Database, Moment, Schema, async_url

__all__ = ["Database", "Moment", "Schema", "async_url"]
