import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from streams.packages import PackageMixup, check_packages

ROOT = Path(__file__).parents[3]


def test_our_own_packages_pass() -> None:
    """As they lie in the checkout, or as they are installed."""
    check_packages()


@pytest.mark.parametrize("package", ["agents", "schemas"])
def test_another_distributions_package_is_told_apart(
    tmp_path: Path, package: str
) -> None:
    """Without importing it; the message says where it lies and what to do."""
    foreign = tmp_path / package
    foreign.mkdir()
    (foreign / "__init__.py").write_text("raise SystemExit('it was imported')")
    code = "from streams.packages import check_packages; check_packages()"

    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; {code}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 1
    assert f"The package {package!r} in {foreign} is not planstream's" in answer.stderr
    assert "virtual environment" in answer.stderr


def test_a_module_in_place_of_a_package_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file agents.py beside one's handlers, for example."""
    module = tmp_path / "agents.py"
    module.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "agents", raising=False)
    importlib.invalidate_caches()

    with pytest.raises(PackageMixup) as caught:
        check_packages()
    assert (caught.value.package, caught.value.found) == ("agents", module)


def test_a_missing_package_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an installation is as bad as a wrong one."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[-1:])
    monkeypatch.delitem(sys.modules, "schemas", raising=False)
    importlib.invalidate_caches()

    with pytest.raises(PackageMixup, match="There is no package 'schemas'"):
        check_packages()
