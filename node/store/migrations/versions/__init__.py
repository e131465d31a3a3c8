"""One file a change, named after its revision; none is ever edited once it was in a release.

A change only adds: while the hosts of a group are updated, the version before works on the same
tables.
"""
