"""Ground floor: the words of the field as values. Standard library and numpy only."""
