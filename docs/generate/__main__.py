"""Write the generated pages: `python docs/generate`; with `--check`, say whether they are as they would be written."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import catalog
import hooks

HERE: Final = Path(__file__).resolve().parent
DOCS: Final = HERE.parent
MARK: Final = "<!-- From here on written by `python docs/generate`"
"""What stands behind this line of a page is replaced."""


def main() -> int:
    """Write or compare the pages; gives back the exit code."""
    parser = argparse.ArgumentParser(prog="python docs/generate", description=__doc__)
    parser.add_argument("page", nargs="*", choices=[[], *PAGES], help="only these pages")
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if something would be written")
    given = parser.parse_args()
    stale = [page for page in given.page or PAGES if _differs(page, write=not given.check)]
    if stale and given.check:
        print(f"not as generated: {', '.join(stale)}; run: python docs/generate {' '.join(stale)}")
    return int(bool(stale and given.check))


def _differs(page: str, *, write: bool) -> bool:
    changed = False
    for file, text in PAGES[page]().items():
        before = file.read_text(encoding="utf-8") if file.is_file() else ""
        if before == text:
            continue
        changed = True
        if write:
            file.write_text(text, encoding="utf-8")
        else:
            lines = difflib.unified_diff(
                before.splitlines(), text.splitlines(), f"{file} (is)", "(should be)", lineterm=""
            )
            print("\n".join(lines))
    return changed


def _hooks() -> Mapping[Path, str]:
    page = DOCS / "hooks.md"
    contracts = json.dumps(hooks.known_contracts(), indent=2) + "\n"
    return {page: _with_generated(page, hooks.reference()), HERE / "contracts.json": contracts}


def _catalog() -> Mapping[Path, str]:
    page = DOCS / "catalog.md"
    return {page: _with_generated(page, catalog.catalog())}


def _with_generated(page: Path, generated: str) -> str:
    by_hand, mark, rest = page.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        message = f"{page} has no line that begins with {MARK}"
        raise SystemExit(message)
    return f"{by_hand}{mark}{rest.partition(chr(10))[0]}\n\n{generated}\n"


PAGES: Final[Mapping[str, Callable[[], Mapping[Path, str]]]] = {"hooks": _hooks, "catalog": _catalog}

if __name__ == "__main__":
    sys.exit(main())
