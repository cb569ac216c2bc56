"""What a process does to itself before it runs."""

import subprocess
import sys

LOOKED = """
import gc
import weakref
from streams.runtime.process import GARBAGE, ease_collector
ease_collector()
assert gc.get_threshold() == GARBAGE
assert gc.get_freeze_count() > 10_000

class Ring:
    pass

ring = Ring()
ring.itself = ring
seen = weakref.ref(ring)
del ring
assert seen() is not None
gc.collect()
assert seen() is None
"""


def test_garbage_is_looked_for_among_what_is_new() -> None:
    """More rarely than by default, and never among what was imported."""
    subprocess.run([sys.executable, "-c", LOOKED], check=True, timeout=60)
