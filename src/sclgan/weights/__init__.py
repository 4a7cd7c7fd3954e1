"""Public weight files: the registry, safe readers, the strict loader."""
