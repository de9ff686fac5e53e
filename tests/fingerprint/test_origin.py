"""Where code comes from, asked for by several threads at once."""

from __future__ import annotations

import fractions
import statistics
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor

from crystallize_core.fingerprint import origin


def test_the_paths_of_the_standard_library_are_asked_for_by_one_thread_at_a_time(monkeypatch):
    """`sysconfig` fills its variables when it is asked first, and fails whoever reads them meanwhile."""
    met, get_path, together = threading.Barrier(2), sysconfig.get_path, []

    def met_by_another(name):
        try:
            met.wait(0.1)
        except threading.BrokenBarrierError:
            return get_path(name)
        together.append(name)
        return get_path(name)

    monkeypatch.setattr(sysconfig, "get_path", met_by_another)
    origin._standard_folders.cache_clear()
    origin._classified.cache_clear()
    with ThreadPoolExecutor(2) as threads:
        found = [*threads.map(origin.origin_of, [fractions.Fraction, statistics.NormalDist])]
    assert (found, together) == ([(origin.Origin.STANDARD, "")] * 2, [])
