import io
from collections.abc import Iterator

import pytest

from streams.documents import Document, documents


def split(data: bytes) -> list[tuple[int, bytes]]:
    """Split a file; give lines and bytes."""
    return [(each.line, each.value) for each in documents(io.BytesIO(data))]


def test_a_line_is_a_submission_its_bytes_untouched() -> None:
    """Blank lines count, and are nothing."""
    data = b'{"a" :1.0e2}\n\n  {"b":"\xc3\xa9"}  \r\n'
    assert split(data) == [(1, b'{"a" :1.0e2}'), (3, b'{"b":"\xc3\xa9"}')]


def test_a_document_may_be_laid_out_over_lines() -> None:
    """As editors and formatters write it; without a line's end too."""
    data = b'\n{\n  "a": 1\n}'
    assert split(data) == [(2, b'{\n  "a": 1\n}')]


def test_several_documents_may_be_laid_out() -> None:
    """One after the other, each told by the line it begins on."""
    data = b'{\n"a": "\xc3\xa9"\n}\n{"b": [\n1]}\n\n{"c": 1}\n'
    assert [line for line, _ in split(data)] == [1, 4, 7]
    assert b"".join(value for _, value in split(data)) == data.replace(
        b"}\n", b"}"
    ).replace(b"\n{", b"{")


def test_a_broken_line_does_not_hide_the_others() -> None:
    """Even if it is the first one."""
    assert split(b'{"a": \n{"b": 1}\nnope\n{"c": 1}\n') == [
        (1, b'{"a":'),
        (2, b'{"b": 1}'),
        (3, b"nope"),
        (4, b'{"c": 1}'),
    ]


@pytest.mark.parametrize("data", [b"hello", b"\xff\xfe", b'{\n"a":\n', b"[" * 100_000])
def test_what_is_no_json_is_handed_on_whole(data: bytes) -> None:
    """Whoever decodes it says what is wrong."""
    (found,) = split(data)
    assert found == (1, data)


def test_the_rest_after_a_broken_document_is_handed_on_with_it() -> None:
    """Where the next one begins is anybody's guess."""
    data = b'{\n"a": 1}\n{"b": oops}\n'
    assert split(data) == [(1, b'{\n"a": 1}'), (3, b'{"b": oops}\n')]


def test_an_empty_file_has_no_submissions() -> None:
    """Nor has one of blank lines."""
    assert split(b"") == split(b"\n \n") == []


def test_lines_are_handed_on_as_they_come() -> None:
    """A pipe that stays open must not hold back what it has brought."""
    read = []

    def lines() -> Iterator[bytes]:
        for number in range(3):
            read.append(number)
            yield b'{"a": 1}\n'

    found = documents(lines())
    next(found)
    assert read == [0]


def test_a_position_is_found_in_the_file() -> None:
    """Positions count from the document's start, lines from the file's."""
    document = Document(5, b'{\n"a": 1,\nx}')
    assert document.line_of(10) == 7
    assert document.line_of(None) == 5
