"""What the metadata of an installed distribution says; nothing of it is imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from crystallize_core.stack.discovery import Installed

__all__ = ["editable_folder", "location_of", "metadata_of"]


def metadata_of(installed: Installed | None) -> dict[str, str]:
    """`Summary` and `Home-page`, as far as they are there and can be read."""
    try:
        metadata = installed.entry_point.dist.metadata  # type: ignore[union-attr]  # None is as good as broken
        fields = {name: metadata[name] for name in ("Summary", "Home-page") if name in metadata}
        urls = [line.partition(",") for line in metadata.get_all("Project-URL") or ()]
    except Exception:  # noqa: BLE001 - broken metadata of a stranger must not stop us
        return {}
    for label, _, url in urls:
        if label.strip().lower().replace("-", "").replace(" ", "") in ("homepage", "source", "repository"):
            fields.setdefault("Home-page", url.strip())
    return {name: str(value) for name, value in fields.items() if value and value != "UNKNOWN"}


def location_of(installed: Installed) -> str | None:
    """The folder that a distribution is installed in; of an editable one, its source."""
    distribution = installed.entry_point.dist
    if distribution is None:
        return None
    source = editable_folder(distribution)
    return str(source) if source is not None else str(distribution.locate_file(""))


def editable_folder(distribution: Any) -> Path | None:
    """The folder of the source of an editable installation; None for any other."""
    try:
        found = json.loads(distribution.read_text("direct_url.json") or "null")
        if not (found and found.get("dir_info", {}).get("editable") and found["url"].startswith("file:")):
            return None
        return Path(url2pathname(unquote(urlsplit(found["url"]).path)))
    except Exception:  # noqa: BLE001 - as above
        return None
