"""What the README says is true."""

import re
from pathlib import Path

import attrs

import crystallize_seeding
from crystallize_seeding import SeedPlugin

TEXT = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")


def test_the_snippets_run(capsys):
    """Every Python block can be pasted into a file and run."""
    blocks = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    assert len(blocks) == 1
    assert capsys.readouterr().out.splitlines()[0] == "7"


def test_the_table_has_every_option_with_its_default():
    """Options, their order and their defaults are those of the class."""
    rows = re.findall(r"^\| `(\w+)` \| .*? \| `(.*?)` \|", TEXT, flags=re.MULTILINE)
    documented = [(name, default.replace('"', "'")) for name, default in rows]
    assert documented == [(field.name, repr(field.default)) for field in attrs.fields(SeedPlugin)]


def test_every_option_explains_itself():
    """Configuration tools show the help of a field."""
    assert all(field.metadata["help"] for field in attrs.fields(SeedPlugin))


def test_public_names_are_sorted_and_there():
    """`__all__` is what can be imported."""
    names = crystallize_seeding.__all__
    assert names == sorted(names)
    assert all(hasattr(crystallize_seeding, name) for name in names)
