"""Pictures of the user's own: the source, its table of captions, and its check."""
