"""What differs between a lock and what is here, told at once, and before anything is imported."""

from __future__ import annotations

import attrs
import pytest

from crystallize_core import LockError
from crystallize_core.stack.lock.check import differences
from crystallize_core.stack.lock.document import read_lock, write_lock
from crystallize_core.stack.lock.project import Project, lock_of

PLUGIN = """
    import attrs
    from crystallize_core import BasePlugin

    @attrs.frozen
    class Plugin(BasePlugin):
        size: int = 1
        token: str = ""

        def before_run(self, experiment, run):
            pass
"""


@pytest.fixture
def plugins(site):
    """Two installed plugins, `loud` and `quiet`."""
    site.plugin("loud", PLUGIN)
    site.plugin("quiet", PLUGIN)
    return site


@pytest.fixture
def locked(plugins, project):
    """The lock of a project with both plugins, written and read."""
    project.config('plugins = ["loud", "quiet"]\n\n[options.loud]\nsize = 3\n')
    return _locked(project)


def _locked(project):
    path = project.folder / "crystallize.lock"
    write_lock(lock_of(Project.found()), path)
    return read_lock(path)


def _texts(lock):
    return [difference.text for difference in differences(lock, Project.found())]


def test_what_was_locked_does_not_differ(locked):
    """Right afterwards."""
    assert differences(locked, Project.found()) == []


def test_locking_twice_gives_the_same_bytes(locked):
    """Whatever was imported meanwhile."""
    assert lock_of(Project.found()).text() == locked.text()


def test_a_plugin_is_locked_with_all_that_it_is(locked):
    """Its distribution, its options as written and in effect."""
    assert attrs.asdict(locked.plugins[0]) == {
        "name": "loud",
        "distribution": "x-loud",
        "entry_point": "x_loud:Plugin",
        "file": None,
        "contract": "1.0",
        "configured": {"size": 3},
        "options": {"size": 3, "token": "***"},
    }


def test_another_version_is_named_with_both(locked, plugins):
    """And its files are not looked at."""
    info = plugins.folder / "x_loud-1.0.dist-info" / "METADATA"
    info.write_text("Metadata-Version: 2.1\nName: x-loud\nVersion: 1.1\n", encoding="utf-8")
    assert _texts(locked) == ["distribution x-loud: 1.0 is locked, 1.1 is here"]


def test_a_file_that_changed_after_it_was_locked_is_named(locked, plugins):
    """By its path in the distribution."""
    plugins.module("x_loud", PLUGIN + "\n    # changed\n")
    assert _texts(locked) == ["distribution x-loud: version 1.0 as locked, but its files are not; changed: x_loud.py"]


def test_what_has_changed_is_not_imported(locked, plugins):
    """It may do anything."""
    plugins.module("x_loud", "raise SystemExit('this must not run')\n")
    assert [difference.kind for difference in differences(locked, Project.found())] == ["files"]


def test_files_that_came_and_went_are_told_apart(plugins, project):
    """Those of a package."""
    package = plugins.folder / "boxed"
    package.mkdir()
    (package / "__init__.py").write_text("from crystallize_core import BasePlugin\nclass Plugin(BasePlugin): pass\n")
    (package / "old.py").write_text("")
    plugins.distribution("boxed", "[crystallize.plugins]\nboxed = boxed:Plugin\n")
    project.config('plugins = ["boxed"]\n')
    lock = _locked(project)
    (package / "old.py").unlink()
    (package / "new.py").write_text("")
    assert _texts(lock) == [
        "distribution boxed: version 1.0 as locked, but its files are not; gone: boxed/old.py; new: boxed/new.py"
    ]


def test_a_distribution_that_is_gone_is_named(locked, plugins):
    """With what it would be needed for."""
    for file in (plugins.folder / "x_loud-1.0.dist-info").iterdir():
        file.unlink()
    (plugins.folder / "x_loud-1.0.dist-info").rmdir()
    assert _texts(locked) == [
        "distribution x-loud: 1.0 is locked, nothing is here",
        "plugin loud: x_loud:Plugin of x-loud is locked, nothing is here",
    ]


def test_a_plugin_that_came_and_one_that_went_are_both_told(locked, project, plugins):
    """With an option that changed, at once."""
    plugins.plugin("late", PLUGIN)
    project.config('plugins = ["late", "loud"]\n\n[options.loud]\nsize = 4\n')
    assert _texts(locked) == [
        "plugin late: nothing is locked, x_late:Plugin of x-late is here",
        "plugin quiet: x_quiet:Plugin of x-quiet is locked, nothing is here",
        "option loud.size: 3 is locked, 4 is here",
        "distribution x-late: nothing is locked, 1.0 is here",
    ]


def test_where_every_installed_plugin_is_active_a_new_one_is_drift(plugins, project):
    """No configuration names it."""
    lock = _locked(project)
    plugins.plugin("late", PLUGIN)
    assert next(iter(_texts(lock))) == ("plugin late: nothing is locked, x_late:Plugin of x-late is here")


def test_an_option_that_is_no_longer_set_is_drift(locked, project):
    """What it would be now is not known before its plugin is imported."""
    project.config('plugins = ["loud", "quiet"]\n')
    assert _texts(locked) == ["option loud.size: 3 is locked, not set is here"]


def test_an_option_that_is_written_as_it_was_in_effect_is_none(locked, project):
    """A default that is spelled out changes nothing."""
    project.config('plugins = ["loud", "quiet"]\n\n[options]\nloud.size = 3\nquiet.size = 1\n')
    assert _texts(locked) == []


def test_another_order_is_told_in_full(locked, project):
    """Where nothing else differs, since the plugins are asked for it."""
    project.config('plugins = ["quiet", "loud"]\n\n[options.loud]\nsize = 3\n')
    assert _texts(locked) == ["order: loud, quiet is locked, quiet, loud is here"]


def test_a_secret_is_not_in_the_lock_and_not_compared(plugins, project):
    """Neither as it is written nor in effect; that it is gone is told."""
    config = 'plugins = ["loud"]\n\n[options.loud]\ntoken = "{}"\n'
    project.config(config.format("swordfish"))
    lock = _locked(project)
    assert "swordfish" not in (project.folder / "crystallize.lock").read_text(encoding="utf-8")
    project.config(config.format("other"))
    assert _texts(lock) == []
    project.config('plugins = ["loud"]\n')
    assert _texts(lock) == ['option loud.token: "***" is locked, not set is here']


def test_another_profile_is_drift(plugins, project, monkeypatch):
    """With what it changes."""
    project.config('plugins = ["loud", "quiet"]\n\n[profiles.ci]\ndisable = ["quiet"]\n')
    monkeypatch.setenv("CRYSTALLIZE_PROFILE", "ci")
    lock = _locked(project)
    assert (lock.profile, lock.disable, _texts(lock)) == ("ci", ("quiet",), [])
    monkeypatch.delenv("CRYSTALLIZE_PROFILE")
    assert _texts(lock) == [
        "profile: ci is locked, none is here",
        "plugin quiet: nothing is locked, x_quiet:Plugin of x-quiet is here",
        "disable: quiet is locked, none is here",
        "distribution x-quiet: nothing is locked, 1.0 is here",
    ]


def test_what_the_environment_leaves_out_is_drift(locked, monkeypatch):
    """By its variable."""
    monkeypatch.setenv("CRYSTALLIZE_DISABLE", "quiet")
    assert _texts(locked) == [
        "plugin quiet: x_quiet:Plugin of x-quiet is locked, nothing is here",
        "disable: none is locked, quiet is here",
    ]


def test_another_python_and_another_core_are_drift(locked):
    """The minor version of Python; the core by its distribution."""
    core = attrs.evolve(locked.distributions["crystallize-core"], version="0.0.1", digest="", files={})
    other = attrs.evolve(
        locked, python="3.9", python_full="3.9.1", distributions={**locked.distributions, "crystallize-core": core}
    )
    kinds = [(d.kind, d.name, d.locked) for d in differences(other, Project.found())]
    assert kinds == [("python", "Python", "3.9"), ("distribution", "crystallize-core", "0.0.1")]


def test_a_distribution_for_other_machines_need_not_be_here(locked):
    """A lock from Windows holds here."""
    colour = attrs.evolve(
        locked.distributions["attrs"], name="for-others", version="1", marker="sys_platform == 'other'"
    )
    assert _texts(attrs.evolve(locked, distributions={**locked.distributions, "for-others": colour})) == []


def test_a_dependency_of_another_version_is_drift(locked):
    """Its files are not looked at, its version is."""
    old = attrs.evolve(locked.distributions["attrs"], version="1.0")
    found = differences(attrs.evolve(locked, distributions={**locked.distributions, "attrs": old}), Project.found())
    assert [(d.kind, d.name, d.locked) for d in found] == [("distribution", "attrs", "1.0")]


LOCAL = """
    from crystallize_core import BasePlugin

    class Mine(BasePlugin):
        pass
"""


def test_a_local_file_is_locked_by_its_text(plugins, project):
    """With forward slashes, relative to the project; other text does not run."""
    project.write("below/hooks.py", LOCAL)
    project.config('plugins = ["./below/hooks.py"]\n')
    lock = _locked(project)
    assert [(p.name, p.file) for p in lock.plugins] == [("mine", "below/hooks.py")]
    project.write("below/hooks.py", "raise SystemExit('this must not run')\n")
    assert _texts(lock) == ["local file below/hooks.py: its text is not the one that was locked"]


def test_a_local_file_that_is_gone_and_one_that_came_are_told(plugins, project):
    """Where they are named, and where they are."""
    project.write("hooks.py", LOCAL)
    project.config('plugins = ["./hooks.py"]\n')
    lock = _locked(project)
    (project.folder / "hooks.py").rename(project.folder / "others.py")
    project.config('plugins = ["./others.py"]\n')
    assert _texts(lock) == [
        "local file hooks.py: it is locked, and is not there",
        "local file others.py: the stack names it, and the lock does not",
        "local file hooks.py: the lock has it, and the stack does not name it",
    ]


STACK = """
    STACK = {"plugins": ["loud"], "options": {"loud": {"size": 5}}}
"""


def test_a_stack_that_is_extended_is_locked_with_its_distribution(plugins, project):
    """And is not imported where it has changed."""
    plugins.module("x_stack", STACK)
    plugins.distribution("x-stack", "[crystallize.stacks]\nours = x_stack:STACK\n")
    project.config('extends = ["ours"]\n')
    lock = _locked(project)
    assert (lock.extends, lock.plugins[0].options["size"], "x-stack" in lock.distributions) == (("ours",), 5, True)
    plugins.module("x_stack", "raise SystemExit('this must not run')\n")
    assert _texts(lock) == ["distribution x-stack: version 1.0 as locked, but its files are not; changed: x_stack.py"]


def test_a_stack_under_a_stack_is_locked_as_well(plugins, project):
    """It may be of a distribution that nobody says is needed."""
    plugins.module("x_stack", STACK)
    plugins.distribution("x-stack", "[crystallize.stacks]\nours = x_stack:STACK\n")
    plugins.module("x_over", 'STACK = {"extends": ["ours"]}\n')
    plugins.distribution("x-over", "[crystallize.stacks]\nover = x_over:STACK\n")
    project.config('extends = ["over"]\n')
    lock = _locked(project)
    plugins.module("x_stack", "raise SystemExit('this must not run')\n")
    assert _texts(lock) == ["distribution x-stack: version 1.0 as locked, but its files are not; changed: x_stack.py"]


def test_a_broken_plugin_that_nobody_named_is_locked_as_broken(plugins, project):
    """It is skipped then and now, and told once."""
    plugins.plugin("broken", "raise RuntimeError('broken')\n")
    with pytest.warns(UserWarning, match="broken"):
        lock = lock_of(Project.found())
    assert lock.broken == ("broken",)
    assert differences(lock, Project.found()) == []


EXECUTOR = """
    from crystallize_core import BasePlugin

    class Plugin(BasePlugin):
        def run_experiment_loop(self, experiment, replicate_fn):
            return [replicate_fn(number) for number in range(experiment.replicates)]
"""


def test_the_executor_is_locked(plugins, project):
    """By its name; another one is drift."""
    plugins.plugin("mine", EXECUTOR, group="executors")
    plugins.plugin("other", EXECUTOR, group="executors")
    project.config('plugins = []\nexecutor = "mine"\n')
    lock = _locked(project)
    assert (lock.executor, _texts(lock)) == ("mine", [])
    project.config('plugins = []\nexecutor = "other"\n')
    assert _texts(lock) == [
        "plugin mine: x_mine:Plugin of x-mine is locked, nothing is here",
        "plugin other: nothing is locked, x_other:Plugin of x-other is here",
        "executor: mine is locked, other is here",
        "distribution x-other: nothing is locked, 1.0 is here",
    ]


def test_a_plugin_whose_metadata_cannot_be_read_is_not_locked(plugins, project):
    """Nobody could tell whether it is the same later."""
    (plugins.folder / "x_loud-1.0.dist-info" / "METADATA").write_bytes(b"Name: \xff\n")
    project.config('plugins = ["loud"]\n')
    with pytest.raises(LockError) as caught:
        lock_of(Project.found())
    assert str(caught.value) == (
        "plugin 'loud' cannot be locked: the metadata of its distribution 'x-loud' cannot be read"
    )


def test_a_requirement_that_is_not_installed_is_not_locked(plugins, project):
    """All of them are named."""
    project.config("plugins = []\n")
    with pytest.raises(LockError) as caught:
        lock_of(Project.found(), ["none-such", "[wrong"])
    assert str(caught.value) == (
        "'[wrong' cannot be locked: it is not installed\n  'none-such' cannot be locked: it is not installed"
    )


def test_a_lock_error_survives_the_way_from_a_worker():
    """With its differences."""
    import pickle

    error = LockError("differs")
    error.differences = ("one",)
    found = pickle.loads(pickle.dumps(error))
    assert (str(found), found.differences) == ("differs", ("one",))
