"""When two captions are the same text to the model."""

from ..captions import cleaned


def same_text(caption: str) -> str:
    """A caption as CLIP's tokenizer reads it: two captions with equal results are one to it.

    That is open_clip's `SimpleTokenizer` before the byte-pair encoding (tokenizer.py,
    `basic_clean`, `whitespace_clean`, lower case): cleaned, white space collapsed. Captions that
    differ only beyond the 77th token count as different.
    """
    return " ".join(cleaned(caption).split()).lower()
