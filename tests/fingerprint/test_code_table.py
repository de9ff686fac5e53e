"""One change at a time: what leaves the digest of a step as it is, and what changes it.

The rows are the same in every process, folder and version of Python, which the last tests check with all of them at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import crystallize_core.fingerprint as package
from crystallize_core.fingerprint import code_digest, code_parts, content_digest

ROOT = Path(package.__file__).parents[2]

PREP = '''
"""Helpers."""
import enum, dataclasses

LIMIT = 3
_private = 8

def deeper(x):
    return x * LIMIT

def clean(x):
    return deeper(x) + 1

def other(x):
    return -x
'''

STEP = '''
import prep
from prep import clean

def make(n):
    def step(data, ctx, size=2):
        """What it does."""
        total = clean(data) * size + n  # a comment
        return total

    return step

step = make(5)
'''

CLEAN, DEEPER, OTHER = (f"helper `{name}` in `prep.py`" for name in ("clean", "deeper", "other"))
LIMIT = "constant `LIMIT` in `prep.py`"

# name: (parts that change, module, old, new); the last two say what is replaced in the text of that module
BASIC = {
    "the same in another folder": ("", "step", "", ""),
    "lines shifted": ("", "step", "\nimport prep", "\n\n\n\nx = 1\nimport prep"),
    "comment": ("", "step", "# a comment", "# another one"),
    "formatting": ("", "step", "clean(data) * size + n", "(\n            clean( data )*size +\n            n\n        )"),
    "quotes": ("", "step", '"""What it does."""', "'Something else.'"),
    "docstring gone": ("", "step", '"""What it does."""', ""),
    "annotations": ("", "step", "(data, ctx, size=2)", "(data: list, ctx: object, size: int = 2) -> int"),
    "another name imported": ("", "step", "import clean", "import clean, other"),
    "an unused helper": ("", "prep", "return -x", "return +x"),
    "an unused constant": ("", "prep", "_private = 8", "_private = 9"),
    "docstring of a helper": ("", "prep", "def clean(x):", "def clean(x):\n    'Clean.'"),
    "order of helpers": ("", "prep", "LIMIT = 3\n", "def first(x): return x\nLIMIT = 3\n"),
    "own body": ("its own code", "step", "+ n", "- n"),
    "name of a local variable": ("its own code", "step", "total", "whole"),
    "name of a parameter": ("its own code", "step", "(data, ctx, size=2)", "(data, context, size=2)"),
    "default value": ("default of `size`", "step", "size=2", "size=4"),
    "type of a default value": ("default of `size`", "step", "size=2", "size=2.0"),
    "closure value": ("closure value `n`", "step", "make(5)", "make(6)"),
    "helper body": ("helper `clean` in `prep.py`", "prep", "deeper(x) + 1", "deeper(x) + 2"),
    "helper's helper": ("helper `deeper` in `prep.py`", "prep", "x * LIMIT", "x / LIMIT"),
    "default of a helper": (
        {"default of `x` of helper `deeper` in `prep.py`", "helper `deeper` in `prep.py`"}, "prep", "def deeper(x)", "def deeper(x=1)",
    ),
    "module constant": ("constant `LIMIT` in `prep.py`", "prep", "LIMIT = 3", "LIMIT = 4"),
    "type of a constant": ("constant `LIMIT` in `prep.py`", "prep", "LIMIT = 3", "LIMIT = True"),
}  # fmt: skip

# name: (part that changes, source, old, new)
MORE = {
    "recursion": ("its own code", "def step(n): return n and step(n - 1) + 1", "+ 1", "+ 2"),
    "mutual recursion": (
        "helper `odd` in `m.py`",
        "def step(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and step(n - 1)",
        "n != 0",
        "n > 0",
    ),
    "three in a circle": (
        "helper `c` in `m.py`",
        "def step(n): return b(n)\ndef b(n): return c(n)\ndef c(n): return n and step(n - 1)",
        "n - 1",
        "n - 2",
    ),
    "method": (
        "helper `Model.fit` in `m.py`",
        "class Model:\n    def fit(self, x): return x + 1\ndef step(x): return Model().fit(x)",
        "x + 1",
        "x + 2",
    ),
    "method of a base class": (
        "helper `Base.fit` in `m.py`",
        "class Base:\n    def fit(self, x): return x + 1\nclass Model(Base): pass\ndef step(x): return Model().fit(x)",
        "x + 1",
        "x + 2",
    ),
    "base class of a base class": (
        "class `Middle` in `m.py`",
        "class A: pass\nclass B: pass\nclass Middle(A): pass\nclass Model(Middle): pass\ndef step(x): return Model()",
        "Middle(A)",
        "Middle(B)",
    ),
    "metaclass": (
        "helper `Meta.__call__` in `m.py`",
        "class Meta(type):\n    def __call__(cls): return 1\nclass Model(metaclass=Meta): pass\ndef step(x): return Model()",
        "return 1",
        "return 2",
    ),
    "static method": (
        "helper `Model.twice` in `m.py`",
        "class Model:\n    @staticmethod\n    def twice(x): return x * 2\ndef step(x): return Model.twice(x)",
        "x * 2",
        "x * 3",
    ),
    "class method": (
        "helper `Model.of` in `m.py`",
        "class Model:\n    @classmethod\n    def of(cls, x): return x * 2\ndef step(x): return Model.of(x)",
        "x * 2",
        "x * 3",
    ),
    "property": (
        "helper `Model.size` in `m.py`",
        "class Model:\n    @property\n    def size(self): return 2\ndef step(x): return Model().size",
        "return 2",
        "return 3",
    ),
    "attribute of a class": (
        "attribute `Model.rate` in `m.py`",
        "class Model:\n    rate = 2\ndef step(x): return Model().rate",
        "rate = 2",
        "rate = 3",
    ),
    "attribute of a step that is an object": (
        "its attributes",
        "class Scale:\n    def __init__(self, k): self.k = k\n    def __call__(self, data, ctx): return data\nstep = Scale(2)",
        "Scale(2)",
        "Scale(3)",
    ),
    "call of a step that is an object": (
        "helper `Scale.__call__` in `m.py`",
        "class Scale:\n    def __call__(self, data, ctx): return data\nstep = Scale()",
        "return data",
        "return -data",
    ),
    "bound method": (
        "helper `Scale.run` in `m.py`",
        "class Scale:\n    def run(self, data): return data\nstep = Scale().run",
        "return data",
        "return -data",
    ),
    "object of a bound method": (
        "self",
        "class Scale:\n    def __init__(self, k): self.k = k\n    def run(self, x): return x\nstep = Scale(1).run",
        "Scale(1)",
        "Scale(2)",
    ),
    "lambda": ("its own code", "step = lambda x: x + 1", "x + 1", "x + 2"),
    "default of a lambda": ("default of `y`", "step = lambda x, y=1: x + y", "y=1", "y=2"),
    "argument of a partial": (
        "argument `y`",
        "import functools\ndef add(x, y): return x + y\nstep = functools.partial(add, y=1)",
        "y=1",
        "y=2",
    ),
    "function of a partial": (
        "helper `add` in `m.py`",
        "import functools\ndef add(x, y): return x + y\nstep = functools.partial(add, y=1)",
        "x + y",
        "x - y",
    ),
    "decorator": (
        "its own code",
        ("import functools\ndef loud(f):\n    @functools.wraps(f)\n    def inner(x): return f(x) + 1\n    return inner\n"
        "@loud\ndef step(x): return x * 2"),
        "f(x) + 1",
        "f(x) + 2",
    ),
    "decorated body": (
        "helper `step` in `m.py`",
        ("import functools\ndef loud(f):\n    @functools.wraps(f)\n    def inner(x): return f(x) + 1\n    return inner\n"
        "@loud\ndef step(x): return x * 2"),
        "x * 2",
        "x * 3",
    ),
    "argument of a decorator": (
        "closure value `k`",
        ("import functools\ndef loud(k):\n    def around(f):\n        @functools.wraps(f)\n        def inner(x): return f(x) + k\n"
        "        return inner\n    return around\n@loud(1)\ndef step(x): return x * 2"),
        "@loud(1)",
        "@loud(2)",
    ),
    "cached helper": (
        "helper `slow` in `m.py`",
        "import functools\n@functools.lru_cache\ndef slow(x): return x * 2\ndef step(x): return slow(x)",
        "x * 2",
        "x * 3",
    ),
    "nested function": (
        "its own code",
        "def step(x):\n    def inner(y): return y + 1\n    return inner(x)",
        "y + 1",
        "y + 2",
    ),
    "comprehension": ("its own code", "def step(x): return [y + 1 for y in x]", "y + 1", "y + 2"),
    "helper in a comprehension": (
        "helper `grow` in `m.py`",
        "def grow(y): return y + 1\ndef step(x): return {grow(y) for y in x if y}",
        "y + 1",
        "y + 2",
    ),
    "text in an f-string": ("its own code", 'def step(x): return f"a {x:.2f} b"', " b", " c"),
    "format in an f-string": ("its own code", 'def step(x): return f"a {x:.2f} b"', ".2f", ".3f"),
    "conversion in an f-string": ("its own code", 'def step(x): return f"a {x!r} b"', "!r", "!s"),
    "async function": ("its own code", "async def step(x): return await x", "await x", "(await x) + 1"),
    "async or not": ("its own code", "async def step(x): return x", "async def", "def"),
    "generator or not": ("its own code", "def step(x): yield x", "yield x", "return [x]"),
    "pattern": (
        "its own code",
        "def step(x):\n    match x:\n        case [1, *rest]: return rest\n        case _: return 0",
        "[1, *rest]",
        "[2, *rest]",
    ),
    "exception that is caught": (
        "its own code",
        "def step(x):\n    try: return 1 / x\n    except ZeroDivisionError: return 0",
        "ZeroDivisionError",
        "ArithmeticError",
    ),
    "enum": (
        "attribute `Mode.__members__` in `m.py`",
        "import enum\nclass Mode(enum.Enum):\n    A = 1\n    B = 2\ndef step(x): return x is Mode.A",
        "B = 2",
        "B = 3",
    ),
    "constant that is an enum": (
        "constant `MODE` in `m.py`",
        "import enum\nclass Mode(enum.Enum):\n    A = 1\n    B = 2\nMODE = Mode.A\ndef step(x): return x is MODE",
        "MODE = Mode.A",
        "MODE = Mode.B",
    ),
    "constant that is a data class": (
        "constant `WHAT` in `m.py`",
        "import dataclasses\n@dataclasses.dataclass\nclass Options:\n    size: int = 1\nWHAT = Options(2)\ndef step(x): return WHAT.size",
        "Options(2)",
        "Options(3)",
    ),
    "default of a data class": (
        "attribute `Options.__dataclass_fields__` in `m.py`",
        ("import dataclasses\n@dataclasses.dataclass\nclass Options:\n    size: int = 1\n    def __repr__(self): return ''\n"
        "def step(x): return Options()"),
        "int = 1",
        "int = 2",
    ),
    "named tuple": (
        "attribute `Pair._field_defaults` in `m.py`",
        "import typing\nclass Pair(typing.NamedTuple):\n    a: int = 1\ndef step(x): return Pair()",
        "int = 1",
        "int = 2",
    ),
    "constant in a table": (
        "constant `TABLE` in `m.py`",
        "TABLE = {'a': [1, {2, 3}], 4: None}\ndef step(x): return TABLE[x]",
        "{2, 3}",
        "{2, 5}",
    ),
    "order of a set": ("", "NAMES = {'a', 'b', 'c'}\ndef step(x): return x in NAMES", "{'a', 'b', 'c'}", "{'c', 'a', 'b'}"),
    "order of a dict": ("", "D = {'a': 1, 'b': 2}\ndef step(x): return D[x]", "{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}"),
    "function in a table": (
        "helper `one` in `m.py`",
        "def one(x): return x + 1\nTABLE = {'one': one}\ndef step(x): return TABLE['one'](x)",
        "x + 1",
        "x + 2",
    ),
    "which function a name means": (
        "its own code",
        "def one(x): return x\ndef two(x): return x\nuse = one\ndef step(x): return use(x)",
        "use = one",
        "use = two",
    ),
    "alias of a module": ("its own code", "import math as np\ndef step(x): return np.sqrt(x)", "math", "cmath"),
    "function of a module": ("its own code", "import math\ndef step(x): return math.sin(x)", "math.sin", "math.cos"),
    "global that is declared": (
        "constant `count` in `m.py`",
        "count = 1\ndef step(x):\n    global count\n    count += 1\n    return count",
        "count = 1",
        "count = 2",
    ),
    "attribute that is set later": (
        "attribute `rate` of helper `scale` in `m.py`",
        "def scale(x): return x\nscale.rate = 1\ndef step(x): return scale.rate",
        "rate = 1",
        "rate = 2",
    ),
    "argument of a default that is a function": (
        "helper `key` in `m.py`",
        "def key(x): return x\ndef step(x, by=key): return sorted(x, key=by)",
        "return x\n",
        "return -x\n",
    ),
    "union type as a constant": ("constant `T` in `m.py`", "T = int | str\ndef step(x): return isinstance(x, T)", "| str", "| bytes"),
    "compiled pattern": ("constant `P` in `m.py`", "import re\nP = re.compile('a')\ndef step(x): return P.match(x)", "'a'", "'b'"),
    "path": ("constant `P` in `m.py`", "import pathlib\nP = pathlib.Path('a')\ndef step(x): return P / x", "'a'", "'b'"),
    "walrus": ("its own code", "def step(x): return (y := x) + y", "+ y", "- y"),
    "star arguments": ("its own code", "def step(*x): return x", "*x", "**x"),
    "position only": ("its own code", "def step(x, y): return x", "x, y", "x, /, y"),
    "keyword only": ("its own code", "def step(x, y): return x", "x, y", "x, *, y"),
    "zero and minus zero": ("its own code", "def step(x): return x * 0.0", "0.0", "-0.0"),
    "one and true": ("its own code", "def step(x): return x * 1", "1", "True"),
    "text and bytes": ("its own code", "def step(x): return 'a'", "'a'", "b'a'"),
}  # fmt: skip
REWRITTEN = {
    "exec without a source": (
        "its own code",
        "space = {'__name__': 'made'}\nexec('def step(x): return x + 1', space)\nstep = space['step']",
        "x + 1",
        "x + 2",
    ),
    "exec, comments and lines": (
        "",
        "space = {'__name__': 'made'}\nexec('def step(x): return x + 1', space)\nstep = space['step']",
        "def step(x): return x + 1",
        '# c\\n\\ndef step(x):\\n    "Doc"\\n    return (x +\\n 1)',
    ),
    "a notebook cell": (
        "its own code",
        (
            "import linecache\nSOURCE = 'def step(x):\\n    return x + 1\\n'\n"
            "linecache.cache['<cell 1>'] = (len(SOURCE), None, SOURCE.splitlines(True), '<cell 1>')\n"
            "space = {'__name__': 'made'}\nexec(compile(SOURCE, '<cell 1>', 'exec'), space)\nstep = space['step']"
        ),
        "x + 1",
        "x + 2",
    ),
    "comments in a notebook cell": (
        "",
        (
            "import linecache\nSOURCE = 'def step(x):\\n    return x + 1\\n'\n"
            "linecache.cache['<cell 1>'] = (len(SOURCE), None, SOURCE.splitlines(True), '<cell 1>')\n"
            "space = {'__name__': 'made'}\nexec(compile(SOURCE, '<cell 1>', 'exec'), space)\nstep = space['step']"
        ),
        "def step(x):",
        "# c\\n\\ndef step(x):  # d",
    ),
}
# What happens while Python runs: name: (part that changes, what is done)
RUNNING = {
    "global reassigned": (LIMIT, "prep.LIMIT = 30"),
    "global deleted": ({DEEPER, LIMIT}, "del prep.LIMIT"),
    "helper replaced": ({"its own code", CLEAN, DEEPER, LIMIT, OTHER}, "step.clean = prep.other"),
    "helper's helper replaced": ({CLEAN, DEEPER, LIMIT, OTHER}, "prep.deeper = prep.other"),
    "closure value reassigned": ("closure value `n`", "step.step.__closure__[0].cell_contents = 7"),
    "default reassigned": ("default of `size`", "step.step.__defaults__ = (9,)"),
    "code replaced": ({DEEPER, LIMIT}, "exec('def deeper(x): return x'); prep.deeper.__code__ = deeper.__code__"),
    "something unused replaced": ("", "prep.other = 3"),
}


def changed(before, after):
    return {label for label in before.keys() | after.keys() if before.get(label) != after.get(label)}


def replaced(source, old, new):
    assert old in source
    return source.replace(old, new)


def as_set(labels):
    return {labels} if labels and isinstance(labels, str) else set(labels)


@pytest.mark.parametrize("name", BASIC)
def test_the_table(load, name):
    """A step with a default, a closure value, a helper, the helper's helper and a constant."""
    wanted, module, old, new = BASIC[name]
    before = load(prep=PREP, step=STEP)
    parts, digest = code_parts(before), code_digest(before)
    after = load(**{"prep": PREP, "step": STEP, module: replaced({"prep": PREP, "step": STEP}[module], old, new)})
    assert changed(parts, code_parts(after)) == as_set(wanted)
    assert (code_digest(after) == digest) == (not wanted)


@pytest.mark.parametrize("name", {**MORE, **REWRITTEN})
def test_more_rows(load, name):
    """Each change has the part that it is in; an empty one stands for no change."""
    wanted, source, old, new = {**MORE, **REWRITTEN}[name]
    before = load("m.step", m=source)
    parts, digest = code_parts(before), code_digest(before)
    after = load("m.step", m=replaced(source, old, new))
    difference = changed(parts, code_parts(after))
    assert (wanted in difference) if wanted else not difference
    assert (code_digest(after) == digest) == (not wanted)


@pytest.mark.parametrize("name", RUNNING)
def test_rows_of_a_running_program(load, name):
    """What is replaced while Python runs is seen at the next look."""
    wanted, action = RUNNING[name]
    function = load(prep=PREP, step=STEP)
    parts, digest = code_parts(function), code_digest(function)
    exec(action, {"prep": sys.modules["prep"], "step": sys.modules["step"]})
    assert changed(parts, code_parts(function)) == as_set(wanted)
    assert (code_digest(function) == digest) == (not wanted)


def test_a_star_import_is_followed(load):
    """The names that it brings are globals like others."""
    star = STEP.replace("from prep import clean", "from prep import *")
    before = code_parts(load(prep=PREP, step=star))
    assert before == code_parts(load(prep=PREP, step=STEP))
    after = code_parts(load(prep=replaced(PREP, "x * LIMIT", "x / LIMIT"), step=star))
    assert changed(before, after) == {"helper `deeper` in `prep.py`"}


COMPUTE = """
import importlib, json, sys
root, folder = sys.argv[1:]
sys.path[:0] = [root, folder]
from crystallize_core.fingerprint import code_parts
print(json.dumps({name: list(code_parts(importlib.import_module(name).step).items()) for name in json.load(sys.stdin)}))
"""


def written(folder, rows):
    """Write every row, as it is before and after its change, as a module of its own; return their names."""
    folder.mkdir(parents=True)
    names = []
    for number, (_, source, old, new) in enumerate(rows.values()):
        for suffix, text in (("before", source), ("after", replaced(source, old, new))):
            names.append(f"row{number}_{suffix}")
            (folder / f"{names[-1]}.py").write_text(text)
    return names


def parts_in_process(folder, seed, rows):
    done = subprocess.run(
        [sys.executable, "-c", COMPUTE, str(ROOT), str(folder)],
        input=json.dumps(written(folder, rows)),
        env={"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_all_rows_agree_between_processes_folders_and_hash_seeds(tmp_path):
    """Labels, digests and their order."""
    rows = {**MORE, **REWRITTEN}
    one = parts_in_process(tmp_path / "one", "0", rows)
    assert len(one) == 2 * len(rows)
    assert parts_in_process(tmp_path / "a longer" / "way", "4711", rows) == one


def test_all_rows_agree_between_versions_of_python(tmp_path):
    """Code whose source is found has the same parts in all supported versions, but for the one that names Python."""
    found = parts_in_process(tmp_path / "rows", "0", MORE)
    everything = [[part for part in parts if not part[0].startswith("Python ")] for parts in found.values()]
    assert content_digest(everything) == GOLDEN


GOLDEN = "7f0794c1363753fddeacf01c73fd26c7c5d608d351bd0ebd7cfafc3df41a3125"


def test_parts_and_digest_agree(load):
    """Over all rows, before and after: two have the same digest exactly when they have the same parts."""
    found = []
    for _, source, old, new in MORE.values():
        for text in (source, replaced(source, old, new)):
            step = load("m.step", m=text)
            found.append(SimpleNamespace(parts=code_parts(step), digest=code_digest(step)))
    for one in found:
        assert {other.digest == one.digest for other in found if other.parts == one.parts} == {True}
        assert {other.digest == one.digest for other in found if other.parts != one.parts} == {False}
