"""Experiments over several runs: comparison pages."""
