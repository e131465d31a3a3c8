"""The model side: a serving part without torch, and a research part that trains what it serves."""
