"""Alembic's folder. `Database.migrate` runs it; there is no `alembic.ini`."""
