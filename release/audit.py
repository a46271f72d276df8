"""Ask the registry's advisories about every locked package, with pip-audit.

pip-audit ends well, and says "No known vulnerabilities found", even where the registry answered
for none of the packages: it calls them skipped. Here a package without an answer is a failure.

Exit status: 0 nothing known; 1 vulnerabilities; 2 some or all packages could not be asked about.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from lock import LOCKS
from pins import ROOT


def summary(report: dict[str, Any]) -> tuple[int, list[str]]:
    """Exit status and lines to print for pip-audit's JSON report."""
    packages = report["dependencies"]
    skipped = [p for p in packages if "skip_reason" in p]
    bad = [p for p in packages if p.get("vulns")]
    lines = [
        f"{p['name']} {p['version']}: {v['id']}, fixed in {', '.join(v['fix_versions']) or 'none'}"
        for p in bad
        for v in p["vulns"]
    ]
    asked = len(packages) - len(skipped)
    lines.append(f"{asked} of {len(packages)} packages answered for, {len(bad)} vulnerable")
    if skipped:
        lines.append(f"NOT AUDITED: {len(skipped)} packages; first: {skipped[0]['skip_reason']}")
    return 1 if bad else 2 if skipped or not packages else 0, lines


def main() -> None:
    """Audit each lock file."""
    seen = set()
    for name in (*LOCKS, "tools.lock"):
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"]
        command += ["--progress-spinner=off", "--format=json", "-r", f"release/{name}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.stdout.startswith("{"):
            status, lines = summary(json.loads(done.stdout))
        else:
            last = done.stderr.strip().rpartition("\n")[2]
            status, lines = 2, [f"NOT AUDITED: pip-audit stopped ({last})"]
        print("\n".join(f"{name}: {line}" for line in lines))
        seen.add(status)
    sys.exit(1 if 1 in seen else max(seen))


if __name__ == "__main__":
    main()
