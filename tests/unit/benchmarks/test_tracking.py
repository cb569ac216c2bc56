"""The books of a run: one success for each plan, or a problem."""

from __future__ import annotations

from benchmarks.tracking import Answer, Tracker

PLAN, EXECUTION = b"plan", b"execution"
SUCCESS = Answer(PLAN, EXECUTION, b"success")


def waiting() -> Tracker:
    """Makes books with one plan under way since 10.0."""
    tracker = Tracker()
    tracker.sent(PLAN, EXECUTION, 10.0)
    return tracker


def test_an_answer_ends_the_wait_and_tells_the_latency() -> None:
    """A plan that ended well is no problem."""
    tracker = waiting()
    assert tracker.answer(SUCCESS, 12.5) == 2.5
    tracker.unanswered()
    assert not tracker.waiting
    assert not tracker.problems


def test_a_second_result_is_a_problem_and_has_no_latency() -> None:
    """A plan has one result."""
    tracker = waiting()
    tracker.answer(SUCCESS, 11.0)
    assert tracker.answer(SUCCESS, 12.0) is None
    assert tracker.problems == {"second result of a plan": 1}


def test_a_strangers_result_is_a_problem() -> None:
    """Nobody else uses the topics."""
    tracker = waiting()
    assert tracker.answer(Answer(b"other", EXECUTION, b"success"), 11.0) is None
    assert tracker.problems == {"result of an unknown plan": 1}


def test_a_result_that_is_no_success_is_a_problem() -> None:
    """It still ends the wait: the loop goes on."""
    tracker = waiting()
    assert tracker.answer(Answer(PLAN, EXECUTION, b"failure"), 11.0) == 1.0
    assert tracker.problems == {"result with status failure": 1}


def test_missing_headers_are_problems() -> None:
    """Status and execution id are promised."""
    tracker = waiting()
    tracker.answer(Answer(PLAN, None, None), 11.0)
    assert tracker.problems == {
        "result with status none": 1,
        "result with another execution id": 1,
    }


def test_dead_letters_and_wrong_content_are_problems() -> None:
    """Each kind is counted by itself."""
    tracker = waiting()
    tracker.rejected(b"DUPLICATE_EXECUTION")
    tracker.incorrect("result with wrong counts")
    assert tracker.problems == {
        "dead letter: DUPLICATE_EXECUTION": 1,
        "result with wrong counts": 1,
    }


def test_a_plan_without_a_result_is_a_problem() -> None:
    """At the end nothing may be left."""
    tracker = waiting()
    tracker.unanswered()
    assert tracker.problems == {"plan without a result": 1}
