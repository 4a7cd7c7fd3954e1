"""Published weights of the authors' codes, imported into a run folder."""
