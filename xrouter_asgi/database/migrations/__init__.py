"""How Alembic runs the migrations of every store. Each store has its own in a folder beside its schema."""
