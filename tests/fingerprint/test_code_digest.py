"""The digest of code: unchanged by what means nothing, changed by whatever the code reaches, told apart by its parts."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import crystallize_core.fingerprint as package
from crystallize_core.errors import FingerprintError
from crystallize_core.fingerprint import code_digest, code_parts, content_digest

ROOT = Path(package.__file__).parents[2]
PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor} ({sys.implementation.name})"

PREP = '''
"""Helpers."""
import math

LIMIT = 3
TABLE = {"a": [1, 2]}


def deeper(x):
    return x * LIMIT


def clean(x):
    """Clean."""
    # a comment
    return deeper(x) + math.sqrt(2)


def unused(x):
    return x
'''

STEP = '''
import prep
from prep import clean


def make(n):
    def step(data: int, factor=2, *, key="k") -> int:
        """What it does."""
        total = clean(data) * factor + n  # a comment
        return total, prep.TABLE[key]

    return step


step = make(5)
'''


def differ(load, before, after, expression="m.f"):
    """Whether two sources of one module differ in the digest; each must be the same when loaded twice."""
    digests = [code_digest(load(expression, m=source)) for source in (before, after, before, after)]
    assert digests[:2] == digests[2:]
    return digests[0] != digests[1]


SAME = {
    "nothing, only the folder": (PREP, STEP),
    "lines shifted": ("\n\n\n" + PREP, "x = 1\n\n" + STEP),
    "comment": (PREP.replace("# a comment", "# another"), STEP.replace("# a comment", "")),
    "formatting": (PREP.replace("deeper(x) +", "(deeper( x )\n        +").replace("sqrt(2)", "sqrt(2))"), STEP),
    "docstring": (PREP.replace('"""Clean."""', ""), STEP.replace("What it does.", "Something.")),
    "annotation": (PREP, STEP.replace("data: int", "data: 'float'").replace("-> int", "")),
    "annotated variable": (PREP, STEP.replace("total =", "total: float =")),
    "another function of the module": (PREP.replace("return x\n", "return -x\n"), STEP),
    "an unused import": ("import json\n" + PREP, STEP),
}
CHANGED = {
    "own body": (PREP, STEP.replace("* factor", "/ factor"), "its own code"),
    "default": (PREP, STEP.replace("factor=2", "factor=3"), "default of `factor`"),
    "type of a default": (PREP, STEP.replace("factor=2", "factor=2.0"), "default of `factor`"),
    "keyword default": (PREP, STEP.replace('"k"', '"l"'), "default of `key`"),
    "closure": (PREP, STEP.replace("make(5)", "make(6)"), "closure value `n`"),
    "helper": (PREP.replace("sqrt(2)", "sqrt(3)"), STEP, "helper `clean` in `prep.py`"),
    "helper's helper": (PREP.replace("x * LIMIT", "x + LIMIT"), STEP, "helper `deeper` in `prep.py`"),
    "module constant": (PREP.replace("LIMIT = 3", "LIMIT = 4"), STEP, "constant `LIMIT` in `prep.py`"),
    "inside a constant": (PREP.replace("[1, 2]", "[1, 3]"), STEP, "constant `TABLE` in `prep.py`"),
    "meaning of a name": (PREP.replace("import math", "import cmath as math"), STEP, "helper `clean` in `prep.py`"),
    "a builtin is hidden": (
        PREP.replace("sqrt(2)", "floor(len('a'))"),
        STEP,
        "helper `clean` in `prep.py`",
    ),
}


@pytest.mark.parametrize("change", SAME)
def test_what_means_nothing_changes_nothing(load, change):
    """Folders, positions, comments, formatting, docstrings, annotations and unused code leave every part as it was."""
    before = code_parts(load(prep=PREP, step=STEP))
    prep, step = SAME[change]
    assert code_parts(load(prep=prep, step=step)) == before


@pytest.mark.parametrize("change", CHANGED)
def test_what_means_something_changes_exactly_its_part(load, change):
    """Each change of meaning changes the digest, and the parts name the one thing that was changed."""
    first = load(prep=PREP, step=STEP)
    before, digest = code_parts(first), code_digest(first)
    prep, step, label = CHANGED[change]
    function = load(prep=prep, step=step)
    after = code_parts(function)
    assert code_digest(function) != digest
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == {label}


def test_parts_begin_with_the_code_itself(load):
    """The parts name everything that is reached, the function first."""
    assert list(code_parts(load(prep=PREP, step=STEP))) == [
        "its own code",
        "constant `TABLE` in `prep.py`",
        "default of `factor`",
        "default of `key`",
        "closure value `n`",
        "helper `clean` in `prep.py`",
        "helper `deeper` in `prep.py`",
        "constant `LIMIT` in `prep.py`",
        PYTHON,
    ]


RUN = """
import sys
sys.path[:0] = [{root!r}, {folder!r}]
import step
from crystallize_core.fingerprint import code_digest
print(code_digest(step.step))
"""


def in_process(folder, seed, **modules):
    folder.mkdir()
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    command = [sys.executable, "-c", RUN.format(root=str(ROOT), folder=str(folder))]
    done = subprocess.run(command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_digests_agree_between_processes_folders_and_hash_seeds(tmp_path):
    """Other processes, folders and hash seeds compute the same digest; an edit of a helper gives another one."""
    rich = STEP + "\nimport enum\nclass E(enum.Enum):\n    A = 1\nNAMES = {'a', 'b', 'c'}\nFUNCTIONS = {make, step}\n"
    rich += "def other(x): return E.A, NAMES, FUNCTIONS, x in {'p', 'q', 'r'}, eval('lambda: {1, 2}')\nstep = other\n"
    rich += "exec(\"def made(x): return x in {'u', 'v', 'w'}\")\nFUNCTIONS.add(made)\n"
    digests = [in_process(tmp_path / seed, seed, prep=PREP, step=rich) for seed in ("0", "1", "42")]
    assert len(set(digests)) == 1
    edited = in_process(tmp_path / "edited", "0", prep=PREP.replace("* LIMIT", "+ LIMIT"), step=rich)
    assert edited != digests[0]


def test_all_but_one_part_are_the_same_on_all_versions_of_python(load):
    """Code whose source is found has parts that an upgrade of Python does not change, but for the one that names it."""
    parts = code_parts(load(prep=PREP, step=STEP))
    assert parts.pop(PYTHON)
    assert content_digest(parts) == GOLDEN


GOLDEN = "bc9643d09162e03bc56da8df99f086e1649b910e6dc90dc0b39f03b812cc6c24"


def test_another_python_is_another_digest(load, monkeypatch):
    """Between versions the same code comes to other values, as `sum` of floats does since 3.12; patches do not count."""
    function = load(prep=PREP, step=STEP)
    before = code_digest(function)
    monkeypatch.setattr(package.code, "_PYTHON", "Python 3.99 (cpython)")
    assert code_digest(function) != before


# --- recursion -------------------------------------------------------------------------------------------------------


def test_recursion_ends(load):
    """A function that calls itself has a digest, which its own body changes."""
    source = "def f(n):\n    return 1 if n < 2 else n * f(n - 1)\n"
    assert differ(load, source, source.replace("n * f", "n + f"))


def test_mutual_recursion_is_seen_from_both_ends(load):
    """Of two functions that call each other, a change in either changes the digests of both."""
    source = "def f(n):\n    return n and g(n - 1)\n\ndef g(n):\n    return n and f(n - 1) + 1\n"
    for expression in ("m.f", "m.g"):
        assert differ(load, source, source.replace("+ 1", "+ 2"), expression)


def test_a_closure_may_contain_itself(load):
    """A local function that calls itself through its closure has a digest."""
    source = "def make(k):\n    def f(n):\n        return n and f(n - 1) + k\n    return f\nf = make(1)\n"
    assert differ(load, source, source.replace("make(1)", "make(2)"))


def test_functions_in_a_table_that_they_use_end(load):
    """A registry that contains the functions which read it is walked once."""
    source = (
        "TABLE = {}\ndef g(x):\n    return TABLE['f'](x)\ndef f(x):\n    return TABLE['g'](x)\nTABLE.update(f=f, g=g)\n"
    )
    assert differ(load, source, source.replace("TABLE['g'](x)", "TABLE['g'](x + 1)"), "m.g")


# --- classes and objects ---------------------------------------------------------------------------------------------

CLASSES = """
import abc, dataclasses, enum, functools

def helper(x):
    return x + 1

class Base(abc.ABC):
    rate = 2
    @property
    def double(self):
        return self.value * self.rate
    @staticmethod
    def twice(x):
        return x * 2
    @classmethod
    def named(cls, x):
        return cls(x)
    @functools.cached_property
    def slow(self):
        return helper(3)
    @abc.abstractmethod
    def run(self, x): ...

class Model(Base):
    __slots__ = ("value",)
    def __init__(self, value):
        self.value = value
    def run(self, x):
        return super().double + helper(x)
    def __call__(self, x):
        return self.run(x)

@dataclasses.dataclass
class Settings:
    size: int = 4
    names: list = dataclasses.field(default_factory=list)
    def area(self):
        return self.size ** 2

class Mode(enum.Enum):
    FAST = 1
    SLOW = 2
    def describe(self):
        return self.name.lower()

MODEL = Model(7)
DEFAULT = Settings()

def f(x):
    return Model(x).run(1), Settings(3).area(), Mode.FAST.describe()

def g(x):
    return MODEL.run(x), DEFAULT, Mode

method = MODEL.run
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("super().double +", "super().double -"),
        ("self.value * self.rate", "self.value / self.rate"),
        ("x * 2", "x * 3"),
        ("cls(x)", "cls(x + 1)"),
        ("helper(3)", "helper(4)"),
        ("rate = 2", "rate = 3"),
        ("x + 1", "x + 2"),
        ("self.size ** 2", "self.size ** 3"),
        ("size: int = 4", "size: int = 5"),
        ("default_factory=list", "default_factory=dict"),
        ("size: int", "size: float"),
        ("SLOW = 2", "SLOW = 3"),
        ("lower()", "upper()"),
        ("@dataclasses.dataclass", "@dataclasses.dataclass(order=True)"),
        ("class Model(Base)", "class Middle(Base):\n    def twice(x): return 0\nclass Model(Middle)"),
    ],
)
@pytest.mark.parametrize("name", ["f", "g"])
def test_everything_in_a_class_counts(load, name, old, new):
    """Methods, properties, attributes, bases, fields and members count, reached by the class or by an instance."""
    assert old in CLASSES
    assert differ(load, CLASSES, CLASSES.replace(old, new), f"m.{name}")


@pytest.mark.parametrize("expression", ["m.MODEL", "m.method", "m.Model"])
def test_objects_and_methods_are_code_too(load, expression):
    """A callable object, a bound method and a class have digests that their class changes."""
    assert differ(load, CLASSES, CLASSES.replace("helper(x)\n    def", "helper(-x)\n    def"), expression)


@pytest.mark.parametrize("expression", ["m.MODEL", "m.method"])
def test_the_state_of_an_object_counts(load, expression):
    """A callable object, or that of a bound method, counts with its state."""
    assert differ(load, CLASSES, CLASSES.replace("Model(7)", "Model(8)"), expression)


def test_using_a_class_does_not_change_it(load):
    """What Python remembers in classes and instances while they are used is not part of the digest."""
    function = load("m.f", m=CLASSES)
    before = code_digest(function)
    function(1)
    module = sys.modules["m"]
    assert module.MODEL.slow
    content_digest([module.MODEL, module.DEFAULT])
    assert code_digest(function) == before


def test_docstrings_and_order_of_methods_in_classes_do_not_count(load):
    """A docstring of a class, or methods in another order, leave its digest as it is."""
    one = "class f:\n    'A'\n    def a(self): return 1\n    def b(self): return 2\n"
    other = "class f:\n    def b(self): return 2\n    def a(self):\n        'B'\n        return 1\n"
    assert not differ(load, one, other)


def test_attrs_classes_count_with_their_validators(load):
    """The validators, converters and defaults of an attrs class are part of it."""
    source = """
        import attrs
        def check(instance, attribute, value):
            if value < 0: raise ValueError
        @attrs.frozen
        class Options:
            size: int = attrs.field(default=4, validator=check, converter=lambda x: int(x))
        def f(x):
            return Options(x)
    """
    assert differ(load, source, source.replace("value < 0", "value < 1"))
    assert differ(load, source, source.replace("default=4", "default=5"))
    assert differ(load, source, source.replace("int(x))", "int(x) + 1)"))


def test_attrs_classes_agree_between_hash_seeds(tmp_path):
    """The `__hash__` that attrs makes has a number in it that each process draws anew; one that is written counts."""
    source = "import attrs\n@attrs.frozen\nclass Options:\n    size: int = 4\ndef step(x): return Options(x)\n"
    digests = [in_process(tmp_path / seed, seed, step=source) for seed in ("1", "2")]
    assert digests[0] == digests[1]
    written = source.replace("def step", "    def __hash__(self): return 1\ndef step")
    unhashable = source.replace("attrs.frozen", "attrs.define")
    others = [in_process(tmp_path / name, "1", step=text) for name, text in (("w", written), ("u", unhashable))]
    assert len({digests[0], *others}) == 3


# --- wrappers --------------------------------------------------------------------------------------------------------

WRAPPED = """
import contextlib, functools
def timed(unit):
    def around(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs), unit
        return wrapper
    return around
def inner(x, factor=2):
    return x * 2
decorated = timed("s")(inner)
cached = functools.lru_cache(inner)
partial = functools.partial(inner, 1, factor=3)
nested = functools.partial(partial, factor=4)
@contextlib.contextmanager
def context(x):
    yield inner(x)
@functools.singledispatch
def dispatch(x):
    return inner(x)
@dispatch.register
def _(x: int):
    return inner(x + 5)
async def coroutine(x):
    return inner(x)
def generator(x):
    yield inner(x)
static = staticmethod(inner)
"""
WRAPPERS = ["decorated", "cached", "partial", "nested", "context", "dispatch", "coroutine", "generator", "static"]


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("use", ["m.{}", "m.f"])
def test_wrappers_are_looked_through(load, name, use):
    """What is wrapped, by the project or by the standard library, counts, as root and as a global."""
    source = f"{WRAPPED}\ndef f(x):\n    return {name}(x)\n"
    assert differ(load, source, source.replace("x * 2", "x * 3"), use.format(name))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("decorated", "kwargs), unit", "kwargs), unit * 2"),
        ("decorated", 'timed("s")', 'timed("ms")'),
        ("partial", "inner, 1", "inner, 2"),
        ("partial", "factor=3", "factor=5"),
        ("nested", "factor=4", "factor=5"),
        ("dispatch", "x + 5", "x + 6"),
        ("context", "yield inner(x)\n@", "yield inner(-x)\n@"),
    ],
)
def test_the_wrapper_itself_counts(load, name, old, new):
    """The code and the closure of a wrapper, and the arguments bound by a partial, count beside what is wrapped."""
    assert old in WRAPPED
    assert differ(load, WRAPPED, WRAPPED.replace(old, new), f"m.{name}")


def test_parts_of_a_partial_name_its_arguments(load):
    """The parts of a partial say which bound argument it was."""
    assert list(code_parts(load("m.partial", m=WRAPPED)))[:4] == [
        "its own code",
        "argument 0",
        "argument `factor`",
        "helper `inner` in `m.py`",
    ]


@pytest.mark.parametrize("name", ["cached", "dispatch"])
def test_calling_a_wrapper_does_not_change_it(load, name):
    """What `lru_cache` and `singledispatch` remember is not part of the digest."""
    function = load(f"m.{name}", m=WRAPPED)
    before = code_digest(function)
    function(3)
    function("x")
    assert code_digest(function) == before


def test_where_a_module_was_found_does_not_count(load):
    """A function that uses `__file__` has the same digest in another folder."""
    source = "def f(x):\n    return __file__, __name__, x\n"
    assert code_digest(load("m.f", m=source)) == code_digest(load("m.f", m=source))


# --- lambdas and code without source ---------------------------------------------------------------------------------


def test_lambdas_on_one_line_differ(load):
    """Lambdas that stand on one line, also inside each other, are told apart, and are the same when loaded again."""
    source = "fs = [lambda x: x, lambda x: x + 1, lambda x: (lambda y: x + y), lambda x: (lambda y: x - y)]\n"
    count = 4
    digests = [code_digest(load(f"m.fs[{place}]", m=source)) for place in range(count)]
    inner = [code_digest(load(f"m.fs[{place}](0)", m=source)) for place in (2, 3)]
    assert len({*digests, *inner}) == count + 2
    assert not differ(
        load, source, source.replace("lambda x:", "lambda x :").replace(", lambda", ",   lambda"), "m.fs[3]"
    )


MADE = """
def make(source):
    space = {"LIMIT": 3, "__name__": "m"}
    exec(source, space)
    return space["f"]
f = make('''SOURCE''')
"""


def exec_differ(load, before, after):
    return differ(load, MADE.replace("SOURCE", before), MADE.replace("SOURCE", after))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("def f(x):\n    return x + LIMIT + 1", False),
        ("# comment\n\ndef f(x):\n    'Another.'\n    return (x +\n        LIMIT + 1)", False),
        ("def f(x):\n    'Doc.'\n    return x - LIMIT + 1", True),
        ("def f(x):\n    'Doc.'\n    return x + LIMIT + 2", True),
        ("def f(x):\n    'Doc.'\n    return x + LIMIT + 1.0", True),
        ("LIMIT = 4\ndef f(x):\n    'Doc.'\n    return x + LIMIT + 1", True),
    ],
)
def test_executed_code_counts_by_its_instructions(load, after, expected):
    """Code without a source is compared by instructions, names and constants, not by lines and docstrings."""
    assert exec_differ(load, "def f(x):\n    'Doc.'\n    return x + LIMIT + 1", after) is expected


def test_inner_code_of_executed_code_counts(load):
    """Functions and classes inside code without source are compared too."""
    before = (
        "def f(x):\n    class A:\n        'Doc.'\n        def g(self):\n            return 1\n    return A, (lambda: 2)"
    )
    assert exec_differ(load, before, before.replace("return 1", "return 3"))
    assert exec_differ(load, before, before.replace("lambda: 2", "lambda: 3"))
    assert not exec_differ(load, before, before.replace("Doc.", "Other."))


def test_a_loop_without_source_may_be_of_any_length(load):
    """Jumps count by where they lead, so that longer code around them is still compared correctly."""
    body = "".join(f"        x = g{number}(x)\n" for number in range(300))
    before = f"def f(x):\n    while x:\n        if x > 3:\n            break\n{body}    return x"
    assert not exec_differ(load, before, "\n\n" + before)
    assert exec_differ(load, before, before.replace("break", "continue"))


def test_a_source_that_is_not_what_runs_is_not_believed(load):
    """A file that was edited after the import describes other code; the digest does not follow it."""
    source = "def f(x):\n    return x + 1\n"
    function = load("m.f", m=source)
    before = code_digest(function)
    edited = load("m.f", m=source.replace("+ 1", "+ 2"))
    Path(edited.__code__.co_filename).write_text(source)
    assert code_digest(edited) != before
    assert edited(1) == 3


# --- what can change while Python runs -------------------------------------------------------------------------------


def test_a_global_that_is_assigned_anew_changes_the_digest(load):
    """The value a global has at the time of the call counts, and its return to the old value is seen too."""
    function = load(prep=PREP, step=STEP)
    before = code_digest(function)
    sys.modules["prep"].LIMIT = 4
    assert code_digest(function) != before
    sys.modules["prep"].LIMIT = 3
    assert code_digest(function) == before
    sys.modules["prep"].TABLE["a"].append(3)
    assert code_digest(function) != before


def test_a_replaced_helper_changes_the_digest(load, monkeypatch):
    """A function of a project, installed or standard module that was replaced is seen at the next call."""
    source = (
        "import math, numpy as np, prep\ndef f(x):\n    return prep.clean(x) + math.sqrt(x) + np.mean(x) + abs(x)\n"
    )
    function = load("m.f", prep=PREP, m=source)
    digests = [code_digest(function)]
    for owner, name in (("prep", "clean"), ("math", "sqrt"), ("numpy", "mean"), ("builtins", "abs")):
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules[owner], name, sys.modules["prep"].unused)
            digests.append(code_digest(function))
    with monkeypatch.context() as patch:
        patch.setattr(np, "mean", np.median)
        digests.append(code_digest(function))
    assert len(set(digests)) == len(digests)
    assert code_digest(function) == digests[0]


def test_a_name_that_appears_later_is_seen(load):
    """A global that is not there yet counts as missing, and by its value once it is there."""
    function = load("m.f", m="def f(x):\n    return later(x)\n")
    before = code_digest(function)
    sys.modules["m"].later = function
    assert code_digest(function) != before


def test_a_function_reads_its_own_attributes(load):
    """Attributes that a function keeps on itself count if its code reads them."""
    source = "def f(x):\n    return x * f.rate\nf.rate = 2\nf.unread = 3\n"
    assert differ(load, source, source.replace("rate = 2", "rate = 4"))
    assert not differ(load, source, source.replace("unread = 3", "unread = 4"))


# --- imports ---------------------------------------------------------------------------------------------------------

IMPORTS = {
    "star": "from prep import *\ndef f(x):\n    return clean(x)\n",
    "module": "import prep\ndef f(x):\n    return prep.clean(x)\n",
    "alias": "import prep as p\ndef f(x):\n    return [p.clean(y) for y in x]\n",
    "inside": "def f(x):\n    import prep\n    return prep.clean(x)\n",
    "inside, alias": "def f(x):\n    import prep as p\n    return (lambda: p.clean(x))()\n",
    "inside, from": "def f(x):\n    from prep import clean as c, unused\n    return c(x)\n",
    "package": "import pkg.sub\ndef f(x):\n    return pkg.sub.run(x)\n",
    "package, inside": "def f(x):\n    import pkg.sub\n    return pkg.sub.run(x)\n",
    "package, inside, alias": "def f(x):\n    import pkg.sub as s\n    return s.run(x)\n",
    "submodule, inside": "def f(x):\n    from pkg import sub\n    return sub.run(x)\n",
    "relative, inside": "import pkg.rel\nf = pkg.rel.f\n",
    "by text": "import prep\ndef f(x):\n    return getattr(prep, 'cl' + 'ean')(x)\n",
    "closure": "import prep\ndef make(p):\n    return lambda x: p.clean(x)\nf = make(prep)\n",
}
PACKAGE = {
    "pkg____init__": "",  # the first two underscores stand for the folder
    "pkg__sub": "from prep import clean\ndef run(x):\n    return clean(x)\n",
    "pkg__rel": "def f(x):\n    from .sub import run\n    from . import sub\n    return run(x)\n",
}


@pytest.mark.parametrize("way", IMPORTS)
def test_every_way_of_importing_is_followed(load, way):
    """A helper of the project is found through any import statement, at the top or inside the function."""
    source = IMPORTS[way]
    before = code_digest(load("m.f", prep=PREP, m=source, **PACKAGE))
    assert code_digest(load("m.f", prep=PREP, m=source, **PACKAGE)) == before
    assert code_digest(load("m.f", prep=PREP.replace("* LIMIT", "+ LIMIT"), m=source, **PACKAGE)) != before


def test_an_unused_part_of_an_imported_module_does_not_count(load):
    """Of a module that is imported inside the function, only the attributes that are used count."""
    for source in (IMPORTS["inside"], IMPORTS["inside, from"].replace(", unused", ""), IMPORTS["closure"]):
        before = code_digest(load("m.f", prep=PREP, m=source))
        assert code_digest(load("m.f", prep=PREP.replace("return x\n", "return -x\n"), m=source)) == before


def test_a_module_that_cannot_be_imported_is_a_part_that_is_unseen(load):
    """An import of something that does not exist neither fails nor goes unnoticed."""
    parts = code_parts(load("m.f", m="def f(x):\n    import no_such_module\n    return no_such_module.g(x)\n"))
    assert "unseen module `no_such_module` (builtins.ModuleNotFoundError)" in parts


def test_installed_code_counts_by_version(load):
    """A function that uses numpy, however it was imported, has numpy and its version as a part, and not its inside."""
    label = f"distribution `numpy {np.__version__}`"
    for source in (
        "import numpy as np\ndef f(x):\n    return np.mean(x)\n",
        "import numpy as np\ndef f(x):\n    return np.random.default_rng(x).normal()\n",
        "from numpy import mean\ndef f(x):\n    return mean(x)\n",
        "from numpy import array\ndef f(x):\n    return array(x)\n",
        "import numpy as np\nRNG = np.random.default_rng(1)\ndef f(x):\n    return RNG.normal()\n",
        "def f(x):\n    import numpy as np\n    return np.mean(x)\n",
        "def f(x):\n    from numpy.linalg import norm\n    return norm(x)\n",
    ):
        parts = code_parts(load("m.f", m=source))
        assert label in parts
        assert len(parts) <= 4


def test_another_version_of_a_distribution_changes_the_digest(tmp_path):
    """An installed package counts by its version and not by its files."""
    digests = []
    for version, body in (("1.0", "return x"), ("1.0", "return -x"), ("2.0", "return x")):
        folder = tmp_path / f"{version}{len(body)}" / "site-packages"
        (folder / f"tool-{version}.dist-info").mkdir(parents=True)
        (folder / f"tool-{version}.dist-info" / "METADATA").write_text(f"Name: tool\nVersion: {version}\n")
        (folder / f"tool-{version}.dist-info" / "top_level.txt").write_text("tool\n")
        (folder / "tool.py").write_text(f"def use(x):\n    {body}\n")
        (folder.parent / "step.py").write_text("import tool\ndef step(x):\n    return tool.use(x)\n")
        script = RUN.format(root=str(ROOT), folder=str(folder.parent))
        script = script.replace("import step", f"sys.path.insert(0, {str(folder)!r})\nimport step")
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        digests.append(done.stdout)
    assert digests[0] == digests[1] != digests[2]


def test_a_module_imported_later_gives_the_same_digest(load):
    """The first call of a function imports what it needs; the digest is the same before and after."""
    source = "def f(x):\n    import this_is_lazy, wave\n    from xml.dom import minidom\n    return wave.open, minidom.parse\n"
    sys.modules.pop("wave", None)
    function = load("m.f", this_is_lazy="A = 1\n", m=source)
    before = code_digest(function)
    function(1)
    assert code_digest(function) == before


# --- what cannot be seen, and what is no code ------------------------------------------------------------------------


def test_a_global_without_content_is_a_part_that_says_so(load):
    """A lock or an open file among the globals counts by its type, under a label that begins with unseen."""
    source = "import threading\nLOCK = threading.Lock()\ndef f(x, lock=LOCK):\n    with LOCK:\n        return x\n"
    function = load("m.f", m=source)
    assert [label for label in code_parts(function) if label.startswith("unseen")] == [
        "unseen constant `LOCK` in `m.py` (_thread.lock)",
        "unseen default of `lock` (_thread.lock)",
    ]
    assert code_digest(function) == code_digest(load("m.f", m=source))


def test_the_shared_random_generator_counts_by_name(load):
    """Functions that a module offers from its hidden generator do not change with every number that is drawn."""
    import random

    source = "from random import random, gauss\nfrom numpy.random import rand\ndef f(x):\n    return random(), gauss(), rand()\n"
    function = load("m.f", m=source)
    before = code_digest(function)
    state = random.getstate()
    random.random()
    np.random.rand()
    random.setstate(state)
    assert code_digest(function) == before


def test_what_is_seen_already_counts_by_name(load):
    """Functions given as `seen` are not walked into."""
    first = load(prep=PREP, step=STEP)
    before = code_digest(first, seen=[sys.modules["prep"].clean])
    second = load(prep=PREP.replace("* LIMIT", "+ LIMIT"), step=STEP)
    assert code_digest(second, seen=[sys.modules["prep"].clean]) == before
    assert code_digest(second) != code_digest(first)


@pytest.mark.parametrize("value", [5, "text", None, {}])
def test_values_are_not_code(value):
    """A value has a content digest, and asking for its code is an error that says so."""
    with pytest.raises(FingerprintError, match="content_digest"):
        code_digest(value)


@pytest.mark.parametrize("value", [len, int, np.mean, np.ndarray, functools.partial(max, 1), [].append, threading.Lock])
def test_compiled_code_has_a_digest(value):
    """Builtin and compiled functions and classes count by name."""
    assert re.fullmatch("[0-9a-f]{64}", code_digest(value))


def test_digests_do_not_contain_paths_or_addresses(load, tmp_path):
    """No label of a part holds a folder or a memory address."""
    for label in code_parts(load("m.g", m=CLASSES)) | code_parts(load("m.dispatch", m=WRAPPED)):
        assert str(tmp_path) not in label
        assert not re.search("0x[0-9a-f]{4,}", label)
