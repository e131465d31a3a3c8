"""The story: what happens to an ECG from C-STORE to the last acknowledgement."""
