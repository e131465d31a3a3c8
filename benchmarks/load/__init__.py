"""A whole node between ECG carts, a PACS and a RIS: what it bears, and how long an answer takes."""
