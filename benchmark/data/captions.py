"""What a caption cell says: captions that were written as a list, and those that say nothing."""

import ast
import html
import json

from ..errors import folded


def listed(text: str) -> list[str] | None:
    """The texts of a list that was written as one text, None where it is no list.

    Tables of text hold no lists, so that many programs write `["a dog", "a cat"]` into one cell,
    as JSON or as Python shows it.

    Raises:
        ValueError: what looks like a list of texts and is none that can be read for sure, such as
            numpy's `['a dog' 'a cat']`, in which Python sees one text.
    """
    text = text.strip()
    if text[:1] + text[-1:] not in ("[]", "()", "{}"):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        if not isinstance(found, list | tuple) or not all(isinstance(t, str) for t in found):
            if isinstance(found, dict) or (
                isinstance(found, list | tuple | set)
                and found
                and any(isinstance(t, str | dict) for t in found)
            ):
                raise ValueError(text)
            return None
        if read is ast.literal_eval and repr(found) != text:
            raise ValueError(text)
        return list(found)
    return None


def blank(text: str) -> bool:
    """Whether nothing is left of a text after CLIP's own cleaning that could be seen.

    CLIP mends mojibake (`ftfy`), resolves HTML entities twice and strips spaces before it encodes
    a text (openai/CLIP, simple_tokenizer.py, `basic_clean`).
    """
    if "&" not in text and any(c.isalnum() for c in text):
        return False
    return not folded(cleaned(text)).strip()


def cleaned(text: str) -> str:
    """A text after CLIP's own cleaning, with the spaces around it."""
    import ftfy  # a fifth of a second, and only captions need it

    return html.unescape(html.unescape(ftfy.fix_text(text)))
