"""Every error that Crystallize raises, in one tree.

All of them carry an *address* (who and where) beside their message, keep their cause, and survive
pickling with both, so that a failure in a worker reads the same as one next door.

::

    CrystallizeError
    ├── DefinitionError            what was written cannot run; raised before anything runs
    │   ├── WiringError            a step parameter that nothing fills
    │   ├── StepOptionError        a step option that no plugin claims, or of the wrong type
    │   └── NotSendableError       something that cannot be sent to another process
    ├── ContextError               a wrong use of the context
    │   ├── ContextMutationError   an attempt to change what is there already
    │   └── ContextKeyError        a key that is not there (also a KeyError)
    ├── StackError                 the plugins of this project do not fit together
    │   ├── ConfigurationError     a wrong key, type or name in a configuration
    │   ├── LockError              a lock that is missing or damaged, or is not of what is here
    │   ├── PluginError            one plugin that cannot be loaded or used
    │   └── PluginOrderError       before/after constraints that contradict each other
    ├── RunError                   something failed while an experiment ran
    │   ├── StepError              a step raised; the cause is what it raised
    │   ├── OutputError            a step returned something else than the outputs that it declares
    │   ├── HookError              a hook of an essential plugin raised
    │   ├── DatasourceError        the datasource raised
    │   ├── TreatmentError         a treatment raised
    │   ├── ExecutorError          the executor lost or invented outcomes
    │   └── WorkerError            a worker died or could not start
    │       └── StackMismatchError a worker has other plugins or versions than the coordinator
    ├── ArtifactError              an artifact that cannot be written or found
    ├── VerifierError              a verifier or ranker failed, or its metrics are missing
    └── FingerprintError           a value or code that has no stable digest

    RunInterrupted (KeyboardInterrupt)   Ctrl-C; `.result` holds what was finished
    Interruption (BaseException)         what a policy raises into a step to end it
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import pickle
import sys
import traceback
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "ArtifactError",
    "ConfigurationError",
    "ContextError",
    "ContextKeyError",
    "ContextMutationError",
    "CrystallizeError",
    "DatasourceError",
    "DefinitionError",
    "ExecutorError",
    "FingerprintError",
    "HookError",
    "Interruption",
    "LockError",
    "NotSendableError",
    "OutputError",
    "PluginError",
    "PluginOrderError",
    "RemoteError",
    "RunError",
    "RunInterrupted",
    "StackError",
    "StackMismatchError",
    "StepError",
    "StepOptionError",
    "TreatmentError",
    "VerifierError",
    "WiringError",
    "WorkerError",
    "did_you_mean",
    "listed",
]


MOST_LISTED = 20
"""So many problems are listed in one message."""
LONGEST_CHAIN = 20
"""So many causes of causes are kept where an error is sent to another process."""


class CrystallizeError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: What was found, what was expected and what to do.
        address: Where it happened, as words: `experiment=`, `pipeline=`, `replicate=`, `condition=`, `step=`,
            `distribution=`, `plugin=`, `hook=`. Readable as attributes and as the mapping `address`.

    """

    def __init__(self, message: str, **address: Any) -> None:
        super().__init__(message)
        self.message = message
        self.address = {word: value for word, value in address.items() if value is not None}

    def __getattr__(self, name: str) -> Any:
        address = self.__dict__.get("address", {})
        if name in address:
            return address[name]
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(message)

    def __str__(self) -> str:
        if not self.address:
            return self.message
        where = ", ".join(f"{word} {value!r}" for word, value in self.address.items())
        return f"{self.message} [{where}]"

    def __reduce__(self) -> tuple[Any, ...]:
        extra = {k: v for k, v in self.__dict__.items() if k not in {"message", "address", "__notes__"}}
        notes = list(getattr(self, "__notes__", ()))
        return _rebuild, (type(self), self.message, self.address, _causes(self.__cause__), extra, notes)


def _rebuild(
    kind: type[CrystallizeError],
    message: str,
    address: dict[str, Any],
    causes: list[BaseException],
    extra: dict[str, Any],
    notes: list[str],
) -> CrystallizeError:
    error = kind(message, **address)
    error.__dict__.update(extra)
    for raised, cause in itertools.pairwise([error, *causes]):
        raised.__cause__ = cause
    for note in notes:
        error.add_note(note)
    return error


class RemoteError(Exception):
    """Stands for an exception that could not be sent: its type's name, text and traceback remain."""

    def __init__(self, kind: str, text: str, details: str = "") -> None:
        super().__init__(kind, text, details)
        self.kind, self.text, self.details = kind, text, details

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def _causes(error: BaseException | None) -> list[BaseException]:
    """The cause, its cause and so on: pickle forgets the causes of exceptions that are not ours."""
    found: list[BaseException] = []
    while error is not None and len(found) < LONGEST_CHAIN:
        found.append(_sendable(error))
        error = None if isinstance(error, CrystallizeError) else error.__cause__
    return found


def _sendable(error: BaseException) -> BaseException:
    """The error itself if it survives pickling, with its traceback as a note; else a `RemoteError`."""
    details = "".join(traceback.format_exception(error)) if error.__traceback__ is not None else ""
    try:
        copy: BaseException = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes, made one line above
        if type(copy) is not type(error) or safe_str(copy) != safe_str(error):
            raise TypeError  # noqa: TRY301 - joins the other ways of not surviving
        if details and not any(note.startswith("Traceback") for note in getattr(copy, "__notes__", ())):
            copy.add_note(details.rstrip())
    except Exception:  # noqa: BLE001 - any failure to travel means the same
        return RemoteError(type(error).__qualname__, safe_str(error), details)
    return copy


def safe_str(value: object) -> str:
    """`str(value)`, also for objects whose `__str__` raises."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a foreign __str__ may raise anything
        return f"<{type(value).__qualname__} whose text cannot be shown: {type(error).__qualname__}>"


def describe(error: BaseException) -> str:
    """One line for an exception: its type and its text, whatever its `__str__` does."""
    text = safe_str(error)
    return f"{type(error).__qualname__}: {text}" if text else type(error).__qualname__


def add_note(error: BaseException, text: str) -> None:
    """Add a note to any exception that takes notes; one that is frozen, or keeps something else in their place, does not."""
    with contextlib.suppress(Exception):
        error.add_note(text)


def warn_caller(text: str, category: type[Warning]) -> None:
    """Warn with the line of whoever called into this package."""
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - the means that `warnings` itself uses
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level + 1)


def did_you_mean(name: str, known: Iterable[str], *, listing: str = "known") -> str:
    """A sentence that suggests the closest of `known`, or lists them when none is close."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return f"{listing}: none." if listing.endswith((" has", " are", " is")) else f"nothing is {listing}."
    shown = ", ".join(repr(n) for n in names[:12]) + (", …" if len(names) > 12 else "")  # noqa: PLR2004 - one line
    return f"{listing}: {shown}."


def listed(lines: Sequence[str]) -> list[str]:
    """The lines of a message: the first of them, and how many more there are."""
    return [*lines[:MOST_LISTED], *([f"and {len(lines) - MOST_LISTED} more"] if len(lines) > MOST_LISTED else [])]


class DefinitionError(CrystallizeError, ValueError):
    """What was written cannot run; every problem that was found is listed."""


class WiringError(DefinitionError):
    """A step parameter that nothing fills, or steps that cannot be put in order."""


class StepOptionError(DefinitionError):
    """A step option that no plugin of the stack claims, or whose value is of the wrong type."""


class NotSendableError(DefinitionError):
    """A part of the experiment cannot be pickled and so cannot reach another process."""


class ContextError(CrystallizeError):
    """The context was used in a way that it does not allow."""


class ContextMutationError(ContextError):
    """A key that exists already was set again, or the context was assigned to."""


class ContextKeyError(ContextError, KeyError):
    """A key that the context does not have was read with `ctx[...]`."""

    __str__ = CrystallizeError.__str__  # KeyError would show the repr of the message


class StackError(CrystallizeError):
    """The plugins of this project do not fit together."""


class ConfigurationError(StackError, ValueError):
    """A wrong key, type or name in a configuration; every problem that was found is listed."""


class LockError(StackError):
    """The lock of a stack is missing or damaged, or what is here is not what it says.

    Attributes:
        differences: For the last of these, all that differs; empty for the others.

    """

    differences: tuple[Any, ...] = ()


class PluginError(StackError):
    """One plugin cannot be loaded, is misspelt, or does not keep to the hook specifications."""


class PluginOrderError(StackError):
    """The `before`/`after` constraints of the named plugins contradict each other."""


class RunError(CrystallizeError):
    """Something failed while an experiment ran."""


class StepError(RunError):
    """A step raised; `__cause__` is what it raised."""


class OutputError(RunError):
    """A step returned something else than the outputs that it declares."""


class HookError(RunError):
    """A hook of an essential plugin raised; `__cause__` is what it raised."""


class DatasourceError(RunError):
    """The datasource of a condition raised; `__cause__` is what it raised."""


class TreatmentError(RunError):
    """A treatment raised while it changed the context; `__cause__` is what it raised."""


class ExecutorError(RunError):
    """An executor did not return exactly one outcome for each replicate."""


class WorkerError(RunError):
    """A worker process died, or could not rebuild the experiment."""


class StackMismatchError(WorkerError):
    """A worker has other plugins, versions or options than the coordinator, and gets no work."""


class ArtifactError(CrystallizeError):
    """An artifact has a name that is not allowed, cannot be written, or is not there."""


class VerifierError(CrystallizeError):
    """A verifier or ranker failed, or the metrics that it names were not recorded."""


class FingerprintError(CrystallizeError, TypeError):
    """A value or a piece of code has no stable digest; the message names its type and the remedy."""


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C stopped a run; `result` holds what was finished by then."""

    def __init__(self, result: Any) -> None:
        super().__init__("the run was interrupted; .result holds what was finished")
        self.result = result

    @classmethod
    def of(cls, interruption: KeyboardInterrupt, result: Any) -> RunInterrupted:
        """With what is noted on the interruption, such as which plugin was at work."""
        made = cls(result)
        for note in getattr(interruption, "__notes__", ()):
            made.add_note(note)
        return made


class Interruption(BaseException):
    """Raised by a policy into the thread of an attempt, to end it; derive from it.

    Hooks that run at that moment do not fail because of it.
    """
