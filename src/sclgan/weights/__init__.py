"""Public weight files: which there are, and how they are read safely."""
