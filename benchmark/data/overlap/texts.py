"""When two captions are the same text to the model."""

import html


def same_text(caption: str) -> str:
    """A caption as CLIP's tokenizer reads it: two captions with equal results are one to it.

    That is open_clip's `SimpleTokenizer` before the byte-pair encoding (tokenizer.py,
    `basic_clean`, `whitespace_clean`, lower case): mojibake mended by ftfy, HTML entities
    resolved twice, white space collapsed. Captions that differ only beyond the 77th token count
    as different.
    """
    import ftfy  # a fifth of a second, and only captions need it

    plain = html.unescape(html.unescape(ftfy.fix_text(caption)))
    return " ".join(plain.split()).lower()
