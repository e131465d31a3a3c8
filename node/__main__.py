"""`python -m node` is the command `cardionode`."""

from node.cli import main

main()
