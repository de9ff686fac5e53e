"""The templates, which lie beside this file and are part of the wheel."""

from __future__ import annotations

from importlib.resources import files
from string import Template

__all__ = ["filled", "has_template", "text_of"]

_END = ".tmpl"


def has_template(name: str) -> bool:
    """Whether there is a template of that name."""
    return files(__package__).joinpath(name + _END).is_file()


def text_of(name: str) -> str:
    """A template as it is."""
    return files(__package__).joinpath(name + _END).read_text(encoding="utf-8")


def filled(name: str, /, **words: str) -> str:
    """A template with `$$word` for each of these words filled in.

    Raises:
        KeyError: The template has a word that is not given.

    """
    return Template(text_of(name)).substitute(words)
