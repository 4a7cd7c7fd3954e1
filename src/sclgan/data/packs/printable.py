"""Text from a file of others, made safe to print: a terminal obeys some characters."""


def printable(text: str) -> str:
    """The text with escapes such as \\x1b and \\n in place of what is not printable."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
