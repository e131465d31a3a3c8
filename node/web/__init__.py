"""What is looked at over HTTP."""
