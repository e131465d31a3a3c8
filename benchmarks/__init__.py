"""Measures what a CardioNode costs, against named peers in the same run: `make bench`.

No test and no gate: figures depend on the machine, which the report names. The node never imports
this.
"""
