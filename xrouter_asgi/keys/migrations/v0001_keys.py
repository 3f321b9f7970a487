"""Keys, their secrets, and the audit of their changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_AUDIT = "xrouter_key_audit"


def upgrade() -> None:
    # Written out, not taken from schema.py: what this makes must stay as it was when later migrations change it.
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "xrouter_keys",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("user_id", sa.String(200), index=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("not_before", moment),
        sa.Column("expires_at", moment),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("models", sa.JSON, nullable=False),
        sa.Column("limits", sa.JSON, nullable=False),
        sa.Column("last_used_at", moment),
    )
    op.create_table(
        "xrouter_key_secrets",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("key_id", sa.String(32), sa.ForeignKey("xrouter_keys.id"), nullable=False, index=True),
        sa.Column("pepper", sa.Integer, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment),
    )
    op.create_table(
        _AUDIT,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("changed_at", moment, nullable=False),
        sa.Column("changed_by", sa.String(200), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("key_id", sa.String(32), nullable=False, index=True),
        sa.Column("before", sa.JSON, nullable=False),
        sa.Column("after", sa.JSON, nullable=False),
        sa.Column("reason", sa.String(1000)),
    )
    for statement in _APPEND_ONLY[op.get_context().dialect.name]:
        op.execute(statement)


_APPEND_ONLY = {
    "sqlite": [
        f"""
        CREATE TRIGGER {_AUDIT}_no_{action} BEFORE {action} ON {_AUDIT}
        BEGIN SELECT RAISE(ABORT, '{_AUDIT} is append-only'); END
        """
        for action in ("update", "delete")
    ],
    "postgresql": [
        f"""
        CREATE FUNCTION {_AUDIT}_refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '{_AUDIT} is append-only'; END $$
        """,
        f"""
        CREATE TRIGGER {_AUDIT}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {_AUDIT}
        FOR EACH STATEMENT EXECUTE FUNCTION {_AUDIT}_refuse()
        """,
    ],
}
