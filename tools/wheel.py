"""Puts compiled modules into a wheel, when asked to (docs/adr/0016).

    HATCH_BUILD_HOOK_ENABLE_CUSTOM=true pip wheel --no-deps .

The wheel is for this Python and this platform then; a C compiler must be there.
"""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledFolds(BuildHookInterface[Any]):
    """Adds a shared library beside the source of each module that is compiled."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, before the wheel is put together; nothing in an editable one."""
        if version == "editable":
            return
        self._scratch = tempfile.TemporaryDirectory(prefix="planstream-wheel-")
        root, scratch = Path(self.root), Path(self._scratch.name)
        # By its path: a build has no project on its own.
        compile_folds = runpy.run_path(str(root / "tools/compile.py"))
        libraries = compile_folds["compiled"](root, scratch)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"] |= {
            str(scratch / library): str(library) for library in libraries
        }

    def finalize(
        self,
        version: str,
        build_data: dict[str, Any],  # noqa: ARG002 - the interface
        artifact_path: str,  # noqa: ARG002
    ) -> None:
        """Remove what was compiled: the wheel has it."""
        if version != "editable":
            self._scratch.cleanup()
