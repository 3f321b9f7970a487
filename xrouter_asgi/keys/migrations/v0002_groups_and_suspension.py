"""Groups of owners, suspended keys, and notifications of changes.

Processes of the previous version keep working: the new columns have defaults, a suspended key is inactive for them, and
the trigger notifies of their changes, too.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("xrouter_keys", sa.Column("user_groups", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("xrouter_keys", sa.Column("is_suspended", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_index("ix_xrouter_keys_created_at", "xrouter_keys", ["created_at", "id"])
    if op.get_context().dialect.name == "postgresql":
        for statement in _NOTIFY:
            op.execute(statement)


# Changes of `last_used_at` alone do not notify: they are frequent, and change no rights. PostgreSQL sends at commit.
# The channel is `keys.changes.CHANNEL`.
_NOTIFY = [
    """
    CREATE FUNCTION xrouter_keys_notify() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('xrouter_keys', OLD.id); RETURN NULL; END $$
    """,
    """
    CREATE TRIGGER xrouter_keys_notify AFTER DELETE OR UPDATE OF
        name, user_id, is_active, is_suspended, not_before, expires_at, scopes, models, limits, user_groups
    ON xrouter_keys FOR EACH ROW EXECUTE FUNCTION xrouter_keys_notify()
    """,
]
