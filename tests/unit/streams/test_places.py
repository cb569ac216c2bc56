from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from schemas.schema_errors import path_of
from streams.documents import Document
from streams.places import lines_of, places

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
    ),
)


def paths(value: object, *above: str | int) -> list[str]:
    """The paths of all that is in a value, in the order of the text."""
    inner: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    found = []
    for name, each in inner:
        found += [path_of((*above, name)), *paths(each, *above, name)]
    return found


@given(VALUES, st.sampled_from([None, 2]))
def test_every_value_is_found(value: object, indent: int | None) -> None:
    """Under the path that a violation would give it, in order."""
    found = list(places(json.dumps(value, indent=indent)))
    assert [path for path, _ in found] == paths(value)
    starts = [start for _, start in found]
    assert starts == sorted(starts)


def test_lines_are_those_of_the_file() -> None:
    """Of a member that is missing, it is the line of the nearest that is there."""
    value = b'{\n "plan": {\n  "steps": [{},\n  {"action":\n 1}]},\n "a.b": {"c": 1}}'
    wanted = {
        "plan": 11,
        "plan.name": 11,
        "plan.steps[0]": 12,
        "plan.steps[0].payload": 12,
        "plan.steps[1].action": 13,
        "plan.steps[1].depends_on[3]": 13,
        "plan.steps[7]": 12,
        "a.b.c": 15,
        "execution_id": 10,
        "": 10,
    }
    assert lines_of(Document(10, value), list(wanted)) == wanted


def test_what_was_filled_in_has_no_line_of_its_own() -> None:
    """The file is looked at, and not what was made of it."""
    written = Document(3, b'{"plan":\n{"name": ""}}')
    document = Document(3, b'{"execution_id": "", "plan": {"name": ""}}', written)
    assert lines_of(document, ["plan.name", "execution_id"]) == {
        "plan.name": 4,
        "execution_id": 3,
    }
