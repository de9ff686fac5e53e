"""What a hook returned: whether it is what the hook is to return, read once, so that nothing of a stranger runs later."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from crystallize_core.errors import describe
from crystallize_core.outcome import ReplicateOutcome
from crystallize_core.quantities import quoted

__all__ = ["checked"]

MOST_ITEMS: Final = 100_000
"""So many items of a mapping are read; one without end must not keep a run waiting for ever."""


_PASSING_ON: Final = frozenset({"cache_store", "load_replicate", "run_experiment_loop", "should_stop", "store_asset"})
"""The hooks that leave something to the next plugin with `NotImplemented`."""


def checked(hook: str, arguments: tuple[Any, ...], answer: Any) -> Any:
    """The answer of a hook; a mapping or sequence of a stranger's type becomes a plain one.

    Raises:
        TypeError: It is not what the hook is to return; treated like any other failure of the plugin.
        BaseException: Whatever it raised while it was read.

    """
    if answer is None or (answer is NotImplemented and hook in _PASSING_ON):
        return answer
    check = _CHECKS.get(hook)
    return answer if check is None else check(arguments, answer)


def _wrong(expected: str, answer: Any) -> TypeError:
    kind, text = type(answer).__qualname__, quoted(answer)
    found = text if text.startswith(f"a {kind} that") else f"{kind} {text}"
    return TypeError(f"it must return {expected} or None, found {found}")


def _mapping(_: tuple[Any, ...], answer: Any) -> Any:
    if type(answer) is dict:
        return answer
    if not isinstance(answer, Mapping):
        raise _wrong("a mapping", answer)
    read = {key: answer[key] for key in _first(answer, MOST_ITEMS)}
    _refuse_endless(read)
    return read


class _Dependencies(Mapping[Any, Any]):
    """A mapping of a stranger's type that may answer more than it lists; what fails there cannot be compared."""

    def __init__(self, found: Mapping[Any, Any]) -> None:
        self._found, self._names = found, tuple(_first(found, MOST_ITEMS))

    def __getitem__(self, name: Any) -> Any:
        try:
            return self._found[name]
        except KeyError:
            raise
        except (Exception, SystemExit, GeneratorExit) as error:
            message = f"{name!r}: {describe(error)}"
            raise KeyError(message) from error

    def __iter__(self) -> Iterator[Any]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _dependencies(_: tuple[Any, ...], answer: Any) -> Any:
    if type(answer) is dict:
        return answer
    if not isinstance(answer, Mapping):
        raise _wrong("a mapping", answer)
    found = _Dependencies(answer)
    _refuse_endless(found)
    return found


def _refuse_endless(read: Mapping[Any, Any]) -> None:
    if len(read) > MOST_ITEMS:
        message = f"it must return a mapping of at most {MOST_ITEMS} items, and this one has more"
        raise TypeError(message)


def _options(arguments: tuple[Any, ...], answer: Any) -> Any:
    found = _mapping(arguments, answer)
    wrong = next((key for key in found if not (isinstance(key, str) and key.isidentifier())), None)
    if wrong is not None:
        message = f"it must return a mapping of names to types, found the name {quoted(wrong)}"
        raise TypeError(message)
    return found


def _outcomes(arguments: tuple[Any, ...], answer: Any) -> Any:
    if type(answer) in (list, tuple) or not isinstance(answer, Sequence) or isinstance(answer, (str, bytes)):
        return answer  # the run says what is wrong with it
    return list(_first(answer, arguments[0].replicates))


def _first(items: Iterable[Any], count: int) -> Iterable[Any]:
    """So many items, and one more where there are more."""
    return itertools.islice(items, count + 1)


def _loaded(arguments: tuple[Any, ...], answer: Any) -> Any:
    expected = f"the outcome of replicate {arguments[1]}"
    if not isinstance(answer, ReplicateOutcome):
        raise _wrong(expected, answer)
    if answer.replicate != arguments[1]:
        message = f"it must return {expected} or None, found that of replicate {answer.replicate}"
        raise TypeError(message)
    return answer


def _name(_: tuple[Any, ...], answer: Any) -> str:
    if not isinstance(answer, str):
        raise _wrong("a name or a URI", answer)
    return str(answer)


def _store(_: tuple[Any, ...], answer: Any) -> Any:
    if not all(callable(getattr(answer, method, None)) for method in ("read", "write")):
        raise _wrong("a store with read(name) and write(name, content)", answer)
    return answer


def _truth(_: tuple[Any, ...], answer: Any) -> bool:
    return bool(answer)


def _call(_: tuple[Any, ...], answer: Any) -> Any:
    if not callable(answer):
        raise _wrong("a callable", answer)
    return answer


_CHECKS: Final[Mapping[str, Callable[[tuple[Any, ...], Any], Any]]] = {
    "cache_dependencies": _dependencies,
    "cache_store": _store,
    "describe_run": _mapping,
    "load_replicate": _loaded,
    "run_experiment_loop": _outcomes,
    "should_stop": _truth,
    "step_options": _options,
    "store_asset": _name,
    "wrap_step": _call,
}
