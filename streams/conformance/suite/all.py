"""All cases, or those of some rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from streams.config import Settings
from streams.conformance.cases import Case
from streams.conformance.suite.admission import admission
from streams.conformance.suite.codes import codes
from streams.conformance.suite.fields import fields, sizes
from streams.conformance.suite.handlers import handlers
from streams.conformance.suite.limits import limits
from streams.conformance.suite.nested import nested
from streams.conformance.suite.outcomes import outcomes
from streams.conformance.suite.prohibitions import prohibitions
from streams.exceptions import SettingsError

Maker = Callable[[Settings], Iterable[Case]]

MAKERS: Final[Sequence[Maker]] = (
    lambda _: fields(),
    lambda _: sizes(),
    lambda _: outcomes(),
    lambda _: codes(),
    handlers,
    lambda _: limits(),
    admission,
    lambda _: nested(),
    lambda _: prohibitions(),
)


def cases_of(settings: Settings, rules: Sequence[str] = ()) -> list[Case]:
    """Make the cases of some rules, of all without; for one run, with new plan ids.

    Args:
        settings: Of the installation: limits follow from them.
        rules: Their numbers, such as R14 or §5.2.

    Raises:
        SettingsError: There is no case of a rule.
    """
    every = [each for make in MAKERS for each in make(settings)]
    known = {rule for each in every for rule in each.rules}
    if unknown := [rule for rule in rules if rule not in known]:
        raise SettingsError([f"no case is about {rule}" for rule in unknown])
    if not rules:
        return every
    return [each for each in every if set(rules) & set(each.rules)]
