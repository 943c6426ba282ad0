"""What a user gave stands in a message short and whole enough to be told from anything else."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import BenchError, difference, folded, nearest, quoted

CAFE, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("café", "'café'"),
        ("it's", '"it\'s"'),
        ("a\nb\x1b[31m", r"'a\nb\x1b[31m'"),
        ("a\u200bb", r"'a\u200bb'"),  # zero width
        ("a\u202eb", r"'a\u202eb'"),  # right to left from here
        ("a\u00a0b", r"'a\xa0b'"),
        ("\ufeffid", r"'\ufeffid'"),
        ("a\u3164", r"'a\u3164'"),  # a letter of Korean that has no mark
        ("\ud800", r"'\ud800'"),  # cannot be printed at all
        (b"\x89PNG", r"b'\x89PNG'"),
        (["a", None], "['a', None]"),
        (0.5, "0.5"),
        ("x" * 80, "'" + "x" * 80 + "'"),
        ("x" * 15000, "'" + "x" * 80 + "...' (15000 characters)"),
        (b"x" * 81, "b'" + "x" * 80 + "...' (81 bytes)"),
    ],
)
def test_quoted(value: object, shown: str) -> None:
    assert quoted(value) == shown


@given(st.one_of(st.text(), st.binary(), st.lists(st.text())))
def test_whatever_is_quoted_is_short_and_printable(value: object) -> None:
    shown = quoted(value)
    assert len(shown) <= 120
    assert shown.isprintable()
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not hidden & {unicodedata.category(c) for c in shown}


@given(st.text(max_size=20), st.text(max_size=20))
def test_two_short_texts_are_quoted_alike_only_if_they_are_the_same(one: str, other: str) -> None:
    assert (quoted(one) == quoted(other)) == (one == other)


@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=5))
def test_what_was_given_is_never_offered(word: str, known: list[str]) -> None:
    assert nearest(word, [*known, word]) == nearest(word, [k for k in known if k != word])


@pytest.mark.parametrize(
    ("word", "name", "how"),
    [
        (CAFE, DECOMPOSED, "only by Unicode normalisation (NFC, NFD)"),
        (DECOMPOSED, CAFE, "only by Unicode normalisation (NFC, NFD)"),
        ("ca\u200bt", "cat", "only by characters that cannot be seen"),
        ("cat ", "cat", "only by spaces"),
        ("hot\u00a0dog", "hot dog", "only by spaces"),
        ("hot  dog", "hot dog", "only by spaces"),
        ("CAT", "cat", "only by case"),
        ("Cat ", "cat", "only by spaces and case"),
        ("CAF\u00c9", DECOMPOSED, "only by Unicode normalisation (NFC, NFD) and case"),
        ("\uff43at", "cat", "only by compatibility characters (NFKC)"),
        ("\u0441at", "cat", "LATIN SMALL LETTER C in the place of CYRILLIC SMALL LETTER ES"),
    ],
)
def test_a_name_that_looks_like_another(word: str, name: str, how: str) -> None:
    assert how in difference(word, name)
    assert bool(difference(name, word))
    told = nearest(word, ["dog", name])
    assert told.startswith(f"did you mean '{name}'")
    assert how in told


def test_two_that_cannot_be_told_apart_are_written_in_escapes() -> None:
    assert nearest(CAFE, [DECOMPOSED]) == (
        rf"did you mean '{DECOMPOSED}', written 'cafe\u0301' and not 'caf\xe9', "
        "which differs only by Unicode normalisation (NFC, NFD)"
    )


def test_what_looks_different_differs_by_nothing_in_particular() -> None:
    assert difference("cat", "car") == difference("cat", "cat") == difference("", "a") == ""
    assert difference("日本", "日木") == ""  # both of one script
    assert nearest("capton", ["caption", "zebra"]) == "did you mean 'caption'"


@given(st.text(max_size=20))
def test_all_forms_of_a_text_fold_into_one(text: str) -> None:
    for form in (unicodedata.normalize("NFD", text), f" {text}\t", f"{text}\u200b"):
        assert folded(form) == folded(text)


def test_a_flood_is_cut_in_every_part_and_both_ends_are_kept() -> None:
    error = BenchError("a", f"begin {'x' * 15000} end", "mend\n" * 1000)
    assert len(str(error)) < 2000
    assert error.got.startswith("begin")
    assert error.got.endswith("end")
    assert "(15010 characters)" in error.got
    assert "(1001 lines)" in error.fix


def test_a_message_cannot_move_the_cursor_and_can_be_printed() -> None:
    error = BenchError("a\x1b[2J", "b\ud800\u202e\u200b", "c\r")
    assert str(error) == r"expected a\x1b[2J, got b\ud800\u202e\u200b; c\r."
