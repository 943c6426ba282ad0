"""Text of any encoding that editors write: by its byte order mark, or one sentence."""

import codecs
from pathlib import Path

import pytest

from benchmark.common.files import file_text
from benchmark.errors import BenchError

TEXT = 'name = "größe"\r\n日本 \U0001f600\n'
WORDS = "image,caption\r\n0.png,Größe\r\n"


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_text_is_read_by_its_byte_order_mark(tmp_path: Path, mark: bytes, encoding: str) -> None:
    """The marks of Unicode 16, table 3-6; line ends are kept."""
    file = tmp_path / "t.csv"
    file.write_bytes(mark + TEXT.encode(encoding))
    assert file_text(file) == TEXT
    file.write_bytes(mark)
    assert file_text(file) == ""


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_known_without_a_mark(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(WORDS.encode(encoding))
    assert file_text(file) == WORDS


@pytest.mark.parametrize(
    ("raw", "got"),
    [
        ("a,größe".encode("cp1252"), "invalid start byte at byte 4 of 7 (b'\\xf6\\xdfe')"),
        (b"\xff\xfea\0b", "truncated data at byte 4 of 5"),
        (b"\xff\xfe\0\xd8a\0", "at byte 2 of 6"),  # half of a pair
        (b"PK\3\4\0\0\0\0", "a zero byte after 4 characters"),
        ("日本".encode("utf-16-le"), "at byte 0"),
        ("日本語日本語日本語, a".encode("utf-16-le"), "at byte 0"),
        (b"a\0b,c,d,e", "a zero byte after 1 characters, as in a file that is no text, or in"),
        (codecs.BOM_UTF16_LE + "a\0b".encode("utf-16-le"), "a zero byte after 1"),
    ],
)
def test_what_is_no_text_is_refused_with_the_place(tmp_path: Path, raw: bytes, got: str) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(raw)
    with pytest.raises(BenchError) as error:
        file_text(file)
    assert got in error.value.got
    assert "text in" in error.value.expected
    assert error.value.fix == "save the file as UTF-8"


def test_a_missing_file_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no file"):
        file_text(tmp_path / "t.csv")
