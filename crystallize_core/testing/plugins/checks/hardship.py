"""Steps that fail, values that nobody expects, and runs that end early."""

from __future__ import annotations

import warnings

from crystallize_core.errors import RunInterrupted, StepError
from crystallize_core.result import Result
from crystallize_core.testing.plugins.check import check, fail_where
from crystallize_core.testing.plugins.steps import FAILING, SKIPPING, UNUSUAL, interrupted
from crystallize_core.testing.plugins.subject import STEPS, Subject
from crystallize_core.testing.tiny import make_tiny, own_noise, scale, total

CELL = "double_rep_1"


def _switched_off(result: Result) -> list[str]:
    return [note.text for note in result.run.notes if note.kind == "switched-off"]


@check
def a_failing_step_costs_its_own_cell(subject: Subject) -> None:
    """Where a step raises, that cell alone fails, and the others have their metrics."""
    result = subject.experiment(steps=FAILING).run()
    fail_where(_switched_off(result))
    assert list(result.errors) == [CELL], f"failed: {', '.join(result.errors) or 'nothing'}, expected {CELL}"
    counts = {name: len(list(found.rows())) for name, found in result.metrics.conditions.items()}
    expected = {name: len(list(f.rows())) for name, f in subject.plain(steps=FAILING).metrics.conditions.items()}
    fewer = [
        f"condition {name!r} has {counts[name]} values of {expected[name]}"
        for name in expected
        if counts[name] < expected[name]
    ]
    fail_where(fewer)


@check
def a_failure_keeps_its_address(subject: Subject) -> None:
    """The error of a failed step names replicate, condition and step, and has the exception of the step as its cause."""
    error = subject.experiment(steps=FAILING).run().errors.get(CELL)
    assert isinstance(error, StepError), f"the error is {type(error).__qualname__}, and not the StepError of the engine"
    address = {word: error.address.get(word) for word in ("experiment", "replicate", "condition", "step")}
    wanted = {"experiment": "tiny", "replicate": 1, "condition": "double", "step": "fails"}
    assert address == wanted, f"the address is {address}, expected {wanted}"
    assert isinstance(error.__cause__, ValueError), f"the cause is {error.__cause__!r}, and not what the step raised"


@check
def a_step_that_is_left_out_is_no_failure(subject: Subject) -> None:
    """Where a condition leaves a step out, the cell goes on."""
    result = subject.experiment(steps=SKIPPING).run()
    fail_where([*_switched_off(result), *map(str, result.errors.values())])
    assert len(result.metrics.baseline["total"]) == 3, result.metrics.baseline["total"]


@check
def it_takes_unusual_values(subject: Subject) -> None:
    """Data that is None, huge, or can be neither printed, compared, copied nor pickled breaks no hook."""
    problems = []
    for step in UNUSUAL:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the core warns of values that it cannot keep
            plain, found = subject.plain(steps=[step]), subject.experiment(steps=[step]).run()
        problems += [f"after {step.__name__}: {text}" for text in _switched_off(found)]
        if set(found.errors) != set(plain.errors):
            problems += [f"after {step.__name__}: {error}" for error in list(found.errors.values())[:1]]
    fail_where(problems, "ask for types before you ask for content, and do not keep or print what is large")


@check
def ctrl_c_ends_the_run(subject: Subject) -> None:
    """After Ctrl-C in a step the run ends at once, with what was finished."""
    subject.needs_others_executor()
    result: Result | None = None
    try:
        subject.experiment(steps=[scale, own_noise, interrupted, total]).run()
    except RunInterrupted as stopped:
        result = stopped.result
    assert result is not None, "the run went on after Ctrl-C; do not catch KeyboardInterrupt or BaseException"
    assert result.run.interrupted, "the record does not say that the run was interrupted"
    assert list(result.metrics.baseline["total"]) != [], "what was finished is lost"
    fail_where(_switched_off(result))


@check
def a_failing_datasource_is_no_reason_to_fail(subject: Subject) -> None:
    """Where there is no data, every cell fails by the datasource and by nothing else."""
    found = subject.experiment(datasource=_no_data).run()
    fail_where(_switched_off(found))
    kinds = {type(error).__qualname__ for error in found.errors.values()}
    assert kinds == {"DatasourceError"}, f"the errors are {', '.join(sorted(kinds))}, expected DatasourceError"


def _no_data(ctx: object) -> None:  # noqa: ARG001 - how a datasource is called
    raise OSError("no data today")


@check
def a_reader_may_leave_early(subject: Subject) -> None:
    """A stream that is left after the first replicate ends the run, and the plugin with it."""
    stream = subject.experiment().stream()
    for _ in stream:
        break
    stream.close()
    fail_where(_switched_off(stream.result))


@check
def one_cell_can_be_tried(subject: Subject) -> None:
    """`apply`, `debug` and `dry_run` work with it, and give what they give without it where it is an observer."""
    experiment = subject.experiment()
    output = experiment.apply("double", replicate=1)
    error = experiment.debug("double").error
    assert error is None, str(error)
    str(experiment.dry_run())
    if not subject.essential:
        plain = make_tiny((), steps=STEPS).apply("double", replicate=1)
        assert output == plain, f"{output!r} with it, {plain!r} without it"
