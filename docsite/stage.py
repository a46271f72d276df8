"""Lay out the pages of the documentation site: ``python docsite/stage.py build/docs``.

The pages are those of ``docs/``, which read well without a site too. Here README.md becomes the
first page, the changelog one of the pages, and the reference is generated from the code. Links of
pages to files beside ``docs/`` keep working: those files come along.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from reference_pages import commands_page, python_page, settings_page

ROOT = Path(__file__).resolve().parents[1]
FROM_ROOT = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}
"""Pages beside ``docs/``, and where they are on the site."""
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")


def stage(target: Path) -> None:
    """Write every page and picture of the site to `target`, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    docs = ROOT / "docs"
    for path in sorted(docs.rglob("*")):
        if path.is_file():
            _place(path, target / path.relative_to(docs), target)
    for name, page in FROM_ROOT.items():
        _place(ROOT / name, target / page, target)
    shutil.copyfile(Path(__file__).with_name("site.css"), target / "site.css")
    (target / "reference").mkdir(exist_ok=True)
    for name, make in (
        ("commands", commands_page), ("settings", settings_page), ("python", python_page)
    ):  # fmt: skip
        (target / "reference" / f"{name}.md").write_text(make(), "utf-8")


def _place(source: Path, page: Path, target: Path) -> None:
    """Copy one file; in Markdown, let links point to where things are on the site."""
    page.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix != ".md":
        shutil.copyfile(source, page)
        return

    def moved(link: re.Match[str]) -> str:
        place = _on_site(source.parent / link[1], target)
        return os.path.relpath(place, page.parent)

    page.write_text(LINK.sub(moved, source.read_text("utf-8")), "utf-8")


def _on_site(path: Path, target: Path) -> Path:
    """Where a file of the repository is on the site; one that is no page is copied there."""
    inside = path.resolve().relative_to(ROOT)
    if str(inside) in FROM_ROOT:
        return target / FROM_ROOT[str(inside)]
    if inside.parts[0] == "docs":
        return target.joinpath(*inside.parts[1:])
    place = target / inside
    if path.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return place


if __name__ == "__main__":
    stage(Path(sys.argv[1]).resolve())
