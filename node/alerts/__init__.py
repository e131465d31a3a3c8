"""Ways to a person who has not looked."""
