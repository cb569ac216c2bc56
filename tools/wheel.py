"""Puts compiled modules into a wheel, when asked to (docs/adr/0016).

    HATCH_BUILD_HOOK_ENABLE_CUSTOM=true pip wheel --no-deps .

The wheel is for this Python and this platform then; a C compiler must be there.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledFolds(BuildHookInterface[Any]):
    """Adds a shared library beside the source of each module that is compiled."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, before the wheel is put together; nothing in an editable one."""
        if version == "editable":
            return
        self._scratch = Path(tempfile.mkdtemp(prefix="planstream-wheel-"))
        root = Path(self.root)
        try:
            libraries = _compiling(root).compiled(root, self._scratch)
        except BaseException:
            shutil.rmtree(self._scratch)
            raise
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"] |= {
            str(self._scratch / library): str(library) for library in libraries
        }

    def finalize(
        self,
        version: str,
        build_data: dict[str, Any],  # noqa: ARG002 - the interface
        artifact_path: str,  # noqa: ARG002
    ) -> None:
        """Remove what was compiled: the wheel has it."""
        if version != "editable":
            shutil.rmtree(self._scratch)


def _compiling(root: Path) -> ModuleType:
    """Load `tools/compile.py`: a build has no project on its path."""
    spec = importlib.util.spec_from_file_location(
        "compile_folds", root / "tools/compile.py"
    )
    if spec is None or spec.loader is None:
        raise ImportError("tools/compile.py is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
