"""What the README says is true."""

import re
from pathlib import Path

import attrs

import crystallize_logging
from crystallize_logging import LoggingPlugin

TEXT = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")


def without_times(text):
    return [re.sub(r"seconds=\S+", "", re.sub(r"^[\d:]+", "", line)) for line in text.splitlines()]


def test_the_snippet_writes_what_it_says(capsys, monkeypatch):
    """The lines of the README are those of the run, up to the ellipsis."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")  # as where no other plugin is installed
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    written = without_times(capsys.readouterr().err)
    shown = without_times(re.findall(r"```text\n(.*?)```", TEXT, flags=re.DOTALL)[0])
    cut = shown.index("…")
    assert written[:cut] == shown[:cut]
    assert written[-1] == shown[-1]


def test_the_table_has_every_option_with_its_default():
    """Options, their order and their defaults are those of the class."""
    rows = re.findall(r"^\| `(\w+)` \| .*? \| `(.*?)` \|", TEXT, flags=re.MULTILINE)
    documented = [(name, default.replace('"', "'")) for name, default in rows]
    assert documented == [(field.name, repr(field.default)) for field in attrs.fields(LoggingPlugin)]


def test_every_option_explains_itself():
    """Configuration tools show the help of a field."""
    assert all(field.metadata["help"] for field in attrs.fields(LoggingPlugin))


def test_public_names_are_sorted_and_there():
    """`__all__` is what can be imported."""
    names = crystallize_logging.__all__
    assert names == sorted(names)
    assert all(hasattr(crystallize_logging, name) for name in names)
