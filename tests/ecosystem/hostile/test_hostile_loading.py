"""Plugins that are hostile before any hook is called: they are skipped, with one message, and all the rest works."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.heavy

CANNOT_IMPORT = "plugin 'hostile' (x_hostile:Plugin) cannot be imported: "
CANNOT_MAKE = "plugin 'hostile' cannot be made: "
CANNOT_USE = "plugin 'hostile' cannot be used:"
PLUGIN = "class Plugin(BasePlugin):\n    def before_run(self): ...\n"

CASES = {
    # On import --------------------------------------------------------------------------------------
    "raises on import": ("raise RuntimeError('no GPU')", f"{CANNOT_IMPORT}RuntimeError: no GPU"),
    "imports what is not there": (
        "import x_not_there",
        f"{CANNOT_IMPORT}ModuleNotFoundError: No module named 'x_not_there'",
    ),
    "calls sys.exit on import": ("sys.exit(3)", f"{CANNOT_IMPORT}SystemExit: 3"),
    "raises GeneratorExit on import": ("raise GeneratorExit", f"{CANNOT_IMPORT}GeneratorExit"),
    "raises a BaseException of its own on import": (
        "class Odd(BaseException): ...\nraise Odd('odd')",
        f"{CANNOT_IMPORT}Odd: odd",
    ),
    "raises an error whose text raises": (
        "class Odd(Exception):\n    def __str__(self): raise OSError\nraise Odd",
        f"{CANNOT_IMPORT}Odd: <Odd whose text cannot be shown: OSError>",
    ),
    "has a module whose attributes raise": (
        "def __getattr__(name): raise RuntimeError(f'no {name}')",
        f"{CANNOT_IMPORT}RuntimeError: no Plugin",
    ),
    "recurses without end on import": (
        "def f(): f()\nf()",
        f"{CANNOT_IMPORT}RecursionError: maximum recursion depth exceeded",
    ),
    # At construction --------------------------------------------------------------------------------
    "raises at construction": (
        "class Plugin(BasePlugin):\n    def __init__(self): raise OSError('no licence')",
        f"{CANNOT_MAKE}OSError: no licence",
    ),
    "calls sys.exit at construction": (
        "class Plugin(BasePlugin):\n    def __init__(self): sys.exit('bye')",
        f"{CANNOT_MAKE}SystemExit: bye",
    ),
    "raises GeneratorExit at construction": (
        "class Plugin(BasePlugin):\n    def __init__(self): raise GeneratorExit",
        f"{CANNOT_MAKE}GeneratorExit",
    ),
    "needs an option that has no default": (
        "import attrs\n\n@attrs.define\nclass Plugin(BasePlugin):\n    size: int\n    def before_run(self): ...",
        f"{CANNOT_MAKE}TypeError: Plugin.__init__() missing 1 required positional argument: 'size'",
    ),
    "has a metaclass whose attributes raise": (
        """
        class Meta(type):
            def __getattribute__(cls, name):
                if name.startswith("__"):
                    return type.__getattribute__(cls, name)
                raise RuntimeError(f"no {name}")

        class Plugin(metaclass=Meta):
            @hookimpl
            def before_run(self): ...
        """,
        f"{CANNOT_MAKE}RuntimeError: no autoload",
    ),
    # When it is looked at ---------------------------------------------------------------------------
    "has a property `essential` that raises": (
        f"{PLUGIN}    @property\n    def essential(self): raise RuntimeError('essential')",
        f"{CANNOT_USE} RuntimeError: essential",
    ),
    "has a property `before` that raises": (
        f"{PLUGIN}    @property\n    def before(self): raise RuntimeError('before')",
        f"{CANNOT_USE} RuntimeError: before",
    ),
    "has a property `concurrency` that raises": (
        f"{PLUGIN}    @property\n    def concurrency(self): raise RuntimeError('concurrency')",
        f"{CANNOT_USE} RuntimeError: concurrency",
    ),
    "raises whatever attribute is asked for": (
        f"{PLUGIN}    def __getattribute__(self, name): raise RuntimeError('attribute')",
        f"{CANNOT_USE} RuntimeError: attribute",
    ),
    "is no plugin": (
        "Plugin = object",
        f"{CANNOT_USE}\n  it implements no hook; mark functions with @hookimpl or subclass BasePlugin",
    ),
    "misspells a hook": (
        "class Plugin(BasePlugin):\n    def before_stp(self): ...",
        (
            f"{CANNOT_USE}\n  method 'before_stp' of Plugin looks like the hook 'before_step'; did you mean 'before_step'? "
            "(a helper of that name starts with an underscore)"
        ),
    ),
    "takes an argument that a hook does not have": (
        "class Plugin(BasePlugin):\n    def before_step(self, stepp): ...",
        (
            f"{CANNOT_USE}\n  hook 'before_step' has no argument 'stepp'; did you mean 'step'? The hook is "
            "before_step(experiment, step, ctx)"
        ),
    ),
    "takes *args and **kwargs": (
        "class Plugin(BasePlugin):\n    def before_step(self, *args, **kwargs): ...",
        (
            f"{CANNOT_USE}\n  hook 'before_step' takes *args; name the arguments that it needs: experiment, step, ctx\n  hook "
            "'before_step' takes **kwargs; name the arguments that it needs: experiment, step, ctx"
        ),
    ),
    "takes an argument by position behind one of its own": (
        "class Plugin(BasePlugin):\n    def before_step(self, own=1, step=None, /): ...",
        (
            f"{CANNOT_USE}\n  hook 'before_step' takes 'step' by position only, behind 'own', which is none of its arguments; "
            "put 'own' last"
        ),
    ),
    "has an async hook": (
        "class Plugin(BasePlugin):\n    async def before_run(self): ...",
        f"{CANNOT_USE}\n  hook 'before_run' is `async def`; hooks are plain functions",
    ),
    "wraps a hook that returns something": (
        "class Plugin:\n    @hookimpl(wrapper=True)\n    def describe_run(self): yield",
        f"{CANNOT_USE}\n  hook 'describe_run' cannot be a wrapper, because it returns something; only the others can",
    ),
    "was written for a newer contract": (
        f"{PLUGIN}    contract = '99.0'",
        "plugin 'hostile' was written for contract 99.0, and crystallize-core ",
    ),
}
each = pytest.mark.parametrize(("code", "reason"), CASES.values(), ids=CASES)
ADDRESS = "[distribution 'x-hostile 1.0', plugin 'hostile']"


@each
def test_it_is_skipped_with_one_message_and_the_run_is_what_it_was(machine, clean, code, reason):
    """Nobody else misses a call, and the digest is the same."""
    machine.plugin(code)
    done = machine.run()
    assert (done.code, done.err) == (0, "")
    assert (done.result["digest"], done.calls) == (clean.result["digest"], clean.calls)
    (note,) = done.result["run"]["notes"]
    assert note["text"].startswith(f"installed plugin 'hostile' was skipped: {reason}")
    assert note["text"].endswith(ADDRESS)


@each
def test_it_is_listed_and_refused_in_strict_mode_and_can_be_left_out(machine, clean, code, reason):
    """The ways to see it, to insist on it and to be rid of it."""
    machine.plugin(code)
    ((status, said, hooks),) = machine.listed()
    assert (status, hooks) == ("broken", [])
    assert said.startswith(reason)
    assert said.endswith(ADDRESS)
    strict = machine.run(CRYSTALLIZE_STRICT="1")
    assert (strict.code, strict.out, strict.calls) == (2, "", ())
    assert strict.err.count(reason) == strict.err.count("error: ") == 1
    assert "Traceback" not in strict.err
    without = machine.run(CRYSTALLIZE_DISABLE="hostile")
    assert (without.code, without.err, without.result["run"]["notes"]) == (0, "", [])
    assert (without.result["digest"], without.calls) == (clean.result["digest"], clean.calls)
