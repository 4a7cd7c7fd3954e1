"""Data sets: sources of captioned, labelled pictures, and the pairs drawn from them."""
