"""How the tables came to be what they are: Alembic's scripts, one a change (`versions`)."""
