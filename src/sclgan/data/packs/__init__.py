"""Packs and shards: training data written once, read at random or as a stream."""
