"""Drives the story durably. Our rows are the truth; DBOS executes what is due."""
