"""Resources: what cannot be copied is made where it is used, once per thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from crystallize_core import DefinitionError, Experiment, FrozenContext, resource_factory


class Connection:
    """Something that cannot be copied or sent."""

    def __init__(self, name="connection"):
        self.name, self.lock = name, threading.Lock()


def connect(ctx):
    return Connection()


def test_steps_and_replicates_of_one_thread_share_the_resource():
    """A resource is made when it is first asked for and is the same object from then on."""
    seen = []

    def use(data, ctx, connection):
        seen.extend([connection, ctx["connection"], ctx.get("connection")])
        return data

    experiment = Experiment(
        lambda ctx: 0,
        [use, use],
        initial_ctx={"connection": resource_factory(lambda ctx: Connection())},
        replicates=2,
        autoload=False,
    )
    experiment.run()
    assert len(seen) == 12
    assert len(set(map(id, seen))) == 1


def test_each_thread_gets_its_own():
    """Threads that are alive at once never share a resource."""
    ctx = FrozenContext({"connection": resource_factory(lambda ctx: Connection())})
    together = threading.Barrier(3)

    def ask():
        found = ctx["connection"]
        together.wait(10)
        return found

    with ThreadPoolExecutor(3) as pool:
        found = [future.result() for future in [pool.submit(ask) for _ in range(3)]]
    assert len(set(map(id, found))) == 3


def test_two_factories_are_two_resources():
    """Lambdas written in one function make two resources, although both are called `<lambda>`."""
    ctx = FrozenContext(
        {"a": resource_factory(lambda ctx: Connection("a")), "b": resource_factory(lambda ctx: Connection("b"))}
    )
    assert (ctx["a"].name, ctx["b"].name) == ("a", "b")


def test_a_factory_that_was_made_anew_makes_anew():
    """A closure over another value does not get what an earlier one made."""

    def factory(name):
        return resource_factory(lambda ctx: Connection(name))

    assert [FrozenContext({"c": factory(name)})["c"].name for name in ("first", "second")] == ["first", "second"]


def test_the_same_key_is_the_same_resource():
    """Factories that are given one key share what they make."""
    first = resource_factory(lambda ctx: Connection("first"), key="shared by this test")
    second = resource_factory(lambda ctx: Connection("second"), key="shared by this test")
    ctx = FrozenContext({"first": first, "second": second})
    assert ctx["first"] is ctx["second"]


def test_a_function_of_a_module_is_one_resource():
    """The default key of a function that can be imported is its name, so that every copy of it is the same."""
    ctx = FrozenContext({"first": resource_factory(connect), "second": resource_factory(connect)})
    assert ctx["first"] is ctx["second"]


def test_the_function_gets_the_context():
    """What is made can depend on the context."""
    ctx = FrozenContext({"url": "here", "client": resource_factory(lambda ctx: Connection(ctx["url"]))})
    assert ctx["client"].name == "here"


def test_a_factory_that_fails_is_asked_again():
    """A resource that could not be made is tried again by the next who asks."""
    attempts = []

    def make(ctx):
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError("down")
        return "up"

    ctx = FrozenContext({"client": resource_factory(make, key="fails once")})
    with pytest.raises(ConnectionError):
        ctx["client"]
    assert ctx["client"] == "up"


def test_something_that_cannot_be_called_is_refused():
    """A resource needs a function of the context."""
    with pytest.raises(DefinitionError) as caught:
        resource_factory("a name")
    assert str(caught.value) == "resource_factory needs a function of the context, found str"
