"""Freed memory is kept: arrays that come and go cause no page faults."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource
from tiphys.base.allocator import keep_freed_memory
if not keep_freed_memory():
    raise SystemExit(3)
import numpy as np
def work():
    one = np.ones(65_536)
    return float((one * 2.0 + one).sum())
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_large_arrays_that_come_and_go_cause_no_page_faults() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 3:
        pytest.skip("this C library has no mallopt")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1000
