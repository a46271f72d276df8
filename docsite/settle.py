"""After the build: ``python docsite/settle.py build/site`` lets no page ask another host.

The plugin `offline` takes one script from another host; it gets ours instead. Whatever else a page
would load from elsewhere is an error. Links that a reader may follow are not meant.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

SHIM = "https://unpkg.com/iframe-worker/shim"
OURS = Path(__file__).with_name("offline.js")
LOADED = re.compile(
    r"""<(?:script|img|iframe|audio|video|source|link)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>"""
)


def settle(site: Path) -> list[str]:
    """Replace the script; returns what pages would still load from other hosts."""
    shutil.copyfile(OURS, site / "assets" / OURS.name)
    found = []
    for page in sorted(site.rglob("*.html")):
        up = "../" * (len(page.relative_to(site).parts) - 1)
        text = page.read_text("utf-8").replace(SHIM, f"{up}assets/{OURS.name}")
        page.write_text(text, "utf-8")
        found += [f"{page.relative_to(site)}: {tag}" for tag in LOADED.findall(text)]
    return found


if __name__ == "__main__":
    elsewhere = settle(Path(sys.argv[1]))
    print("\n".join(elsewhere), file=sys.stderr)
    sys.exit(bool(elsewhere))
