"""The command `cardionode`, also as `python -m node`.

The processes that a node starts beside it import this file too: it imports nothing that they do not
need.
"""

from __future__ import annotations


def main() -> None:
    from node.cli import main as command

    command()


if __name__ == "__main__":
    main()
