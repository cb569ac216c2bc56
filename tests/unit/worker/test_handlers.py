from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from agents import ActionError, HandlerError, StepContext, action
from agents.failures import StepUnfit
from agents.handlers import Handler, Registry, default_registry


class Charge(BaseModel):
    card: str
    cents: int


@dataclass
class Parcel:
    weight: float


class Note(TypedDict):
    text: str


async def charge(step: StepContext, payload: Charge) -> dict[str, Any]:
    return {"cents": payload.cents}


def plain(step: StepContext, payload: dict[str, Any]) -> None:
    """Runs in a child process."""


def register(function: Callable[..., Any], name: str) -> None:
    registry = Registry()
    registry.add(name, function)
    registry.check()


def refusal(function: Callable[..., Any], name: str = "a") -> str:
    """What the registry says about a function that cannot be a handler."""
    with pytest.raises(HandlerError) as caught:
        register(function, name)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_decorating_leaves_the_function_as_it_is() -> None:
    """A handler can be called, and tested, like any function."""
    registry = Registry()
    assert registry.action("charge")(charge) is charge
    assert registry["charge"].function is charge
    assert registry["charge"].is_async


def test_the_public_decorator_fills_the_default_registry() -> None:
    """`agents.action` needs no registry of the user's own."""

    @action("test-handlers-default")
    async def handler(step: StepContext) -> None: ...

    assert default_registry["test-handlers-default"].function is handler


def test_plain_functions_are_told_from_coroutine_functions() -> None:
    """A plain def runs in a child process."""
    assert not Handler("a", plain).is_async


def test_a_wrapped_coroutine_function_is_async() -> None:
    """A decorator that is no coroutine function itself changes nothing."""

    @functools.wraps(charge)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return charge(*args, **kwargs)

    assert Handler("a", wrapper).is_async


def test_two_handlers_for_one_action_are_refused_with_both_places() -> None:
    """Neither silently wins."""

    async def other(step: StepContext) -> None: ...

    registry = Registry()
    registry.add("charge", charge)
    with pytest.raises(HandlerError) as caught:
        registry.add("charge", other)
    message = str(caught.value)
    assert message.startswith("action 'charge' has two handlers: charge (")
    assert message.count("test_handlers.py:") == 2
    assert registry["charge"].function is charge


def test_a_module_imported_twice_registers_once() -> None:
    """The same lines under two module names are the same handler."""
    registry = Registry()
    registry.add("charge", charge)
    registry.add("charge", charge)
    assert list(registry) == ["charge"]


def test_a_handler_may_do_without_a_payload() -> None:
    """The step alone is enough; the payload is not even parsed."""

    async def ping(step: StepContext) -> None: ...

    registry = Registry()
    registry.add("ping", ping)
    step = StepContext.sample()
    assert registry["ping"].arguments(step, "no JSON at all") == (step,)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (Charge, Charge(card="1", cents=5)),
        (dict, {"card": "1", "cents": 5}),
        (dict[str, Any], {"card": "1", "cents": 5}),
        (Any, {"card": "1", "cents": 5}),
    ],
)
def test_the_payload_comes_as_annotated(payload: Any, expected: Any) -> None:
    """A pydantic model, a dict or anything."""

    async def handler(step: StepContext, payload: Any) -> None: ...

    handler.__annotations__["payload"] = payload
    step = StepContext.sample()
    arguments = Handler("a", handler).arguments(step, '{"card": "1", "cents": 5}')
    assert arguments == (step, expected)


def test_the_payload_may_be_a_dataclass_or_a_typed_dict() -> None:
    """Whatever pydantic can read from a JSON object."""

    async def pack(step: StepContext, payload: Parcel) -> None: ...
    async def write(step: StepContext, payload: Note) -> None: ...

    step = StepContext.sample()
    assert Handler("a", pack).arguments(step, '{"weight": 2}')[1] == Parcel(2.0)
    assert Handler("a", write).arguments(step, '{"text": "x"}')[1] == {"text": "x"}


def test_a_payload_without_annotation_is_a_dict() -> None:
    """Annotations help, but nobody has to write them."""

    async def handler(step, payload) -> None: ...  # type: ignore[no-untyped-def]

    step = StepContext.sample()
    assert Handler("a", handler).arguments(step, '{"a": 1}') == (step, {"a": 1})


def test_a_mismatch_names_the_places_not_the_values() -> None:
    """INVALID_PAYLOAD, fatal; the payload may hold secrets (F12)."""
    text = '{"card": 4242424242, "cents": "many"}'
    with pytest.raises(StepUnfit) as caught:
        Handler("a", charge).arguments(StepContext.sample(), text)
    failure = caught.value.failure
    assert (failure.code, failure.severity) == ("INVALID_PAYLOAD", "fatal")
    assert "payload.cents: Input should be a valid integer" in failure.message
    assert [each["path"] for each in failure.context["violations"]] == [
        "payload.card",
        "payload.cents",
    ]
    assert "4242" not in str(failure)
    assert "many" not in str(failure)


@pytest.mark.parametrize("text", ["[1]", "null", "{", '{"a": NaN}', "", "[" * 100_000])
def test_a_payload_that_is_no_json_object_is_invalid(text: str) -> None:
    """Whatever stands there, it is the plan's fault, not the worker's."""

    async def handler(step: StepContext, payload: dict[str, Any]) -> None: ...

    with pytest.raises(StepUnfit) as caught:
        Handler("a", handler).arguments(StepContext.sample(), text)
    assert caught.value.failure.code == "INVALID_PAYLOAD"


class TestRefusals:
    """Each is one line that names the place."""

    def test_no_parameters(self) -> None:
        """The step is what a handler is given first."""

        async def handler() -> None: ...

        message = refusal(handler)
        assert "TestRefusals.test_no_parameters" in message
        assert "test_handlers.py:" in message
        assert "must take (step, payload) or (step), not ()" in message

    def test_too_many_parameters(self) -> None:
        """There is nothing else to give."""

        async def handler(step: StepContext, payload: Charge, more: int) -> None: ...

        assert "must take (step, payload)" in refusal(handler)

    def test_swapped_parameters(self) -> None:
        """Found before the first request does."""

        async def handler(payload: Charge, step: StepContext) -> None: ...

        assert "its first parameter is the StepContext" in refusal(handler)

    def test_unresolvable_annotation(self) -> None:
        """A class that the module does not have."""

        async def handler(step: StepContext, payload: Missing) -> None: ...  # type: ignore[name-defined] # noqa: F821

        assert "name 'Missing' is not defined" in refusal(handler)

    @pytest.mark.parametrize("kind", [int, str, list[int], None, tuple])
    def test_annotation_that_no_object_fits(self, kind: Any) -> None:
        """A payload is always a JSON object."""

        async def handler(step: StepContext, payload: Any) -> None: ...

        handler.__annotations__["payload"] = kind
        assert "a payload is a JSON object" in refusal(handler)

    def test_annotation_that_pydantic_does_not_know(self) -> None:
        """A class without fields to read."""

        class Opaque: ...

        async def handler(step: StepContext, payload: Any) -> None: ...

        handler.__annotations__["payload"] = Opaque
        assert "its payload annotation is unfit" in refusal(handler)

    def test_generators(self) -> None:
        """A result is one value."""

        async def handler(step: StepContext) -> AsyncIterator[int]:
            yield 1

        assert "it yields" in refusal(handler)

    def test_plain_functions_that_a_child_cannot_import(self) -> None:
        """A closure stays in the process that made it."""

        def handler(step: StepContext) -> None: ...

        assert "top of an importable module" in refusal(handler)

    def test_things_that_are_no_function(self) -> None:
        """A class with __call__ has no place to name."""
        assert "is no function" in refusal(StepContext)

    @pytest.mark.parametrize("name", ["", "x" * 101])
    def test_names_that_no_plan_can_use(self, name: str) -> None:
        """An action has 1 to 100 characters (§1)."""
        assert "1 to 100 characters" in refusal(charge, name)

    def test_the_built_in_action(self) -> None:
        """Nested plans are planstream's own (§6.5)."""
        assert "built in" in refusal(charge, "execute_plan")

    def test_the_decorator_without_a_name(self) -> None:
        """The commonest slip of all."""
        with pytest.raises(HandlerError, match=r"write @action\(\"its-name\"\)"):
            action(charge)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", ["STEP_TIMEOUT", "UNKNOWN_ERROR", "", "x" * 51, 5])
def test_codes_that_a_handler_may_not_use(code: Any) -> None:
    """R25: refused where the error is built."""
    with pytest.raises(ValueError, match=r"code|reserved"):
        ActionError(code, "no")


@pytest.mark.parametrize("severity", ["warn", "bad", ""])
def test_severities_that_a_handler_may_not_use(severity: str) -> None:
    """R25: `error` or `fatal`; a warning is no failure."""
    with pytest.raises(ValueError, match="severity"):
        ActionError("MINE", severity=severity)


def test_codes_that_a_handler_may_use() -> None:
    """R25: `STEP_ERROR` is one of them."""
    assert ActionError("STEP_ERROR").severity == "error"
    assert ActionError("x" * 50, severity="fatal").severity == "fatal"
    assert str(ActionError("MINE", "so it is")) == "MINE: so it is"
