"""Which texts may stand in a table's head without changing the page around them."""

import unicodedata

_SIGNS = frozenset(" .,:+-/()&'%")
LONGEST_TITLE = 80


def plain_title(text: str) -> bool:
    """Whether a title has only letters, digits and harmless signs, and is no address."""
    if not 0 < len(text) <= LONGEST_TITLE or "://" in text or "www." in text.lower():
        return False
    return all(c in _SIGNS or unicodedata.category(c)[0] in "LNM" for c in text)
