"""Pictures to feature rows: networks, resizes, the cache."""
