"""Pairs of a text and an image encoder with one common space, and the frozen trunks below them."""
