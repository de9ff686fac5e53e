"""A stack: plugins in their order, and the recipe by which a worker makes one of its own."""

from __future__ import annotations

import importlib.util
import pickle
import pickletools
import subprocess
import sys

import attrs
import pytest

from crystallize_core import BasePlugin, Experiment, PluginError, hookimpl
from crystallize_core.stack.attached import ActivePlugin, Stack

CALLS = []


@attrs.define
class Equal(BasePlugin):
    size: int = 1

    def before_run(self, run):
        CALLS.append(self.size)

    def after_step(self, data): ...


@attrs.frozen
class Unhashable(BasePlugin):
    items: list = attrs.field(factory=list)

    def before_run(self, run):
        CALLS.append("unhashable")


def make(*plugins):
    return Stack([ActivePlugin(f"p{at}", plugin, "argument") for at, plugin in enumerate(plugins)])


def globals_in(content):
    """The modules that a pickle refers to."""
    strings = []
    found = set()
    for opcode, argument, _ in pickletools.genops(content):
        if isinstance(argument, str):
            strings.append(argument)
        if opcode.name == "STACK_GLOBAL":
            found.add(strings[-2])
        elif opcode.name == "GLOBAL":
            found.add(argument.partition(" ")[0])
    return found


def test_two_equal_instances_are_two_plugins():
    """Equality of options does not make one of them disappear."""
    CALLS.clear()
    Experiment(lambda ctx: 1, [lambda data: data], [Equal(), Equal(), Unhashable()], autoload=False).run()
    assert CALLS == [1, 1, "unhashable"]


def test_attributes_of_strangers_are_not_run_when_they_are_attached():
    """Only what is a hook is looked at."""

    class Lazy:
        @property
        def connection(self):
            raise AssertionError

        @hookimpl
        def before_run(self):
            CALLS.append("lazy")

    CALLS.clear()
    Experiment(lambda ctx: 1, [lambda data: data], [Lazy()], autoload=False).run()
    assert CALLS == ["lazy"]


def test_two_plugins_of_one_name_are_refused():
    """Neither disappears behind the other."""
    first, second = (
        ActivePlugin("same", Equal(), "argument"),
        ActivePlugin("same", Equal(), "entry point", "x-dist", "1"),
    )
    with pytest.raises(PluginError) as caught:
        Stack([first, second])
    assert str(caught.value) == (
        "two plugins are named 'same' (argument and x-dist); a stack has one of each name [plugin 'same']"
    )


def test_a_stack_survives_pickling():
    """Names, options, order and origin are the same; the skipped ones are left behind."""
    before = Stack([ActivePlugin("b", Equal(2), "entry point", "x", "1.0"), ActivePlugin("a", Equal(1), "argument")])
    after = pickle.loads(pickle.dumps(before))
    assert after.plugins == before.plugins
    assert len(after) == 2
    assert after.manager is not before.manager
    assert [name for name, _ in after.manager.list_name_plugin()] == ["a", "b"]


def test_the_pickle_of_a_stack_holds_no_plugin_manager():
    """A worker builds its own: nothing of pluggy travels."""
    content = pickle.dumps(make(Equal(), Unhashable()))
    modules = globals_in(content)
    assert "crystallize_core.stack.attached" in modules
    assert {module for module in modules if module.startswith("pluggy")} == set()
    assert b"pluggy" not in content
    assert b"_Manager" not in content


def test_the_pickle_of_an_experiment_holds_no_plugin_manager():
    """The same for what an executor sends."""
    made = Experiment(step_input, [step], [Equal()], autoload=False)
    content = pickle.dumps(made)
    assert b"pluggy" not in content
    assert {module for module in globals_in(content) if module.startswith("pluggy")} == set()
    assert [plugin.name for plugin in pickle.loads(content).stack] == ["equal"]


def step_input(ctx):
    return 1


def step(data):
    return data


def test_a_module_travels_by_its_name(tmp_path, monkeypatch):
    """The worker imports it."""
    (tmp_path / "hooks_that_travel.py").write_text(
        "from crystallize_core import hookimpl\n@hookimpl\ndef before_run(run): ...\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import hooks_that_travel

    stack = make(hooks_that_travel)
    assert pickle.loads(pickle.dumps(stack)).plugins == stack.plugins
    del sys.modules["hooks_that_travel"]


def test_another_process_can_rebuild_a_stack(tmp_path):
    """Under a fresh interpreter, as a spawned worker has one."""
    (tmp_path / "of_a_plugin.py").write_text(
        "import attrs\nfrom crystallize_core import BasePlugin\n"
        "@attrs.define\nclass Mine(BasePlugin):\n    size: int = 1\n    def before_run(self, run): ...\n",
        encoding="utf-8",
    )
    spec = importlib.util.spec_from_file_location("of_a_plugin", tmp_path / "of_a_plugin.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["of_a_plugin"] = module
    spec.loader.exec_module(module)
    try:
        (tmp_path / "stack.pickle").write_bytes(pickle.dumps(make(module.Mine(size=7))))
    finally:
        del sys.modules["of_a_plugin"]
    code = (
        "import pickle, sys; sys.path.insert(0, sys.argv[1]); "
        "stack = pickle.load(open(sys.argv[1] + '/stack.pickle', 'rb')); "
        "print([(p.name, p.plugin) for p in stack], stack.manager.hook.before_run.get_hookimpls() != [])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[('p0', Mine(size=7))] True\n", "")


def test_a_plugin_that_cannot_travel_says_so_when_it_has_to():
    """Only then: with a loop in one process nobody minds."""
    stack = make(Unhashable([lambda: 1]))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(stack)
