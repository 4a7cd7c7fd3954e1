"""Losses as functions of codes and logits; every mean is over the global batch."""
