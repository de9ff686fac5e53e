"""The engine: compiles steps and stack into a plan, and runs replicates by it.

There is one engine for sync and async: the work of a replicate is a generator that yields whatever has
to be awaited (`cell.py`), and `drive.py` answers it from a plain call or from a coroutine.
"""
