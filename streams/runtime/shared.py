"""What the apps of one process share."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence

from agents.watchdog import Watchdog, nobody
from streams.config import Settings
from streams.runtime.exits import die
from streams.runtime.telling import Telling

BLOCKED_WARN_S, BLOCKED_LIMIT_S = 1.0, 30.0


class Shared:
    """The line that says that a process is ready, its health, the watch over its loop.

    Args:
        settings: of the process.
        name: what the process is called when it is ready.
        roles: of its apps; by default one, of the process's name.

    Attributes:
        telling: where health is told.
        naming: says whose attempt a task makes, once somebody knows.
    """

    def __init__(
        self, settings: Settings, name: str, roles: Sequence[str] = ()
    ) -> None:
        self._roles = tuple(roles) or (name,)
        self.telling = Telling(settings, len(self._roles))
        self.naming: Callable[[object], str | None] = nobody
        self._name = name
        self._ready: dict[str, str] = {}
        self._has_said = False

    @property
    def is_combined(self) -> bool:
        """Whether there are several apps."""
        return len(self._roles) > 1

    def say_ready(self, role: str, what: str) -> None:
        """Print that all are ready, the first time; later lines are logged."""
        self._ready[role] = what
        if self._has_said:
            logging.getLogger("planstream").info("%s ready: %s", role, what)
        elif self._ready.keys() >= set(self._roles):
            self._has_said = True
            all_of_it = "; ".join(self._ready[each] for each in self._roles)
            sys.stdout.write(f"planstream {self._name} ready: {all_of_it}\n")
            sys.stdout.flush()

    def watch(self) -> Watchdog:
        """Make what watches the running loop; it is not started."""
        return Watchdog(
            asyncio.get_running_loop(),
            BLOCKED_WARN_S,
            BLOCKED_LIMIT_S,
            self._name_of,
            die,
            # Handlers run here, too, and may hold the interpreter's lock.
            exit_when_frozen=self.is_combined,
        )

    def _name_of(self, task: object) -> str | None:
        return self.naming(task)
