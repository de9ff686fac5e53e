"""What belongs to the process: nothing of it is changed, unless an essential plugin says so."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from crystallize_core.experiment import Experiment
from crystallize_core.testing.isolation import Place
from crystallize_core.testing.plugins.check import DoesNotApply, check, fail_where
from crystallize_core.testing.plugins.process import changes, snapshot
from crystallize_core.testing.plugins.steps import EVERYTHING
from crystallize_core.testing.plugins.subject import Subject
from crystallize_core.testing.plugins.writes import files_below, listened, outside


def leaves(subject: Subject, part: str, advice: str) -> None:
    """Fail where a call of a hook, or a whole run, has changed this part of the process."""
    if part in subject.changes_process:
        raise DoesNotApply(f"the plugin says that it changes this on purpose: changes_process has {part!r}")
    changed: dict[str, str] = {}
    for call in subject.watched_run():
        if part in call.changed:
            changed.setdefault(call.hook, call.changed[part])  # how it was changed first says enough
    fail_where([f"hook {hook!r} has changed it: {how}" for hook, how in changed.items()], advice)
    before = snapshot()
    made = subject.make()
    made_change = changes(before, snapshot()).get(part)
    if made_change:
        raise AssertionError(f"making the plugin has changed it: {made_change}\n{advice}")
    experiment = Experiment(lambda ctx: ctx["replicate"], [lambda data: data], [made], autoload=False)
    before = snapshot()
    experiment.run()
    change = changes(before, snapshot()).get(part)
    if change:
        raise AssertionError(f"after a run it is changed: {change}\n{advice}")


@check
def it_leaves_random_numbers_alone(subject: Subject) -> None:
    """The generators of `random` and numpy are where they were after each hook."""
    leaves(subject, "random", "draw from a generator of your own: random.Random(...)")


@check
def it_leaves_the_environment_alone(subject: Subject) -> None:
    """The environment variables are what they were after each hook."""
    leaves(subject, "environment", "give a subprocess an environment of its own instead")


@check
def it_leaves_the_working_directory_alone(subject: Subject) -> None:
    """The current folder is what it was after each hook."""
    leaves(subject, "folder", "use absolute paths instead")


@check
def it_leaves_the_locale_alone(subject: Subject) -> None:
    """The locale is what it was after each hook."""
    leaves(subject, "locale", "format without the locale; it belongs to the process")


@check
def it_leaves_warnings_alone(subject: Subject) -> None:
    """The filters of warnings are what they were after each hook."""
    leaves(subject, "warnings", "use warnings.catch_warnings() around what warns")


@check
def it_leaves_logging_alone(subject: Subject) -> None:
    """Handlers, levels and switches of all loggers are what they were after each hook."""
    leaves(subject, "logging", "log to logging.getLogger(__name__), and leave handlers to the application")


@check
def it_leaves_the_interpreter_alone(subject: Subject) -> None:
    """Paths, streams, signal handlers, limits, the collector and the decimal context are what they were after each hook."""
    leaves(subject, "interpreter", "these belong to the process and not to a plugin")


@check
def it_leaves_data_alone(subject: Subject) -> None:
    """What a hook is given of others, data and events, is the same afterwards."""
    problems = [
        f"hook {call.hook!r} has changed its argument {name!r}"
        for call in subject.watched_run()
        for name in call.mutated
    ]
    fail_where(problems, "work on a copy")


@check
def it_writes_only_into_its_folders(subject: Subject) -> None:
    """A run with it writes nothing outside the folders that its options name."""
    place = Place(Path.cwd(), Path.home(), Path(os.environ["CRYSTALLIZE_CACHE_DIR"]), Path(tempfile.gettempdir()))
    own = [*subject.own_folders, place.cache.absolute(), place.temporary.absolute()]
    with listened() as plain:
        subject.plain(steps=EVERYTHING)  # the core has files of its own, such as the key that signs what is cached
    before = files_below(place.folder, place.home)
    with listened() as heard:
        subject.experiment(steps=EVERYTHING).run()
        subject.experiment(steps=EVERYTHING).apply("double")
    written = (set(heard) - set(plain)) | (files_below(place.folder, place.home) - before)
    problems = [f"{path} was written, and no option names it" for path in outside(written, own)]
    fail_where(problems, "make the folder an option, or name it in `folders` of the test")


@check
def it_writes_nothing_before_a_run(subject: Subject) -> None:
    """Making the plugin and an experiment with it writes nothing."""
    temporary = [Path(tempfile.gettempdir()).absolute()]
    before = files_below(Path.cwd(), Path.home())
    with listened() as heard:
        subject.experiment(subject.make())
    written = set(heard) | (files_below(Path.cwd(), Path.home()) - before)
    fail_where(
        [f"{path} was written before anything ran" for path in outside(written, temporary)], "write in before_run"
    )


@check
def it_leaves_no_temporary_file(subject: Subject) -> None:
    """Temporary files are gone when the run is over."""
    temporary = Path(tempfile.gettempdir()).absolute()
    before = files_below(temporary)
    subject.experiment(steps=EVERYTHING).run()
    left = sorted(files_below(temporary) - before)
    fail_where(
        [f"{path} is left behind" for path in left],
        "use `with tempfile.TemporaryDirectory()`, or remove it in after_run",
    )
