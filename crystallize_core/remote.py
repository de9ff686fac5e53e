"""For executors whose workers are processes elsewhere: what is sent, what a worker does with it, and what comes back.

    payload = payload_of(replicate_fn)               # the coordinator, once
    answer = run_chunk(payload, [0, 1, 2])           # a worker, for each chunk of numbers
    take(replicate_fn, answer, schedule)             # the coordinator, in any order of answers

All of it is bytes and plain values, so that whatever carries them needs to know nothing else. `schedule.py` says which
replicates a worker gets next.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_core.errors import WorkerError, describe
from crystallize_core.packing import dumped, dumped_outcomes, loaded_outcomes
from crystallize_core.processes import this_process

if TYPE_CHECKING:
    from crystallize_core.limits.board import Overdue
    from crystallize_core.limits.guard import Guard
    from crystallize_core.schedule import Schedule

__all__ = ["Answer", "Payload", "close", "for_a_moment", "knows", "lose_overdue", "payload_of", "run_chunk", "take"]

MOMENT: Final = 0.5
"""Seconds for which a chunk goes on, so that a replicate that takes long holds back few that were finished before it."""


@attrs.frozen
class Payload:
    """An experiment on its way to workers.

    Attributes:
        token: Tells it from others, so that a worker that has it need not read it again.
        body: The replicate function as bytes.

    """

    token: str
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class Answer:
    """What a worker came to with a chunk.

    Attributes:
        ran: How many replicates it ran.
        outcomes: The numbers of replicates, and their outcomes as bytes.
        unsent: The replicates whose outcome cannot be sent, with the reason.
        raised: What kept the worker from going on, as bytes and in words; None if nothing did.
        seconds: How long they took.
        process: The worker, for messages: its machine and the number of its process.

    """

    ran: int = 0
    outcomes: tuple[tuple[tuple[int, ...], bytes], ...] = attrs.field(default=(), repr=False)
    unsent: tuple[tuple[int, str], ...] = ()
    raised: tuple[bytes | None, str] | None = attrs.field(default=None, repr=False)
    seconds: float = 0.0
    process: str = ""


def payload_of(replicate_fn: Any) -> Payload:
    """What workers need to run replicates.

    Raises:
        NotSendableError: A part of the experiment cannot be pickled; the message names it.

    """
    return Payload(os.urandom(16).hex(), pickle.dumps(replicate_fn))


_known: dict[str, Any] = {}
"""The replicate functions that this worker has read; the last few."""
MOST_KNOWN = 4


def knows(token: str) -> bool:
    """Whether this process has read the payload with this token, and need not be sent its body again."""
    return token in _known


def run_chunk(payload: Payload, numbers: Iterable[int], guard: Guard | None = None) -> Answer:
    """Run these replicates in this process; nothing is raised, because what carries the answer may not know how.

    Args:
        payload: What the coordinator sent.
        numbers: The replicates; asked for the next one after each, so that a worker may end a chunk early.
        guard: Who ends this process if a step never returns; told which replicate runs.

    """
    began = time.perf_counter()
    done: list[tuple[int, Any]] = []
    raised: BaseException | None = None
    try:
        replicate_fn = _read(payload)
        for number in numbers:
            if guard is not None:
                guard.number = number
            done.append((number, replicate_fn(number)))
    except BaseException as error:  # noqa: BLE001 - raised again by the coordinator
        raised = error
    seconds = time.perf_counter() - began
    outcomes, unsent = _packed(done)
    return Answer(
        len(done),
        tuple(outcomes),
        tuple(unsent),
        None if raised is None else _packed_error(raised),
        seconds,
        this_process(),
    )


def for_a_moment(numbers: Iterable[int], seconds: float = MOMENT) -> Iterator[int]:
    """The numbers of a chunk until its time is over, and at least one of them.

    Args:
        numbers: The replicates; those for which the time is too short are left out, from the last. They have to be given
            to somebody again: `Answer.ran` says how many there were.
        seconds: The time.

    """
    until = time.monotonic() + seconds
    for number in numbers:
        yield number
        if time.monotonic() > until:
            return


def _read(payload: Payload) -> Any:
    found = _known.get(payload.token)
    if found is None:
        found = pickle.loads(payload.body)  # noqa: S301 - from the coordinator of this run
        while len(_known) >= MOST_KNOWN:
            _known.pop(next(iter(_known))).close()
        _known[payload.token] = found
    return found


def close(payload: Payload) -> None:
    """Tear down the steps of an experiment in this process, where it was run; for workers that outlive the run."""
    found = _known.pop(payload.token, None)
    if found is not None:
        found.close()


def _packed(done: Sequence[tuple[int, Any]]) -> tuple[list[tuple[tuple[int, ...], bytes]], list[tuple[int, str]]]:
    """The outcomes as bytes; together if that is possible, else one by one."""
    if not done:
        return [], []
    try:
        return [(tuple(number for number, _ in done), dumped_outcomes(outcome for _, outcome in done))], []
    except Exception as error:  # noqa: BLE001 - a foreign __reduce__ may raise anything
        if len(done) == 1:
            return [], [(done[0][0], describe(error))]
    parts = [_packed([one]) for one in done]
    return [body for bodies, _ in parts for body in bodies], [one for _, unsent in parts for one in unsent]


def _packed_error(error: BaseException) -> tuple[bytes | None, str]:
    try:
        return dumped(error), describe(error)
    except Exception:  # noqa: BLE001 - its words are sent in any case
        return None, describe(error)


def take(replicate_fn: Any, answer: Answer, schedule: Schedule) -> int:
    """Deliver what came back, and note how long it took.

    Args:
        replicate_fn: What `run_experiment_loop` was given.
        answer: What a worker came to.
        schedule: Gets the time, and those replicates whose outcomes could not be read together.

    Returns:
        How many replicates are settled by it.

    Raises:
        BaseException: What kept the worker from going on; what it had done before is delivered first.

    """
    schedule.measured(answer.ran, answer.seconds)
    settled = 0
    for numbers, body in answer.outcomes:
        if replicate_fn.stopped:
            return settled
        settled += _deliver(replicate_fn, body, numbers, schedule)
    for number, why in answer.unsent:
        replicate_fn.lost(number, WorkerError(f"its outcome cannot be sent from its worker {answer.process}: {why}"))
        settled += 1
    if answer.raised is not None:
        raise _raised(answer)
    return settled


def lose_overdue(replicate_fn: Any, overdue: Overdue, numbers: Iterable[int], schedule: Schedule) -> int:
    """Settle the replicate whose step did not end in time; those that its worker had besides run elsewhere.

    Args:
        replicate_fn: What `run_experiment_loop` was given.
        overdue: The step because of which the worker was ended.
        numbers: The replicates that the worker had and not answered.
        schedule: Hands out the others again.

    Returns:
        How many replicates are settled by it.

    """
    others = list(numbers)
    settled = 0
    if overdue.number in others:  # or it has answered at the last moment
        others.remove(overdue.number)
        replicate_fn.lost(overdue.number, overdue.error, at=overdue)
        settled = 1
    schedule.give_back(others)
    return settled


def _deliver(replicate_fn: Any, body: bytes, numbers: Sequence[int], schedule: Schedule) -> int:
    try:
        outcomes = loaded_outcomes(body)
    except Exception as error:  # noqa: BLE001 - a foreign __setstate__ may raise anything
        if len(numbers) > 1:
            schedule.run_alone(numbers)
            return 0
        replicate_fn.lost(numbers[0], WorkerError(f"its outcome cannot be read from its worker: {describe(error)}"))
        return 1
    count = 0
    for outcome in outcomes:
        if replicate_fn.stopped:
            break
        replicate_fn.deliver(outcome)
        count += 1
    return count


def _raised(answer: Answer) -> BaseException:
    """What a worker raised; in words where the exception itself cannot be read."""
    assert answer.raised is not None
    body, words = answer.raised
    try:
        error = None if body is None else pickle.loads(body)  # noqa: S301 - from a worker of this run
    except Exception:  # noqa: BLE001 - its words remain
        error = None
    return error if isinstance(error, BaseException) else WorkerError(f"worker {answer.process} raised {words}")
