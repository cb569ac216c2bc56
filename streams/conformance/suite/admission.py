"""What is admitted, refused, moved or a dead letter (Refusals, R14, R34 to R38)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from agents.partitioner import partition_of
from schemas.results import Status
from streams.config import Settings
from streams.conformance.cases import (
    ANY,
    SUCCESS,
    Case,
    Err,
    Expected,
    Finding,
    Moment,
    Sent,
    case,
    failure,
    refused,
    success,
)
from streams.conformance.ends import context_of
from streams.conformance.making import (
    MISSING,
    In,
    Raw,
    changed,
    fails,
    new_id,
    sleeps,
    step,
    submission,
    written,
)
from streams.submissions import now_ms

_DEPENDENCIES: Final = "DEPENDENCY_UNRESOLVED"
_DEEPEST: Final = 200


def graphs() -> Iterator[Case]:
    """§1, R34: dangling dependencies, and cycles of any length."""
    yield case(
        "a dependency that is no step of the plan",
        "§1 §4 R34 R35 R20 Refusals",
        submission(step("a"), step("b", after=("a", "nobody"))),
        refused(_DEPENDENCIES, ("plan.steps[1].depends_on[1]", "dependencies")),
    )
    for length in (1, 2, 3, 1000):
        names = [f"s{number}" for number in range(length)]
        ring = [
            step(name, after=(names[number - 1],)) for number, name in enumerate(names)
        ]
        yield case(
            f"a cycle of {length}",
            "§1 §4 R34 R9 Refusals",
            submission(step("free"), *ring),
            refused(_DEPENDENCIES, ("plan.steps[1].depends_on", "dependencies")),
        )
    yield case(
        "a step that waits for a cycle",
        "§1 R34",
        submission(
            step("a", after=("b",)), step("b", after=("a",)), step("c", after=("b",))
        ),
        refused(_DEPENDENCIES, ("plan.steps[0].depends_on", "dependencies")),
    )


def windows() -> Iterator[Case]:
    """§2, R34: the deadline, the start and the plan's timeout."""
    window = ("deadline_ms", "window")
    table: tuple[tuple[str, int, int, int, tuple[tuple[str, str], ...]], ...] = (
        ("exactly the timeout", 0, 60_000, 60_000, ()),
        ("a millisecond less than the timeout", 0, 59_999, 60_000, (window,)),
        ("the deadline at the start", 70_000, 70_000, 60_000, (window, window)),
        ("the deadline before the start", 80_000, 70_000, 60_000, (window, window)),
        ("the deadline is past", -100_000, -10_000, 60_000, (window,)),
    )
    for name, start, deadline, timeout_ms, violations in table:
        made = submission(
            step("a"),
            timeout_ms=timeout_ms,
            members={"started_at": In(start), "deadline_ms": In(deadline)},
        )
        expected = refused("DEADLINE_EXCEEDED", *violations) if violations else SUCCESS
        rules = "§2 §4 R34 R20" + (" Refusals R35" if violations else "")
        yield case(f"window: {name}", rules, made, expected)


def environments() -> Iterator[Case]:
    """§2: what the plan requires must be there, whatever its value."""
    values: tuple[Any, ...] = (None, False, "", [], {})
    for value in values:
        made = submission(step("a"), members={"environment": {"where": value}})
        yield case(f"the required value is {value!r}", "§2", made, SUCCESS)
    missing = submission(
        step("a"),
        context_requirements=["where", "who", "what"],
        members={"environment": {"who": 1, "other": 2}},
    )
    yield case(
        "required names are missing",
        "§2 §4 R20 R35 Refusals",
        missing,
        refused(
            "CONTEXT_MISSING",
            ("environment.where", "environment"),
            ("environment.what", "environment"),
        ),
    )


def several() -> Iterator[Case]:
    """Refusals, R35: violations of all classes, and a great many."""
    made = submission(
        step("a", action=""),
        step("b", after=("nobody",)),
        timeout_ms=10**9,
        context_requirements=["who"],
    )
    every = (
        ("plan.steps[0].action", "schema"),
        ("plan.steps[1].depends_on[0]", "dependencies"),
        ("deadline_ms", "window"),
        ("environment.who", "environment"),
    )
    yield case(
        "violations of all classes",
        "Refusals R35",
        made,
        refused("INVALID_PAYLOAD", *every),
    )
    without_schema = changed(made, "plan.steps[0].action", "conformance")
    yield case(
        "violations of all classes but the first",
        "Refusals R35",
        _again(without_schema),
        refused(_DEPENDENCIES, *every[1:]),
    )
    many = submission(*[step(f"s{n}", action="", extra=1) for n in range(40)])

    def counted(finding: Finding) -> Iterator[str]:
        error = finding.seen.results[0].error
        context: dict[str, Any] = {} if error is None else context_of(error)
        found = (len(context["violations"]), context["violations_total"])
        if found != (50, 80):
            yield f"R35: {found[0]} violations of {found[1]} are listed"

    yield case("eighty violations", "R35", many, refused("INVALID_PAYLOAD"), counted)
    for steps, total in (("none", 0), ({}, 0), ([1, 2, 3], 3)):
        broken = changed(submission(step("a")), "plan.steps", steps)
        expected = replace(refused("INVALID_PAYLOAD"), total=total)
        yield case(f"steps are {steps!r}", "R35 Refusals", broken, expected)


def _again(made: dict[str, Any]) -> dict[str, Any]:
    return changed(made, "plan.id", new_id())


def duplicates() -> Iterator[Case]:
    """R14, §6.2, §6.6, §6.11: a plan id is used once, whatever becomes of the plan."""
    duplicate = "DUPLICATE_EXECUTION"
    ends: tuple[tuple[str, Any, Expected], ...] = (
        ("succeeds", step("a", sleeps(1000)), SUCCESS),
        (
            "fails",
            step("a", fails("NO")),
            failure(Err("EXECUTION_HALTED", step="a", cause=ANY)),
        ),
        ("is refused", step("a", action=""), refused("INVALID_PAYLOAD")),
    )
    for name, one, expected in ends:
        made = submission(one)
        others = {
            "the same": made,
            "another execution id": changed(made, "execution_id", new_id()),
            "other steps": changed(made, "plan.steps", [step("other")]),
            "an invalid plan": changed(made, "plan.steps", "none"),
        }
        log = (
            {}
            if name == "is refused"
            else {"a": ("ok",) if name == "succeeds" else ("NO",)}
        )
        yield case(
            f"duplicates of a plan that {name}",
            "R14 §5 §6.1 §6.2 §6.6 §6.11 Refusals",
            made,
            replace(expected, log=log),
            then=tuple(
                Sent(value, duplicate, when=moment)
                for moment in (Moment.AT_ONCE, Moment.ENDED)
                for value in others.values()
            ),
        )
    two = submission(step("a"), step("b", fails("NO"), on_failure="skip"))
    yield case(
        "a duplicate of a partial plan",
        "R14 §5.2 §6.6 §6.11",
        two,
        replace(_partial(), log={"a": ("ok",), "b": ("NO",)}),
        then=(Sent(two, duplicate, when=Moment.ENDED),),
    )


def _partial() -> Expected:
    cause = Err("NO", "error", "b")
    return Expected(Status.PARTIAL, Err("STEP_SKIPPED", "warn", "b", cause))


def dead_letters() -> Iterator[Case]:
    """Refusals, R37, R38: what cannot be read, and what has no ids."""
    made = submission(step("a"))
    text = written(made, now_ms())
    malformed: dict[str, bytes | None] = {
        "a tombstone": None,
        "nothing": b"",
        "half a record": text[:-1].encode(),
        "more than a record": (text + "x").encode(),
        "no object": b"[]",
        "a byte order mark": b"\xef\xbb\xbf" + text.encode(),
        "UTF-16": text.encode("utf-16"),
        "no UTF-8": text.encode().replace(b"here", b"h\xffre"),
        "NaN": text.replace('"here"', "NaN").encode(),
        "infinity": text.replace('"here"', "-Infinity").encode(),
        "a name twice": text.replace('"name"', '"version":1,"name"', 1).encode(),
        "a name twice in an opaque value": text.replace(
            '"here"', '{"a":1,"a":1}'
        ).encode(),
        "a lone surrogate": text.replace('"here"', '"\\ud800"').encode(),
        "Avro of no schema of ours": b"\xc3\x01" + bytes(20),
    }
    for name, value in malformed.items():
        yield _letter(name, "R37 R38 Refusals", value, "MALFORMED")
    for path in ("plan.id", "execution_id"):
        for wrong in (MISSING, None, 1, "x", new_id().upper() + "X"):
            broken = changed(submission(step("a")), path, wrong)
            yield _letter(
                f"{path} {wrong!r:.12}", "R38 §2 §1 Refusals", broken, "INVALID_ID"
            )
    yield _letter("no plan", "R38 Refusals", {"execution_id": new_id()}, "INVALID_ID")


def _letter(name: str, rules: str, value: Any, reason: str) -> Case:
    sent = (Sent(value, reason, headers=(("trace", b"\xff\x00"),)),)
    keeps = _Keeps(value)
    return Case(
        f"dead letter: {name}", tuple(rules.split()), sent, new_id(), None, (keeps,)
    )


class _Keeps:
    """R38: key, value and headers stay; what is added stands behind them."""

    ADDED = (
        *("reason", "reason-detail", "source-topic", "source-partition"),
        *("source-offset", "source-timestamp"),
    )

    def __init__(self, value: Any) -> None:
        self._value = value

    def __call__(self, finding: Finding) -> Iterator[str]:
        """Look at the dead letters with the case's key."""
        key = finding.case.plan_id.encode()
        letters = [each for each in finding.ledger.rejected if each.key == key]
        if len(letters) != 1:
            yield f"R38: {len(letters)} dead letters have the key"
            return
        names = tuple(name for name, _ in letters[0].headers)
        if names != ("trace", *self.ADDED) or letters[0].headers[0][1] != b"\xff\x00":
            yield f"R38: the headers are {names}"
        raw = isinstance(self._value, bytes) or self._value is None
        if raw and letters[0].value != (self._value):
            yield "R38: the value has changed"


def sizes(settings: Settings) -> Iterator[Case]:
    """R37, R38, Refusals: records that are large or nest deep."""
    most = settings.max_submission_bytes
    for name, size, expected in (
        ("as large as allowed", most, SUCCESS),
        ("larger than allowed", most + 1, refused("RESOURCE_EXHAUSTED")),
    ):
        made = submission(step("a"))
        at = now_ms()
        filler = size - len(written(changed(made, "plan.metadata", {"f": ""}), at))
        full = changed(made, "plan.metadata", {"f": "x" * filler})
        # Instants have as many digits then as now.
        yield case(f"a submission {name}", "R38 Refusals §4", full, expected)
    nobodys = {"execution_id": new_id(), "filler": "x" * most}
    yield _letter("too large, without ids", "R38 Refusals", nobodys, "TOO_LARGE")
    for depth, ok in ((_DEEPEST, True), (_DEEPEST + 1, False)):
        levels = depth - 2  # the submission and its environment
        deep = Raw("[" * levels + "]" * levels)
        made = submission(step("a"), members={"environment": {"where": deep}})
        yield case(
            f"{depth} levels",
            "R37 R32 Refusals",
            # Of what nests too deep nothing but the ids is read: it has no start.
            made,
            SUCCESS if ok else refused("RESOURCE_EXHAUSTED"),
            start_is_read=ok,
        )
        if not ok:
            without = {"execution_id": new_id(), "deep": deep, "x": [deep]}
            yield _letter("too deep, without ids", "R37 R38", without, "TOO_DEEP")


def arrivals(settings: Settings) -> Iterator[Case]:
    """R36, R37, R14: where and how a submission may lie."""
    for key in (None, b"another", b"\xff\xfe"):
        for astray in range(min(3, settings.partitions)):
            yield case(
                f"key {key!r}, {astray} partitions beside its own",
                "R36",
                submission(step("a")),
                success(log={"a": ("ok",)}),
                _on_its_partition(settings),
                key=key,
                astray=astray,
                headers=(("trace", b"1"),),
            )
    made = submission(step("a"))
    yield case("Avro", "§1 §2 R37", made, SUCCESS, is_avro=True)
    wide = {**submission(step("a")), "user_id": Raw(" \n\t\r null \n ")}
    yield case("white space", "R37", wide, SUCCESS)


def _on_its_partition(settings: Settings) -> Any:
    def check(finding: Finding) -> Iterator[str]:
        own = partition_of(finding.case.plan_id.encode(), settings.partitions)
        found = finding.seen.records[0].partition
        if found != own:
            yield f"R36: the result lies on partition {found}, not {own}"

    return check


def beside_a_plan() -> Iterator[Case]:
    """R14, §6.14: what cannot be read neither uses an id up nor touches its plan."""
    made = submission(step("a", sleeps(1000)))
    half = written(made, now_ms())[:-1].encode()
    yield case(
        "malformed records with the key of a plan that runs",
        "R14 R38 §6.14",
        made,
        success(log={"a": ("ok",)}),
        then=(Sent(half, "MALFORMED"), Sent(None, "MALFORMED")),
    )


def admission(settings: Settings) -> Iterator[Case]:
    """All of these."""
    for make in (graphs, windows, environments, several, duplicates, dead_letters):
        yield from make()
    yield from sizes(settings)
    yield from arrivals(settings)
    yield from beside_a_plan()
