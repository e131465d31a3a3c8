"""The handbook, as Markdown: the console shows what lies beside this file."""
