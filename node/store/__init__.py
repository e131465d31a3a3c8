"""What is kept: bytes in the spool, facts in rows. Rows are the truth; the engine drives them."""
