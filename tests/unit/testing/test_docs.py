import re
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[3] / "docs" / "testing.md"


def test_the_documented_test_passes() -> None:
    """The example is run as it stands."""
    (example,) = re.findall(
        r"^```python\n(.*?)^```", DOCUMENT.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    names: dict[str, Any] = {"__name__": "documented"}

    exec(compile(example, str(DOCUMENT), "exec"), names)

    names["test_a_busy_carrier_is_asked_again"]()
