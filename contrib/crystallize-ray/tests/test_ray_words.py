"""What Ray says of an error, in short."""

from __future__ import annotations

from crystallize_ray.words import in_short


def test_of_a_traceback_from_elsewhere_the_last_line_remains():
    """Without the colours that Ray writes it in."""
    text = 'The actor died, \x1b[36mray::Runner.__init__()\x1b[39m\n  File "a.py", line 1\n    b\nImportError: broken\n'
    assert in_short(RuntimeError(text)) == "ImportError: broken"


def test_of_a_dead_worker_its_process_its_place_and_its_end_remain():
    """Not the list of what may have been the reason."""
    text = (
        "The actor died unexpectedly before finishing this task.\n\tclass_name: Runner\n\tpid: 7\n\tip: 192.0.2.2\n"
        "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: "
        "Worker unexpectedly exits. End of file. Some common causes include: (1) the OOM killer"
    )
    assert in_short(RuntimeError(text)) == "process 7 on 192.0.2.2: Worker unexpectedly exits. End of file."


def test_anything_else_remains_on_one_line_that_is_not_too_long():
    """With the type of the error."""
    assert in_short(RuntimeError("one\n two")) == "RuntimeError: one two"
    assert len(in_short(RuntimeError("word " * 1000))) == 402
