"""Which revision the tables of a store have, and whether this version can use them.

Revisions are numbered: `0001`, `0002`, …. A release has at most one new one for each store, which leaves in place what
the version before needs. So a version uses the tables of the next revision as they are: that lets it run on, start
again, and be put back in the place of a newer one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, MetaData, column, inspect, select, table, text

from ..errors import XRouterError

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATION_LOCK = 0x78726F75746572  # "xrouter", for pg_advisory_xact_lock

logger = logging.getLogger("xrouter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The tables of one store, in a database that may hold others.

    Attributes:
        store: What the store is called in messages, such as `key store`.
        example: A name for its file of SQLite.
        migrations: Their folder, as `package:folder`.
        revision: The newest of them, which makes the tables of `metadata`.
        version_table: Where Alembic keeps the revision; not its default name, which a host may use itself.
        command: How somebody migrates PostgreSQL.
        unavailable: The error for a database that is away.
        errors: What the work of a transaction raises by itself.
    """

    store: str
    example: str
    metadata: MetaData
    migrations: str
    revision: str
    version_table: str
    command: str
    unavailable: type[XRouterError]
    errors: tuple[type[Exception], ...] = ()

    def away(self, detail: str) -> XRouterError:
        """The error to raise, with what only the operator may see."""
        return self.unavailable(f"The {self.store} cannot be asked right now. Try again in a moment.", detail=detail)

    def wants_migration(self, found: str | None) -> bool:
        """Whether tables of this revision are to be migrated before this version can use them.

        Raises:
            XRouterError: They are too new for this version.
        """
        if found is None or found < self.revision:
            return True
        if int(found) > int(self.revision) + 1:
            raise self.away(
                f"The tables of the {self.store} are of revision {found}, and this version knows those up to "
                f"{self.revision} and the next. Start the version that migrated them, or restore an older copy."
            )
        return False


def ready(connection: Connection, schema: Schema) -> bool:
    """Whether the tables can be used as they are. Raises as `wants_migration` does."""
    found = revision_of(connection, schema.version_table)
    if schema.wants_migration(found):
        return False
    if found != schema.revision:
        logger.warning("A newer version has migrated the %s. This one uses it as it is.", schema.store)
    return True


def migrate(connection: Connection, schema: Schema) -> None:
    """Bring the tables up to date. Those that a newer version has migrated stay as they are."""
    from alembic import command  # here, because the import takes 0.1 s

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    if schema.wants_migration(revision_of(connection, schema.version_table)):
        config = alembic_config(schema)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def alembic_config(schema: Schema) -> Config:
    """What Alembic has to know of a schema, but for the connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "xrouter_asgi.database:migrations")
    config.set_main_option("version_locations", schema.migrations)
    config.set_main_option("path_separator", "newline")  # not the colon in it
    config.attributes["schema"] = schema
    return config


def revision_of(connection: Connection, version_table: str) -> str | None:
    """The revision that a database has; None without the tables."""
    if not inspect(connection).has_table(version_table):
        return None
    return connection.scalar(select(column("version_num")).select_from(table(version_table)))
