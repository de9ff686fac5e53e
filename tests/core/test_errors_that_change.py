"""Exceptions that do not survive pickling as they were."""

import pickle

from crystallize_core import RemoteError, StepError


class Coded(Exception):
    """Its constructor takes something else than its arguments, as many a foreign exception."""

    def __init__(self, code):
        super().__init__(f"code {code}")


def test_a_cause_whose_text_would_change_is_kept_in_words():
    """Pickling calls the constructor with the text, which would make another text of it."""
    error = StepError("step 'a' failed", step="a")
    error.__cause__ = Coded(3)
    cause = pickle.loads(pickle.dumps(error)).__cause__
    assert type(cause) is RemoteError
    assert str(cause) == "Coded: code 3"
