"""The circuit as a machine of states, and under threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crystallize_core.errors import HookError, WiringError
from crystallize_retries import Circuit, CircuitBreaker, CircuitOpenError, FakeClock, use_clock
from crystallize_retries.circuit import BreakerRule

# Errors that say nothing about what was called.
NEUTRAL = [KeyboardInterrupt(), SystemExit(), HookError("a plugin failed"), WiringError("wrong")]


class CircuitMachine(RuleBasedStateMachine):
    """Calls that overlap in any way, against a model that is written without sharing anything with the code."""

    def __init__(self):
        super().__init__()
        self.fake = FakeClock()
        self.clock = use_clock(self.fake)
        self.clock.__enter__()
        self.running = []  # (permission, the number of the period in which it was given, whether it is the trial)

    def teardown(self):
        self.clock.__exit__(None, None, None)

    @initialize(threshold=st.integers(1, 4), timeout=st.sampled_from([0, 1, 10]))
    def start(self, threshold, timeout):
        self.threshold, self.timeout = threshold, timeout
        self.circuit = Circuit(BreakerRule(threshold, timeout))
        self.mode, self.row, self.opened, self.period, self.trial = "closed", 0, None, 0, False

    def expected_state(self):
        if self.mode == "closed":
            return "closed"
        return "half-open" if self.fake.now >= self.opened + self.timeout else "open"

    @rule(seconds=st.sampled_from([0.5, 1, 9, 10]))
    def wait(self, seconds):
        self.fake.now += seconds

    @rule()
    def begin(self):
        state = self.expected_state()
        if state == "closed" or (state == "half-open" and not self.trial):
            permission = self.circuit.enter("f")
            self.running.append((permission, self.period, state == "half-open"))
            self.trial = self.trial or state == "half-open"
        else:
            with pytest.raises(CircuitOpenError):
                self.circuit.enter("f")

    @precondition(lambda self: self.running)
    @rule(data=st.data(), error=st.sampled_from([None, OSError("no"), *NEUTRAL]))
    def end(self, data, error):
        at = data.draw(st.integers(0, len(self.running) - 1))
        permission, period, is_trial = self.running.pop(at)
        self.circuit.leave(permission, error)
        if period != self.period:
            return
        if is_trial:
            self.trial = False
        if error is None:
            self.row = 0
            if is_trial:
                self.mode, self.opened, self.period = "closed", None, self.period + 1
        elif isinstance(error, OSError):
            self.row += 1
            if is_trial or self.row >= self.threshold:
                self.mode, self.opened, self.period = "open", self.fake.now, self.period + 1

    @rule()
    def reset(self):
        self.circuit.reset()
        self.mode, self.row, self.opened, self.trial = "closed", 0, None, False
        self.period += 1

    @invariant()
    def same_state(self):
        if hasattr(self, "circuit"):
            assert (self.circuit.state, self.circuit.failures) == (self.expected_state(), self.row)


TestCircuit = CircuitMachine.TestCase
TestCircuit.settings = settings(deadline=None)


@pytest.mark.parametrize("succeeds", [True, False])
def test_of_many_threads_exactly_one_makes_the_trial(succeeds):
    """The others fail at once while it runs, and nobody waits for a lock meanwhile."""
    threads = 16
    inside, go = threading.Event(), threading.Event()
    mode, calls = ["broken"], []

    @CircuitBreaker(failure_threshold=1, timeout=10)
    def function():
        calls.append(mode[0])
        if mode[0] == "broken":
            raise ValueError
        inside.set()
        assert go.wait(30)
        if not succeeds:
            raise ValueError
        return "done"

    def attempt():
        try:
            return function()
        except Exception as error:
            return type(error).__name__

    with use_clock(FakeClock()) as fake, ThreadPoolExecutor(threads) as pool:
        assert attempt() == "ValueError"
        fake.now, mode[0] = 10.0, "trial"
        futures = [pool.submit(attempt) for _ in range(threads)]
        assert inside.wait(30)
        refused = [attempt() for _ in range(5)]
        go.set()
        found = sorted(future.result(30) for future in futures)
        assert refused == ["CircuitOpenError"] * 5
        if succeeds:  # those that came late found it closed
            assert set(found) <= {"done", "CircuitOpenError"}
            assert found.count("done") == calls.count("trial")
            assert CircuitBreaker.of(function).state == "closed"
        else:
            assert found == ["CircuitOpenError"] * (threads - 1) + ["ValueError"]
            assert CircuitBreaker.of(function).state == "open"


def test_many_threads_lose_no_failure():
    """As many failures as calls, and it opens at the threshold whoever brings the last one."""
    calls = 400

    @CircuitBreaker(failure_threshold=calls)
    def function(number):
        raise ValueError(number)

    def attempt(number):
        with pytest.raises(ValueError):
            function(number)

    circuit = CircuitBreaker.of(function)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(attempt, range(calls - 1)))
        assert (circuit.state, circuit.failures) == ("closed", calls - 1)
        attempt(calls)
    assert (circuit.state, circuit.failures) == ("open", calls)


def test_a_call_that_began_before_the_circuit_opened_says_nothing_about_it_now():
    """Neither does its late success close it, nor its late failure prolong the pause."""
    with use_clock(FakeClock()) as fake:
        circuit = Circuit(BreakerRule(1, 10))
        early, late, last = (circuit.enter("f") for _ in range(3))
        circuit.leave(last, ValueError())
        circuit.leave(early, None)
        assert circuit.state == "open"
        fake.now = 9.0
        circuit.leave(late, ValueError())
        fake.now = 10.0
        assert circuit.state == "half-open"


def test_threads_that_ask_first_get_the_same_circuit():
    """However many threads make the first call at the same time."""
    barrier = threading.Barrier(8)

    def plain():
        raise ValueError

    function = CircuitBreaker(failure_threshold=9)(plain)

    def attempt(_):
        barrier.wait(30)
        with pytest.raises(ValueError):
            function()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(8)))
    assert CircuitBreaker.of(function).failures == 8
