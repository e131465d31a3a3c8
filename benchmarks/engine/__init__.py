"""What the engine costs an ECG, and how much faster more hosts are."""
