"""The tables of experiments: rows, runs, text, page."""
