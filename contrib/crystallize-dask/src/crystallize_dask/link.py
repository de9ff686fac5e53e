"""The line to a cluster: sends chunks, and turns all that Dask reports in threads of its own into messages in one queue."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import queue
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self

import attrs

from crystallize_core.limits.board import Overdue
from crystallize_core.processes import this_process
from crystallize_core.remote import Answer, Payload
from crystallize_dask import tasks
from crystallize_dask.seats import Chunk, Seat

__all__ = ["Ended", "Fetched", "Finished", "IsOverdue", "Joined", "Link", "Started"]

AT_ONCE: Final = 2
"""How many answers are fetched at the same time; what waits stays with its worker."""
GRACE: Final = 5.0
"""Seconds that workers get to tear down steps."""


@attrs.frozen
class Started:
    """A worker has begun with the chunk of this mark."""

    mark: str


@attrs.frozen
class Finished:
    """A worker has finished the chunk of this mark."""

    mark: str


@attrs.frozen
class Fetched:
    """The answer to the chunk of this mark is here; or why there will be none."""

    mark: str
    answer: Answer | None = None
    error: BaseException | None = None


@attrs.frozen
class IsOverdue:
    """A worker is about to be ended, because a step of it does not end in time."""

    address: str
    overdue: Overdue


@attrs.frozen
class Joined:
    """There is another worker."""


@attrs.frozen
class Ended:
    """A worker is gone; `expected` if it was asked to go."""

    address: str
    expected: bool


class _Call:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._parts = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._parts


def _called(function: Callable[..., Any], *arguments: Any) -> bytes:
    """Bytes that become the result of this call where they are unpickled.

    A task that cannot be read ends the worker that gets it, and a scheduler that cannot read it refuses it. This one
    anybody can read, and where this package is missing, the task fails and says so.
    """
    return pickle.dumps(_Call(function, *arguments))


Message = Started | Finished | Fetched | IsOverdue | Joined | Ended


class Link:
    """Between the coordinator of one run and its cluster; a context manager.

    Args:
        client: A connected client of Dask.
        payload: The experiment.

    """

    def __init__(self, client: Any, payload: Payload) -> None:
        from distributed import Variable  # noqa: PLC0415 - here it is loaded

        self._client = client
        self._payload = payload
        self._sent = 0
        self._name = f"crystallize-{payload.token}"
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._fetching = asyncio.Semaphore(AT_ONCE)
        # Kept by the scheduler and not by workers, which may die; each worker fetches it once.
        self._kept = Variable(self._name, client=client)
        self._kept.set(payload.body)
        client.subscribe_topic(self._name, self._hear_worker)
        client.subscribe_topic("all", self._hear_scheduler)

    # What is heard ----------------------------------------------------------------------------------

    def _hear_worker(self, event: tuple[float, Any]) -> None:
        said = event[1]
        if isinstance(said, dict):
            self._messages.put(IsOverdue(said["worker"], Overdue.read(said["number"], said["text"])))
        else:
            self._messages.put(Started(str(said)))

    def _hear_scheduler(self, event: tuple[float, Any]) -> None:
        message = event[1]
        action = message.get("action") if isinstance(message, dict) else None
        if action == "add-worker":
            self._messages.put(Joined())
        elif action == "remove-worker":
            self._messages.put(Ended(message["worker"], bool(message.get("expected"))))

    def messages(self, seconds: float) -> list[Message]:
        """What has been reported since the last time; waits for it, but not longer than that."""
        found: list[Message] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._messages.get(timeout=seconds))
            while True:
                found.append(self._messages.get_nowait())
        return found

    @property
    def is_open(self) -> bool:
        """Whether there is still a scheduler at the other end."""
        return bool(self._client.status == "running")

    def workers(self) -> Mapping[str, Mapping[str, Any]]:
        """The workers that the scheduler has, by their addresses."""
        found: Mapping[str, Mapping[str, Any]] = self._client.scheduler_info(n_workers=-1)["workers"]
        return found

    # What is sent -----------------------------------------------------------------------------------

    def send(self, seat: Seat, numbers: list[int]) -> Chunk:
        """Send replicates to this worker."""
        self._sent += 1
        chunk = Chunk(f"replicates-{self._payload.token}-{self._sent}", numbers)
        chunk.future = self._client.submit(
            pickle.loads,
            _called(tasks.run, self._name, numbers, chunk.mark, this_process()),
            key=chunk.mark,
            # Only there: what its death means is decided here, and not by running it somewhere else.
            workers=[seat.address],
            allow_other_workers=False,
            resources=seat.takes or None,
            retries=0,
            pure=False,
        )
        seat.chunks[chunk.mark] = chunk
        chunk.future.add_done_callback(lambda future: self._follow(chunk.mark, future))
        return chunk

    def _follow(self, mark: str, future: Any) -> None:
        if future.status == "finished":
            self._messages.put(Finished(mark))
        # In the loop of the client, with which it ends. A thread that waits for it may do so for ever, if the loop ends at
        # the moment at which it begins, and keep the program from ending.
        self._client.loop.add_callback(self._fetch, mark, future)

    async def _fetch(self, mark: str, future: Any) -> None:
        try:
            async with self._fetching:
                message = Fetched(mark, await self._client.gather(future, asynchronous=True))
        except BaseException as error:  # noqa: BLE001 - the coordinator decides
            message = Fetched(mark, None, error)
        self._messages.put(message)

    def cancel(self, chunks: Iterable[Chunk]) -> None:
        """Have these forgotten; those that run go on, and nobody hears of them."""
        futures = [chunk.future for chunk in chunks]
        if futures:
            with contextlib.suppress(Exception):  # a scheduler that is gone has forgotten them
                self._client.cancel(futures, reason="not wanted any more")

    def tear_down(self, seats: Iterable[Seat]) -> None:
        """Tear down the steps in these workers: now, or in those that still run a chunk, after it."""
        from distributed import fire_and_forget  # noqa: PLC0415 - here it is loaded

        waited_for = []
        with contextlib.suppress(Exception):  # a scheduler or workers that are gone
            for seat in seats:
                key = f"tear-down-{self._payload.token}-{seat.name}"
                future = self._client.submit(tasks.tear_down, self._name, key=key, workers=[seat.address], pure=False)
                if seat.chunks:
                    fire_and_forget(future)
                else:
                    waited_for.append(future)
            for future in waited_for:
                future.result(timeout=GRACE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(Exception):  # a scheduler that is gone
            self._kept.delete()
            self._client.unsubscribe_topic(self._name)
            self._client.unsubscribe_topic("all")
