"""Drives the story durably. Our rows are the truth; the engine (DBOS) only says when."""
