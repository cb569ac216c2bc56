from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agents import HandlerError
from agents.discovery import discover
from agents.handlers import Registry, default_registry

GOOD = """
from agents import StepContext, action

@action("{name}")
async def handler(step: StepContext, payload: dict) -> None: ...
"""


class Home:
    """A folder that modules and packages can be imported from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def module(self, name: str, text: str) -> None:
        path = self.folder / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def entry_point(self, name: str, value: str) -> None:
        info = self.folder / "shop-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Name: shop\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[shop.actions]\n{name} = {value}\n")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(default_registry, "_handlers", {})
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return Home(tmp_path)


def said(*modules: str, group: str | None = None) -> str:
    """The one line that discovery fails with."""
    with pytest.raises(HandlerError) as caught:
        discover(modules, group=group)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_modules_are_imported_by_name(home: Home) -> None:
    """What they register is there."""
    home.module("shop_handlers", GOOD.format(name="ship"))
    home.module("shop_more.cards", GOOD.format(name="charge"))
    found = discover(["shop_handlers", "shop_more.cards"], group=None)
    assert set(found) == {"ship", "charge"}


def test_entry_points_are_loaded(home: Home) -> None:
    """Installed packages bring their handlers along."""
    home.module("shop_entry", GOOD.format(name="pack"))
    home.entry_point("shop", "shop_entry")
    assert set(discover(group="shop.actions")) == {"pack"}


def test_entry_points_may_name_a_function(home: Home) -> None:
    """Loading it imports its module, which registers it."""
    home.module("shop_entry2", GOOD.format(name="pack"))
    home.entry_point("shop", "shop_entry2:handler")
    assert set(discover(group="shop.actions")) == {"pack"}


def test_a_module_that_does_not_exist(home: Home) -> None:
    """A typing error, most likely."""
    assert said("no_such_handlers") == (
        "handlers module 'no_such_handlers' does not import: "
        "ModuleNotFoundError: No module named 'no_such_handlers'"
    )


def test_a_module_that_raises(home: Home) -> None:
    """The place is the line in the module."""
    home.module("shop_raises", "x = 1\ny = x / 0\n")
    message = said("shop_raises")
    assert "'shop_raises' does not import: ZeroDivisionError" in message
    assert message.endswith("shop_raises.py:2)")


def test_a_module_that_does_not_parse(home: Home) -> None:
    """The place is that of the syntax error."""
    home.module("shop_parse", "x = 1\ndef f(:\n")
    assert said("shop_parse").endswith("shop_parse.py:2)")


def test_a_module_that_exits(home: Home) -> None:
    """A script without a main guard."""
    home.module("shop_exits", "import sys\nsys.exit('no')\n")
    assert "SystemExit: no" in said("shop_exits")


def test_a_module_whose_import_fails_deeper(home: Home) -> None:
    """The place is the import that fails, not the first one."""
    home.module("shop_outer", "import shop_inner\n")
    home.module("shop_inner", "import no_such_thing_at_all\n")
    assert said("shop_outer").endswith("shop_inner.py:1)")


def test_a_name_that_is_none(home: Home) -> None:
    """Relative names and empty ones."""
    assert "handlers module '' does not import" in said("")
    assert "handlers module '.x' does not import" in said(".x")


def test_an_entry_point_that_does_not_load(home: Home) -> None:
    """Named with its package and version."""
    home.entry_point("shop", "no_such_shop.handlers")
    assert said(group="shop.actions") == (
        "entry point 'shop' = 'no_such_shop.handlers' of shop 1.2 does not load: "
        "ModuleNotFoundError: No module named 'no_such_shop'"
    )


def test_an_entry_point_without_its_attribute(home: Home) -> None:
    """The module is there, what it should have is not."""
    home.module("shop_entry3", GOOD.format(name="pack"))
    home.entry_point("shop", "shop_entry3:gone")
    assert "AttributeError" in said(group="shop.actions")


def test_two_modules_with_one_action(home: Home) -> None:
    """Both places, in one line."""
    home.module("shop_one", GOOD.format(name="ship"))
    home.module("shop_two", GOOD.format(name="ship"))
    message = said("shop_one", "shop_two")
    assert message.startswith("action 'ship' has two handlers: handler (")
    assert "shop_one.py:5" in message or "shop_one.py:4" in message
    assert "shop_two.py" in message


def test_a_handler_with_a_wrong_signature(home: Home) -> None:
    """As the registry says it, not wrapped in an import error."""
    home.module("shop_wrong", GOOD.replace("step: StepContext, payload: dict", ""))
    message = said("shop_wrong")
    assert message.startswith("handler handler (")
    assert "must take (step, payload)" in message


def test_an_annotation_that_does_not_resolve(home: Home) -> None:
    """Found at discovery, not with the first request."""
    text = "from __future__ import annotations\n" + GOOD.format(name="x")
    home.module("shop_hint", text.replace("dict", "Missing"))
    assert "annotations cannot be resolved: name 'Missing'" in said("shop_hint")


def test_a_registry_of_ones_own(home: Home) -> None:
    """For programs that do not want the shared one."""
    home.module("shop_none", "")
    own = Registry()
    assert discover(["shop_none"], group=None, registry=own) is own
