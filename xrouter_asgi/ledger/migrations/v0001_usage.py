"""One row for each request, and their sums by day."""

from __future__ import annotations

from alembic import op

from xrouter_asgi.ledger.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    # As long as there is no other migration; whoever adds one writes the tables out here.
    metadata.create_all(op.get_bind(), checkfirst=False)
