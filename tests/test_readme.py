"""What a reader copies from the README files and the pages of the documentation runs."""

from __future__ import annotations

import json
import linecache
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent

# docs/contributing.md is left out: its code shows good and bad style side by side and is not meant to run;
# docs/tutorial.md is one project of several files, and test_tutorial.py runs it.
PAGES = [
    CHECKOUT / "README.md",
    *(page for page in sorted((CHECKOUT / "docs").glob("*.md")) if page.name not in ("contributing.md", "tutorial.md")),
    *sorted((CHECKOUT / "docs" / "examples").glob("*/README.md")),
    *sorted((CHECKOUT / "plugins").glob("*/README.md")),
]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(page):
    """The code of each block, with as many empty lines before it as there are in the page."""
    text = page.read_text(encoding="utf-8")
    return ["\n" * text.count("\n", 0, match.start(1)) + match.group(1) for match in FENCE.finditer(text)]


@pytest.mark.ecosystem
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    """All blocks of a page in one namespace, in an empty folder; tracebacks name the line of the page."""
    monkeypatch.chdir(tmp_path)
    linecache.checkcache(str(page))
    namespace = {"__name__": "__main__"}
    for block in _blocks(page):
        exec(compile(block, str(page), "exec"), namespace)


@pytest.mark.ecosystem
def test_the_first_experiment_of_the_readme_prints_what_it_says(tmp_path, monkeypatch, capsys):
    """A table, the verdict, the seed, the stack and the digest."""
    monkeypatch.chdir(tmp_path)
    exec(compile(_blocks(CHECKOUT / "README.md")[0], "README.md", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert "shifted against baseline: supported (wins = 20)" in printed
    assert "seed: 7" in printed
    assert re.search(r"^stack: .*seeding \d", printed, re.MULTILINE)
    assert re.search(r"^digest: [0-9a-f]{64}$", printed, re.MULTILINE)


@pytest.mark.ecosystem
def test_the_first_experiment_of_the_readme_runs_by_the_command_below_it(tmp_path):
    """As it stands there, in processes; with the digest that it has without them."""
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    command = re.search(r"^crystallize (run experiment\.py --executor process --json)$", readme, re.MULTILINE)[
        1
    ].split()
    (tmp_path / "experiment.py").write_text(_blocks(CHECKOUT / "README.md")[0], encoding="utf-8")
    found = []
    for arguments in (command, ["run", "experiment.py", "--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "crystallize_core", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        result = json.loads(done.stdout)
        found.append(
            (result["digest"], result["run"]["executor"], result["hypotheses"][0]["results"]["shifted"]["wins"])
        )
    assert found == [(found[0][0], "process", 20), (found[0][0], None, 20)]


@pytest.mark.ecosystem
def test_a_picture_in_the_page_on_steps_is_what_is_printed(tmp_path, monkeypatch, capsys):
    """The block behind the code that prints it."""
    monkeypatch.chdir(tmp_path)
    page = CHECKOUT / "docs" / "steps.md"
    picture = re.search(r"^```\n(grouped: .*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[1]
    namespace = {"__name__": "__main__"}
    for block in _blocks(page):
        exec(compile(block, str(page), "exec"), namespace)
    assert picture in capsys.readouterr().out


@pytest.mark.skipif(not (CHECKOUT / "README.md").is_file(), reason="the checkout is not beside the tests")
def test_links_in_the_readme_lead_somewhere():
    """Within the repository, those of the pages as well."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
        assert [link for link in links if not (page.parent / link).exists()] == [], page
    assert "docs/hooks.md" in (CHECKOUT / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not (CHECKOUT / "docs").is_dir(), reason="the checkout is not beside the tests")
def test_the_index_of_the_pages_has_every_page():
    """Those of the folder, and the examples that have a page of their own."""
    docs = CHECKOUT / "docs"
    linked = set(re.findall(r"\]\(([^)#:\s]+)\)", (docs / "README.md").read_text(encoding="utf-8")))
    pages = [*docs.glob("*.md"), *docs.glob("examples/*/README.md")]
    assert linked == {str(page.relative_to(docs)) for page in pages} - {"README.md"}
