"""`crystallize.lock`: readable, the same bytes for the same installation, and never half of it."""

from __future__ import annotations

import datetime as dt
import enum
import math
import stat
import tomllib
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core import LockError
from crystallize_core.stack.lock.distributions import Source
from crystallize_core.stack.lock.document import Lock, LockedDistribution, LockedPlugin, read_lock, write_lock
from crystallize_core.stack.lock.toml import document, plain

LOCK = Lock(
    python="3.11",
    python_full="3.11.9",
    core="0.1.0",
    profile="ci",
    executor="process",
    disable=("report",),
    plugins=(
        LockedPlugin(
            "seeding", "crystallize-seeding", "crystallize_seeding:SeedPlugin", None, None, {"seed": 7}, {"seed": 7}
        ),
        LockedPlugin("hooks", file="hooks.py"),
    ),
    local={"hooks.py": "ab" * 32},
    distributions={
        "attrs": LockedDistribution("attrs", "26.1.0", Source("index")),
        "crystallize-seeding": LockedDistribution(
            "crystallize-seeding", "0.1.0", Source("editable", "../seeding"), "", "cd" * 32, {"x/__init__.py": "0123"}
        ),
    },
)


def test_a_lock_says_what_people_want_to_know_from_the_top(tmp_path):
    """The stack first, files last; what is not there is left out."""
    write_lock(LOCK, tmp_path / "crystallize.lock")
    assert (
        (tmp_path / "crystallize.lock").read_text(encoding="utf-8")
        == f"""\
# The stack of this project, written by `crystallize lock`; not to be changed by hand.
# `crystallize lock --check` compares it with what is here, `crystallize run --locked` refuses anything else.

format = 1
digest = "{LOCK.digest}"
python = "3.11"
core = "0.1.0"
profile = "ci"
python-full = "3.11.9"

[stack]
plugins = ["seeding", "hooks"]
executor = "process"
disable = ["report"]

[[plugin]]
name = "seeding"
distribution = "crystallize-seeding"
entry-point = "crystallize_seeding:SeedPlugin"

[plugin.configured]
seed = 7

[plugin.options]
seed = 7

[[plugin]]
name = "hooks"
file = "hooks.py"

[local]
"hooks.py" = "{"ab" * 32}"

[[distribution]]
name = "attrs"
version = "26.1.0"
source = "index"

[[distribution]]
name = "crystallize-seeding"
version = "0.1.0"
source = "editable"
url = "../seeding"
digest = "{"cd" * 32}"

[files.crystallize-seeding]
"x/__init__.py" = "0123"
"""
    )


def test_what_is_read_is_what_was_written(tmp_path):
    """Every field."""
    write_lock(LOCK, tmp_path / "crystallize.lock")
    assert read_lock(tmp_path / "crystallize.lock") == LOCK


def test_others_can_read_it_and_nothing_else_is_left(tmp_path):
    """It is written under another name first."""
    write_lock(LOCK, tmp_path / "crystallize.lock")
    assert [path.name for path in tmp_path.iterdir()] == ["crystallize.lock"]
    assert stat.S_IMODE((tmp_path / "crystallize.lock").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"python": "3.12"}, True),
        ({"core": "0.2.0"}, True),
        ({"profile": None}, True),
        ({"executor": None}, True),
        ({"disable": ()}, True),
        ({"plugins": LOCK.plugins[::-1]}, True),
        ({"local": {"hooks.py": "00"}}, True),
        ({"distributions": {}}, True),
        ({"python_full": "3.11.10"}, False),
    ],
)
def test_the_digest_covers_what_counts(changes, counts):
    """Not the patch version of Python."""
    assert (attrs.evolve(LOCK, **changes).digest != LOCK.digest) is counts


def test_how_something_was_installed_does_not_count():
    """The same files are the same, linked or copied."""
    copied = {name: attrs.evolve(d, source=Source("index")) for name, d in LOCK.distributions.items()}
    assert attrs.evolve(LOCK, distributions=copied).digest == LOCK.digest


def test_a_lock_that_is_not_there_says_how_to_get_one(tmp_path):
    """One message."""
    with pytest.raises(LockError) as caught:
        read_lock(tmp_path / "crystallize.lock")
    assert str(caught.value) == f"there is no {tmp_path / 'crystallize.lock'}; `crystallize lock` writes it"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "is damaged: "),
        (lambda text: text.replace("[stack]", "<<<<<<< ours\n[stack]"), "is damaged: "),
        (lambda text: text.replace("seed = 7", "seed = 8"), "was changed since it was written: its digest is "),
        (lambda text: text.replace('python = "3.11"\n', ""), "it lacks what a lock has (KeyError('python'))"),
        (
            lambda text: text.replace("format = 1", "format = 99"),
            "has format 99, and this version of Crystallize reads",
        ),
        (lambda text: "", "has format None"),
        (lambda text: text.replace("[stack]", "[other]"), "it lacks what a lock has (KeyError('stack'))"),
    ],
)
def test_a_lock_that_is_damaged_or_foreign_is_one_message(tmp_path, damage, said):
    """With its address and what to do."""
    path = tmp_path / "crystallize.lock"
    path.write_text(damage(LOCK.text()), encoding="utf-8")
    with pytest.raises(LockError) as caught:
        read_lock(path)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)
    assert "`crystallize lock`" in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    """Not UTF-8."""
    (tmp_path / "crystallize.lock").write_bytes(b"\xff\xfe")
    with pytest.raises(LockError, match="cannot be read"):
        read_lock(tmp_path / "crystallize.lock")


def test_a_lock_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    """A folder is in the way."""
    (tmp_path / "crystallize.lock").mkdir()
    with pytest.raises(LockError, match="cannot be written"):
        write_lock(LOCK, tmp_path / "crystallize.lock")


VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes() | st.dates() | st.times(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=12,
)


def _same(left, right):
    if isinstance(left, float) and math.isnan(left):
        return isinstance(right, float) and math.isnan(right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return type(left) is type(right) and left == right


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=4))
def test_every_value_is_read_as_it_was_written(values):
    """By the reader of the standard library."""
    assert _same(tomllib.loads(document("", values, [])), values)


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ((1, None), [1, {"$none": True}]),
        ({"b", "a"}, ["a", "b"]),
        (Path("/home/me/study/data"), "data"),
        (Path("/srv/data"), "/srv/data"),
        (Path("data/x"), "data/x"),
        (Colour.RED, "red"),
        (dt.timedelta(minutes=1), {"$seconds": 60.0}),
        (None, None),
    ],
)
def test_what_toml_has_no_form_for_is_written_as_what_it_means(value, written):
    """The same on every machine: a path below the project is relative to it."""
    assert plain(value, Path("/home/me/study")) == written


def test_a_function_is_its_name_and_what_it_does():
    """No address in memory."""
    found = plain(len, Path("/"))
    assert found["$object"] == "builtins:len"
    assert plain(len, Path("/")) == found


def test_what_cannot_be_looked_at_is_its_class():
    """It contains itself, or does not want to be asked."""

    class Shy:
        def __getattr__(self, name):
            raise RuntimeError(name)

    endless = []
    endless.append(endless)
    assert plain(endless, Path("/")) == {"$object": "builtins:list"}
    assert plain(Shy(), Path("/"))["$object"].endswith("Shy")
