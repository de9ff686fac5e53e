"""Plugins that change the process around them, hang, print, leave threads, or call what calls them."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.heavy

BODY = "class Plugin(BasePlugin):\n    def before_run(self): ...\n"


def same(done, clean):
    """Nothing of the result has changed, and nobody missed a call."""
    return (done.code, done.result["digest"], done.calls) == (0, clean.result["digest"], clean.calls)


PUT_BACK = {
    "changes the working folder on import": ("os.chdir('/')", "the working folder"),
    "lowers the recursion limit on import": ("sys.setrecursionlimit(150)", "the recursion limit"),
    "changes the locale on import": ("import locale; locale.setlocale(locale.LC_ALL, 'C.UTF-8')", "the locale"),
    "replaces sys.stdout on import": ("import io; sys.stdout = io.StringIO()", "sys.stdout"),
    "replaces sys.stderr on import": ("import io; sys.stderr = io.StringIO()", "sys.stderr"),
    "ignores Ctrl-C on import": (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
        "what Ctrl-C does",
    ),
    "seeds the global random numbers on import": ("import random; random.seed(1)", "the global random numbers"),
    "changes several of these on import": (
        "os.chdir('/'); import random; random.seed(1)",
        "the working folder and the global random numbers",
    ),
}


@pytest.mark.parametrize(("code", "what"), PUT_BACK.values(), ids=PUT_BACK)
def test_what_an_import_changes_is_put_back_and_said_once(machine, clean, code, what):
    """The plugin is used, and the process is as it was."""
    machine.plugin(f"{code}\n{BODY}")
    done = machine.run()
    assert same(done, clean)
    text = f"plugin 'hostile' of x-hostile 1.0 changed {what} while it was loaded, which was put back"
    assert done.err.count(text) == done.err.count("SideEffectWarning") == 1
    assert (machine.work / ".cache").is_dir()
    without = machine.run(CRYSTALLIZE_DISABLE="hostile")
    assert (without.err, same(without, clean)) == ("", True)


def test_a_construction_that_changes_the_process_is_put_back_too(machine, clean):
    """It runs before any hook, as an import does."""
    machine.plugin(f"{BODY}    def __init__(self): os.chdir('/')\n")
    done = machine.run()
    assert same(done, clean)
    assert done.err.count("changed the working folder while it was loaded, which was put back") == 1


LEFT = {
    "sets environment variables": "os.environ['X_HOSTILE'] = '1'",
    "raises the recursion limit": "sys.setrecursionlimit(5000)",
    "adds filters of warnings": "import warnings; warnings.simplefilter('ignore')",
    "replaces sys.excepthook": "sys.excepthook = lambda *args: os._exit(9)",
    "leaves a daemon thread on import": (
        "import threading, time\n\ndef work():\n    while True: time.sleep(0.01)\n\nthreading.Thread(target=work, daemon=True).start()"
    ),
    "has objects that raise when they are compared, shown or hashed": (
        "class Odd:\n    def __eq__(self, other): raise OSError\n    __hash__ = __bool__ = __repr__ = __len__ = __eq__\n"
    ),
}


@pytest.mark.parametrize("code", LEFT.values(), ids=LEFT)
def test_what_an_import_may_change_is_left_alone(machine, clean, code):
    """Libraries do so for good reasons."""
    body = BODY.replace("BasePlugin", "Odd, BasePlugin") if "Odd" in code else BODY
    machine.plugin(f"{code}\n{body}")
    done = machine.run()
    assert (same(done, clean), done.err, done.result["run"]["notes"]) == (True, "", [])


ACCEPTED = {
    "takes arguments by keyword only": "def before_step(self, *, ctx, step): ...",
    "takes arguments by position only": "def before_step(self, step, ctx, /): ...",
    "has arguments of its own with defaults": "def before_step(self, own=1, step=None): assert step is not None",
    "has a `__dir__` that raises": "def before_run(self): ...\n    def __dir__(self): raise OSError",
    "has a property that raises": "def before_run(self): ...\n    @property\n    def other(self): raise OSError",
    "has a class method as a hook": "@classmethod\n    def before_step(cls, step): ...",
}


@pytest.mark.parametrize("code", ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_unusual_and_allowed_works(machine, clean, code):
    """Nothing is said."""
    machine.plugin(f"class Plugin(BasePlugin):\n    {code}\n")
    done = machine.run()
    assert (same(done, clean), done.err, done.result["run"]["notes"]) == (True, "", [])


def test_a_plugin_that_prints_does_not_disturb_json(machine, clean):
    """On import, at construction and in a hook, through Python and past it: all of it goes to standard error."""
    machine.plugin(
        """
        print("import")
        os.write(1, b"descriptor\\n")

        class Plugin(BasePlugin):
            def __init__(self): print("construction")
            def before_run(self): print("hook", flush=True); os.system("echo process")
        """
    )
    done = machine.run()
    assert same(done, clean)
    assert sorted(done.err.split()) == ["construction", "descriptor", "hook", "import", "process"]
    listed = machine("plugins", "list", "--json")
    assert {entry["name"] for entry in listed.result["plugins"]} >= {"hostile", "witness"}
    assert sorted(listed.err.split()) == ["construction", "descriptor", "import"]


def test_a_plugin_that_warns_on_import_warns_once(machine, clean):
    """As any module does."""
    machine.plugin(f"import warnings\nwarnings.warn('old', stacklevel=1)\n{BODY}")
    done = machine.run()
    assert same(done, clean)
    assert done.err.count("UserWarning: old") == 1


def test_a_hook_that_replaces_standard_output_does_not_swallow_the_result(machine, clean):
    """The command has its streams back when the run is over."""
    machine.plugin(
        "import io\n\nclass Plugin(BasePlugin):\n    def before_run(self): sys.stdout = sys.stderr = io.StringIO()\n"
    )
    assert same(machine.run(), clean)
    assert clean.result["digest"] in machine("run", "study.py").out


def test_a_hook_that_changes_the_working_folder_does_not_move_the_output(machine, clean):
    """What was asked for on the command line was asked for in the folder of the command."""
    machine.plugin("class Plugin(BasePlugin):\n    def before_run(self): os.chdir('/')\n")
    done = machine.run("--output", "result.json")
    assert same(done, clean)
    assert clean.result["digest"] in (machine.work / "result.json").read_text()


def test_an_import_that_hangs_says_so_and_ctrl_c_names_it(machine):
    """Within seconds, with what to do."""
    machine.plugin("import time\nwhile True: time.sleep(0.01)\n")
    done = machine.run(seconds=1.5, CRYSTALLIZE_PATIENCE="0.2")
    assert (done.code, done.out) == (130, "")
    assert done.err.splitlines() == [
        (
            "crystallize: plugin 'hostile' of x-hostile 1.0 (x_hostile:Plugin) has been loading for 0.2 s; wait, or press "
            "Ctrl-C and leave it out with CRYSTALLIZE_DISABLE=hostile"
        ),
        "interrupted",
        "interrupted while plugin 'hostile' of x-hostile 1.0 was loaded; CRYSTALLIZE_DISABLE=hostile leaves it out",
    ]


def test_an_import_that_is_only_slow_says_so_and_goes_on(machine, clean):
    """Nothing else changes."""
    machine.plugin(f"import time\ntime.sleep(0.5)\n{BODY}")
    done = machine.run(CRYSTALLIZE_PATIENCE="0.1")
    assert same(done, clean)
    assert done.err.count("has been loading for 0.1 s") == done.err.count("\n") == 1


def test_a_patience_that_is_none_is_refused(machine):
    """With the variable."""
    machine.plugin(BODY)
    done = machine.run(CRYSTALLIZE_PATIENCE="long")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("environment variable CRYSTALLIZE_PATIENCE: expected seconds above 0, found 'long'") == 1


@pytest.mark.parametrize("where", ["on import", "in a hook"])
def test_a_thread_that_never_ends_does_not_keep_the_process(machine, clean, where):
    """The result is there at once; what is waited for is said, and in the end not waited for any longer."""
    start = "threading.Thread(target=work, name='leak').start()"
    on_import, in_hook = (start, "...") if where == "on import" else ("", start)
    work = "import threading, time\n\ndef work():\n    while True: time.sleep(0.01)\n"
    machine.plugin(f"{work}\n{on_import}\nclass Plugin(BasePlugin):\n    def before_run(self): {in_hook}\n")
    done = machine.run(CRYSTALLIZE_PATIENCE="0.1")
    assert (done.code, done.result["digest"]) == (0, clean.result["digest"])
    left = "threads that were left running: 'leak' of x_hostile"
    assert done.err.splitlines() == [
        f"crystallize: the command is done, and waits for {left}; Ctrl-C ends it",
        f"crystallize: ended without {left}, after 1 s",
    ]


RUNS_ITSELF = (
    "experiment 'study' is run by one of its own hooks or steps, which would go on without end; run another one there, "
    "or run it when this run has ended"
)


@pytest.mark.parametrize("name", ["before_run", "on_event", "replicate_done", "before_replicate", "before_step"])
@pytest.mark.parametrize("call", ["run()", "apply()", "dry_run()"])
def test_an_observer_that_runs_the_experiment_that_it_observes_is_switched_off(machine, clean, name, call):
    """It would run itself without end."""
    machine.plugin(
        f"class Plugin(BasePlugin):\n    essential = False\n    def {name}(self, experiment): experiment.{call}\n"
    )
    done = machine.run()
    assert (same(done, clean), done.err) == (True, "")
    (note,) = done.result["run"]["notes"]
    assert note["text"].endswith(f"its hook {name!r} raised DefinitionError: {RUNS_ITSELF}")


@pytest.mark.parametrize("name", ["before_run", "on_event", "after_run"])
def test_an_essential_plugin_that_runs_the_experiment_that_it_belongs_to_fails(machine, name):
    """With one message, however deep it was; a run that has ended may be looked at once more, and no more."""
    machine.plugin(f"class Plugin(BasePlugin):\n    def {name}(self, experiment): experiment.run()\n")
    done = machine.run()
    assert done.code == 1
    assert done.err.count(RUNS_ITSELF) == 1
    assert f"hook {name!r} of plugin 'hostile' raised DefinitionError" in done.err
    assert "Traceback" not in done.err


def test_a_plugin_that_deletes_itself_while_it_runs_finishes_the_run(machine, clean):
    """It is in memory; afterwards it is broken, and is said to be."""
    machine.plugin(
        """
        import shutil
        from pathlib import Path

        class Plugin(BasePlugin):
            def before_run(self):
                os.remove(__file__)
                shutil.rmtree(Path(__file__).with_name("__pycache__"), ignore_errors=True)
        """
    )
    done = machine.run()
    assert (same(done, clean), done.err) == (True, "")
    ((status, reason, _),) = machine.listed()
    assert status == "broken"
    assert "ModuleNotFoundError: No module named 'x_hostile'" in reason


def test_a_plugin_that_deletes_its_distribution_while_it_runs_finishes_the_run(machine, clean):
    """The record says what it was; afterwards it is gone."""
    machine.plugin(
        """
        import shutil
        from pathlib import Path

        class Plugin(BasePlugin):
            def before_run(self):
                shutil.rmtree(Path(__file__).with_name("x_hostile-1.0.dist-info"))
        """
    )
    done = machine.run()
    assert (same(done, clean), done.err) == (True, "")
    assert [(p["name"], p["version"]) for p in done.result["run"]["stack"]] == [("hostile", "1.0"), ("witness", "1.0")]
    assert machine.listed() == []


PATCHES = {
    "replaces a method of the core": (
        "import crystallize_core.experiment as e\ne.Experiment.run = lambda self, **more: sys.exit('mine')"
    ),
    "replaces a hook specification": "import crystallize_core.hookspecs as h\nh.HOOKS.clear()",
}


@pytest.mark.parametrize("code", PATCHES.values(), ids=PATCHES)
def test_a_plugin_that_replaces_parts_of_the_core_is_left_out_like_any_other(machine, clean, code):
    """What it does while it is used nobody can prevent."""
    machine.plugin(f"{code}\n{BODY}")
    machine.run()
    done = machine.run(CRYSTALLIZE_DISABLE="hostile")
    assert (same(done, clean), done.err) == (True, "")


def test_a_context_cannot_be_changed_by_an_observer(machine, clean):
    """It is switched off."""
    machine.plugin(
        "class Plugin(BasePlugin):\n    essential = False\n    def before_step(self, ctx): ctx['replicate'] = 7\n"
    )
    done = machine.run()
    assert (same(done, clean), done.err, len(done.result["run"]["notes"])) == (True, "", 1)


def test_what_a_hook_does_to_the_treatments_of_a_run_has_no_effect_on_it_or_on_others(machine, clean):
    """The conditions of a run are fixed before its first hook, and belong to it."""
    machine.plugin(
        "class Plugin(BasePlugin):\n    def before_run(self, experiment): experiment.treatments.clear()\n"
        "    def should_stop(self, outcomes): assert type(outcomes) is tuple\n"
    )
    text = (machine.work / "study.py").read_text()
    (machine.work / "study.py").write_text(f"{text}\nexperiment.run()\n")
    done = machine.run()
    assert (done.code, done.err, done.result["digest"]) == (0, "", clean.result["digest"])


CHANGES = {
    "changes the data that flows between steps": "def after_step(self, step, data): step.name == 'first' and data.append(1)",
    "changes an outcome": "def replicate_done(self, outcome): outcome.cells[0].metrics.clear()",
    "changes the result": "def after_run(self, result): result.metrics.baseline.record(7, [('total', 1, None)], failed=False)",
}


@pytest.mark.parametrize("code", CHANGES.values(), ids=CHANGES)
def test_what_a_hook_is_given_is_the_thing_itself(machine, clean, code):
    """A copy would cost every run; a digest without the plugin shows what it does."""
    machine.plugin(f"class Plugin(BasePlugin):\n    {code}\n")
    done = machine.run()
    assert (done.code, done.err) == (0, "")
    assert done.result["digest"] != clean.result["digest"]
    assert same(machine.run(CRYSTALLIZE_DISABLE="hostile"), clean)
