"""One database, and what stores in it have in common. It needs SQLAlchemy: only such stores import it."""

from .database import Database, Moment, async_url
from .revisions import Schema, alembic_config

__all__ = ["Database", "Moment", "Schema", "alembic_config", "async_url"]
