"""`CRYSTALLIZE_LOCKED=1`: no run with anything but the locked stack, and its digest in the record of the run."""

from __future__ import annotations

import sys

import pytest

from crystallize_core import BasePlugin, Experiment, LockError, Pipeline
from crystallize_core.result import Result
from crystallize_core.stack.lock.document import write_lock
from crystallize_core.stack.lock.project import Project, lock_of

PLUGIN = """
    import attrs
    from crystallize_core import BasePlugin

    @attrs.frozen
    class Plugin(BasePlugin):
        size: int = 1

        def before_run(self, experiment, run):
            pass
"""
EXECUTOR = """
    from crystallize_core import BasePlugin

    class Plugin(BasePlugin):
        def run_experiment_loop(self, experiment, replicate_fn):
            return [replicate_fn(number) for number in range(experiment.replicates)]
"""


def _experiment(**options):
    return Experiment(lambda ctx: 1, [lambda data: (data, {"value": data})], **options)


@pytest.fixture
def locked(site, project, monkeypatch):
    """A project with one plugin whose stack is locked; runs have to keep to it."""
    site.plugin("loud", PLUGIN)
    project.config('plugins = ["loud"]\n')
    lock = lock_of(Project.found())
    write_lock(lock, project.folder / "crystallize.lock")
    monkeypatch.setenv("CRYSTALLIZE_LOCKED", "1")
    return lock


def test_the_record_of_a_locked_run_has_the_digest_of_its_lock(locked):
    """Also after it was written and read."""
    result = _experiment().run()
    assert result.run.lock_digest == locked.digest
    assert Result.from_dict(result.to_dict()).run.lock_digest == locked.digest


def test_the_record_of_another_run_has_none(locked, monkeypatch):
    """A lock that nobody compared with says nothing about a run."""
    monkeypatch.delenv("CRYSTALLIZE_LOCKED")
    assert _experiment().run().run.lock_digest is None


def test_drift_is_refused_before_the_plugin_is_imported(locked, site):
    """When the experiment is made."""
    del sys.modules["x_loud"]
    site.module("x_loud", "raise SystemExit('this must not run')\n")
    with pytest.raises(LockError) as caught:
        _experiment()
    assert [(d.kind, d.name) for d in caught.value.differences] == [("files", "x-loud")]
    assert "x_loud" not in sys.modules


def test_the_message_names_every_difference_and_what_to_do(locked, project):
    """In one text."""
    project.config('plugins = ["loud"]\nexecutor = "other"\n\n[options.loud]\nsize = 2\n')
    with pytest.raises(LockError) as caught:
        _experiment()
    assert str(caught.value) == (
        f"what is here is not what {project.folder / 'crystallize.lock'} says:\n"
        "  executor: none is locked, other is here\n"
        "  option loud.size: 1 is locked, 2 is here\n"
        "`crystallize lock` locks what is here; "
        "`crystallize lock --requirements` prints what pip needs for what is locked"
    )


def test_a_run_is_refused_where_the_variable_was_set_after_the_experiment_was_made(locked, site, monkeypatch):
    """Nothing has run."""
    monkeypatch.delenv("CRYSTALLIZE_LOCKED")
    experiment = _experiment()
    site.module("x_loud", PLUGIN + "\n    # changed\n")
    monkeypatch.setenv("CRYSTALLIZE_LOCKED", "1")
    with pytest.raises(LockError, match=r"changed: x_loud\.py"):
        experiment.run()


def test_a_pipeline_on_its_own_is_refused_as_well(locked, project):
    """It has the same stack."""
    project.config("plugins = []\n")
    with pytest.raises(LockError, match="plugin loud: "):
        Pipeline([lambda data: data]).run(inputs={"data": 1})


def test_without_a_lock_nothing_runs(locked, project):
    """The message says how to get one."""
    (project.folder / "crystallize.lock").unlink()
    with pytest.raises(LockError, match=r"there is no .*crystallize\.lock; `crystallize lock` writes it"):
        _experiment()


def test_a_plugin_that_is_passed_belongs_to_the_experiment(locked):
    """It may take the place of a locked one, or come beside it, and is in the record."""
    from x_loud import Plugin

    class Beside(BasePlugin):
        pass

    run = _experiment(plugins=[Plugin(size=5), Beside()]).run().run
    assert [(p.name, dict(p.options)) for p in run.stack] == [("loud", {"size": 5}), ("beside", {})]
    assert run.lock_digest == locked.digest


def test_an_experiment_without_the_stack_has_plugins_of_its_own(locked):
    """Its record says that what is installed is what was locked."""
    run = _experiment(autoload=False).run().run
    assert (run.stack, run.lock_digest) == ((), locked.digest)


def test_what_is_installed_counts_for_an_experiment_without_the_stack(locked, site):
    """It may import it by itself."""
    site.module("x_loud", PLUGIN + "\n    # changed\n")
    with pytest.raises(LockError, match=r"changed: x_loud\.py"):
        _experiment(autoload=False)


def test_an_option_from_the_environment_is_compared_by_what_it_means(locked, monkeypatch):
    """Once the plugin is there that knows; how it was given does not count."""
    monkeypatch.setenv("CRYSTALLIZE_LOUD__SIZE", "1")
    assert _experiment().run().run.lock_digest == locked.digest
    monkeypatch.setenv("CRYSTALLIZE_LOUD__SIZE", "2")
    with pytest.raises(LockError, match=r"option loud\.size: 1 is locked, 2 is here"):
        _experiment()


def test_every_instance_of_a_plugin_is_locked(site, project, monkeypatch):
    """Under its own name, with its own options."""
    site.plugin("loud", PLUGIN)
    project.config('plugins = ["loud", "loud as other"]\n\n[options.other]\nsize = 5\n')
    lock = lock_of(Project.found())
    assert [(p.name, p.entry_point, p.options) for p in lock.plugins] == [
        ("loud", "x_loud:Plugin", {"size": 1}),
        ("other", "x_loud:Plugin", {"size": 5}),
    ]
    write_lock(lock, project.folder / "crystallize.lock")
    monkeypatch.setenv("CRYSTALLIZE_LOCKED", "1")
    assert _experiment().run().run.lock_digest == lock.digest


def test_an_executor_of_a_distribution_that_is_not_locked_is_not_imported(locked, site):
    """Whoever asks for it."""
    site.plugin("mine", "raise SystemExit('this must not run')\n", group="executors")
    with pytest.raises(LockError, match="executor mine: x_mine:Plugin of x-mine was asked for, and the files"):
        _experiment(executor="mine")


def test_an_executor_that_was_locked_besides_the_stack_may_be_asked_for(locked, site, project):
    """With `--also`, its files are locked."""
    site.plugin("mine", EXECUTOR, group="executors")
    write_lock(lock_of(Project.found(), ["x-mine"]), project.folder / "crystallize.lock")
    assert _experiment(executor="mine").run().run.executor == "mine"
    site.module("x_mine", EXECUTOR + "\n    # changed\n")
    (project.folder / "crystallize.lock").touch()  # what was compared once in a process is not compared again
    with pytest.raises(LockError, match=r"changed: x_mine\.py"):
        _experiment(executor="mine")


def test_another_executor_of_a_locked_distribution_may_be_chosen(site, project, monkeypatch):
    """The result is the same whatever the executor."""
    site.module("x_both", EXECUTOR)
    site.distribution("x-both", "[crystallize.executors]\none = x_both:Plugin\nother = x_both:Plugin\n")
    project.config('plugins = []\nexecutor = "one"\n')
    lock = lock_of(Project.found())
    write_lock(lock, project.folder / "crystallize.lock")
    monkeypatch.setenv("CRYSTALLIZE_LOCKED", "1")
    run = _experiment().run(executor="other").run
    assert (run.executor, run.lock_digest) == ("other", lock.digest)


def test_options_that_are_computed_are_compared_once_the_plugin_is_made(site, project, monkeypatch):
    """Only then are they known."""
    site.plugin(
        "moody",
        """
        import os
        import attrs
        from crystallize_core import BasePlugin

        @attrs.frozen
        class Plugin(BasePlugin):
            mood: str = attrs.field(factory=lambda: os.environ["MOOD"])
        """,
    )
    project.config('plugins = ["moody"]\n')
    monkeypatch.setenv("MOOD", "good")
    write_lock(lock_of(Project.found()), project.folder / "crystallize.lock")
    monkeypatch.setenv("CRYSTALLIZE_LOCKED", "1")
    monkeypatch.setenv("MOOD", "bad")
    with pytest.raises(LockError, match=r'option moody\.mood: "good" is locked, "bad" is here'):
        _experiment()


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ('plugins = ["loud"]\n', True),
        ('plugins = ["loud"]\n[options.loud]\nsize = 2\n', False),
        ('plugins = ["loud", "./hooks.py"]\n', False),
        ("plugins = []\n", False),
    ],
)
def test_every_run_has_a_digest_of_its_stack(site, project, changed, same):
    """Locked or not."""
    site.plugin("loud", PLUGIN)
    project.write("hooks.py", "from crystallize_core import BasePlugin\nclass Mine(BasePlugin): pass\n")
    project.config('plugins = ["loud"]\n')
    before = _experiment().run().run.stack_digest
    project.config(changed)
    assert (_experiment().run().run.stack_digest == before) is same


def test_the_digest_of_a_stack_covers_the_text_of_local_files(project, site):
    """Another comment is another digest, as it is in a lock."""
    text = "from crystallize_core import BasePlugin\nclass Mine(BasePlugin): pass\n"
    digests = []
    for number in range(2):
        folder = project.folder / f"at{number}"
        folder.mkdir()
        project.write(f"at{number}/hooks.py", f"{text}# {number}\n")
        project.config(f'plugins = ["./at{number}/hooks.py"]\n')
        digests.append(_experiment().run().run.stack_digest)
    assert len(set(digests)) == 2


def test_the_same_local_file_elsewhere_is_the_same_stack(project, site):
    """Its path does not count."""
    text = "from crystallize_core import BasePlugin\nclass Mine(BasePlugin): pass\n"
    digests = []
    for number in range(2):
        project.write(f"at{number}/hooks.py", text)
        project.config(f'plugins = ["./at{number}/hooks.py"]\n')
        digests.append(_experiment().run().run.stack_digest)
    assert len(set(digests)) == 1
