"""Evaluation protocols, the engine that applies them, and what it compares with."""
