import json
import random
import textwrap
from functools import reduce
from operator import add
from pathlib import Path

import pytest

from streams.devkit.demo_measures import Function, Measure, NotPython, measure


def measured(code: str, file: str = "x.py") -> Measure:
    return measure(textwrap.dedent(code).encode(), file)


def complexity(body: str) -> int:
    (function,) = measured(f"async def f(a, b, c):\n    {body}\n").worst
    return function.complexity


@pytest.mark.parametrize(
    ("body", "ways"),
    [
        ("return a", 1),
        ("return b if a else c", 2),
        ("return a and b", 2),
        ("return a and b or c", 3),
        ("while a: b()", 2),
        ("for x in a: b()", 2),
        ("async for x in a: b()", 2),
        ("return [x for x in a]", 2),
        ("return [x for y in a for x in y]", 3),
        ("with a: b()", 1),
        ("if a: b()\n    elif b: c()\n    else: a()", 3),
        ("try: a()\n    except KeyError: b()\n    except OSError: c()", 3),
        ("match a:\n        case 1: b()\n        case _: c()", 3),
    ],
)
def test_each_decision_is_one_more_way(body: str, ways: int) -> None:
    """McCabe's number: one, and one more for each place where the way forks."""
    assert complexity(body) == ways


def test_functions_and_classes_are_counted_wherever_they_are() -> None:
    """Methods, functions within functions and classes within `if` too."""
    found = measured("""\
        if True:
            class A:
                class B:
                    def method(self): pass
        def outer():
            async def inner(): pass
            return lambda: 1
        """)

    assert (found.files, found.lines) == (1, 7)
    assert (found.functions, found.classes) == (3, 2)
    assert {each.name for each in found.worst} == {
        "A.B.method",
        "outer",
        "outer.inner",
    }


def test_a_function_does_not_answer_for_those_within_it() -> None:
    """The decisions of an inner function are its own alone."""
    found = measured("""\
        def outer(a):
            def inner(b):
                if b: pass
                if b: pass
            if a: pass
        """)

    assert found.worst == (
        Function("outer.inner", "x.py", 2, 3),
        Function("outer", "x.py", 1, 2),
    )
    assert found.decisions == 3
    assert found.complexity == 2.5


def test_counting_together_does_not_depend_on_the_order() -> None:
    """Groups are measured in any order, and merged in any grouping."""
    files = list(Path(json.__file__).parent.glob("*.py"))
    parts = [measure(path.read_bytes(), path.name) for path in files]
    whole = reduce(add, parts, Measure())

    random.Random(4).shuffle(parts)
    halves = reduce(add, parts[:2]) + reduce(add, parts[2:])

    assert halves == whole
    assert whole.files == len(files) > 2
    assert whole.lines == sum(len(p.read_bytes().splitlines()) for p in files)
    assert "JSONEncoder.encode" in {each.name for each in whole.worst}


@pytest.mark.parametrize(
    "source", [b'print "hello"', b"def f(:", b"\0", b"# coding: no-such\n"]
)
def test_what_is_no_python_is_refused_with_its_place(source: bytes) -> None:
    """Whatever the parser raises, the file is named."""
    with pytest.raises(NotPython, match=r"^odd\.py"):
        measure(source, "odd.py")


def test_an_empty_file_has_no_mean() -> None:
    """Not a division by zero."""
    assert measured("").complexity == 0
