"""Keys, their secrets, and the audit of their changes."""

from __future__ import annotations

from alembic import op

from xrouter_asgi.keys.schema import audit, metadata

revision = "0001"
down_revision = None

_AUDIT = audit.name


def upgrade() -> None:
    # As long as there is no other migration; whoever adds one writes the tables out here.
    metadata.create_all(op.get_bind(), checkfirst=False)
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
