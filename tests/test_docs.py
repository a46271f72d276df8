"""The documentation: commands are parsed, links resolve, the site's navigation is complete.

`test_docs_run.py` runs what is in the pages.
"""

import contextlib
import importlib
import io
import re
import sys
import tomllib
from collections import Counter

import pytest
import yaml

import singerid
from doc_pages import (
    ASIDE,
    NO_CODE,
    PAGES,
    PYTHON,
    ROOT,
    SHELL,
    SMALLER,
    blocks,
    command_lines,
    name,
    not_run,
)
from singerid.cli import _parser
from singerid.config import PRESETS, Config, ConfigErrors, merge, resolve
from singerid.flags import given_settings

GENERATED = {"reference/commands.md", "reference/settings.md", "reference/python.md"}
FROM_ROOT = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
UNFINISHED = re.compile(r"are required|expected |invalid choice: '[A-Z]+'")
NOT_RUN = {
    "README.md": 1, "docs/benchmark.md": 1, "docs/experiments.md": 2, "docs/quickstart.md": 1,
    "docs/segments.md": 1, "docs/serving.md": 1, "docs/sweeps.md": 1,
}  # fmt: skip
"""Blocks of each page that are not run; `python tests/doc_pages.py` lists why."""
IDS = {page: name(page) for page in PAGES}


@pytest.fixture(scope="module")
def parser():
    return _parser()


def problem(parser, words, *, whole):
    """What the parser has against a command line, "" if nothing.

    Args:
        whole: nothing may be missing, and values are checked as well.
    """
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            arguments = parser.parse_args(words)
        except SystemExit as end:
            fine = end.code == 0 or (not whole and UNFINISHED.search(said.getvalue()))
            return "" if fine else said.getvalue().splitlines()[-1]
    if whole and hasattr(arguments, "preset"):
        resolve(merge(PRESETS[arguments.preset or "default"], given_settings(arguments)))
    return ""


@pytest.mark.parametrize("page", PAGES, ids=IDS.get)
def test_every_command_of_a_block_is_one(page, parser):
    variables, wrong, extras = {}, [], set()
    for block in blocks(page):
        if block.language != SHELL:
            continue
        for words in command_lines(block.code, variables):
            if words[:2] == ["pip", "install"]:
                for listed in re.findall(r"\[([\w,-]+)\]", " ".join(words)):
                    extras |= set(listed.split(","))
            if words[0] == "torchrun":
                words = words[words.index("singerid") :]
            if words[0] == "singerid" and (found := problem(parser, words[1:], whole=True)):
                wrong.append(f"{block}: {' '.join(words)}: {found}")
    assert not wrong, "\n".join(wrong)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert extras <= set(project["optional-dependencies"])


def test_a_renamed_flag_or_a_wrong_value_is_seen(parser):
    words = ["train", "store", "-o", "run"]
    assert problem(parser, words, whole=True) == ""
    assert "unrecognized" in problem(parser, [*words, "--train.step", "3"], whole=True)
    assert "required: -o" in problem(parser, ["features", "m.jsonl"], whole=True)
    assert problem(parser, ["features", "m.jsonl"], whole=False) == ""
    with pytest.raises(ConfigErrors, match=r"train\.steps is not valid"):
        problem(parser, [*words, "--train.steps", "many"], whole=True)


def test_what_makes_commands_smaller_is_known(parser):
    required = {"train": "store -o r", "whiten": "r b -o e", "evaluate": "e -o r",
                "leaderboard": "a b -o c", "robustness": "m -o r"}  # fmt: skip
    assert set(SMALLER) == set(required)
    for command, flags in SMALLER.items():
        words = [command, *required[command].split(), *flags.split()]
        assert problem(parser, words, whole=True) == ""


def test_commands_are_found_in_shell_code():
    code = 'A="--x 1 \\\n  --y"  # a\nfor r in 1 2; do\n  singerid t $A -o b_$r \\\n    "c d"'
    code += "; done | f"
    assert command_lines(code, {}) == [
        ["for", "r", "in", "1", "2"], ["singerid", "t", "--x", "1", "--y", "-o", "b_1", "c d"],
        ["done"], ["f"],
    ]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=IDS.get)
def test_every_command_and_setting_in_the_text_is_one(page, parser):
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    wrong = []
    for span in SPAN.findall(text):
        first_of_each = re.sub(r"(\w)(?:\\?\|[\w…]+)+", r"\1", span)
        for words in command_lines(first_of_each, {}):
            ours = words[0] == "singerid" and len(words) > 1 and words[1] != "COMMAND"
            if ours and (found := problem(parser, words[1:], whole=False)):
                wrong.append(f"`{span}`: {found}")
        for section, key in re.findall(r"--(\w+)\.(\w*)", span):
            known = Config.model_fields.get(section)
            keys = known.annotation.model_fields if known else {}
            if not known or (key and key not in keys):
                wrong.append(f"`{span}`: --{section}.{key} is no setting")
    assert not wrong, f"{name(page)}:\n" + "\n".join(wrong)


def test_every_block_says_what_it_is():
    known = {SHELL, PYTHON, *NO_CODE}
    unsaid = [str(b) for page in PAGES for b in blocks(page) if b.language not in known]
    ours = [where for where in unsaid if where.split(":")[0] not in ASIDE]
    assert not ours, f"a fence without a language (text, sh, python …): {ours}"


def test_blocks_that_are_not_run_are_counted():
    left_out = [block for block in not_run() if block.page not in ASIDE]
    listed = "\n".join(f"{block}: {block.reason}" for block in left_out)
    assert Counter(block.page for block in left_out) == NOT_RUN, listed


def anchors(text):
    """Anchors of a page's headings, on the site and on GitHub (with a number when repeated)."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    seen, site, github = Counter(), set(), set()
    for heading in re.findall(r"^#{1,6} +(.+?)\s*#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        plain = re.sub(r"[^\w\s-]", "", plain).strip().lower()
        seen[plain] += 1
        if seen[plain] == 1:
            site.add(re.sub(r"[-\s]+", "-", plain))
            github.add(plain.replace(" ", "-"))
    return site & github


def test_anchors_are_those_of_site_and_github():
    text = "# A `b` [c](d.md)\n## 1. Über-all!\n## x: y / z\n```\n# no\n```\n## x y\n## x y\n"
    assert anchors(text) == {"a-b-c", "1-über-all", "x-y"}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name)
def test_links_resolve(page):
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = SPAN.sub("", text)
    broken = []
    for link in (one or other for one, other in LINK.findall(text)):
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_file():
            broken.append(link)
        elif anchor and anchor not in anchors(target.read_text("utf-8")):
            broken.append(f"{link} (no such heading)")
    assert not broken, f"{name(page)}: {broken}"


def in_nav(part):
    """Pages of a part of the navigation, in order."""
    if isinstance(part, str):
        return [part]
    inner = part.values() if isinstance(part, dict) else part
    return [page for each in inner for page in in_nav(each)]


def test_the_navigation_lists_every_page_once():
    listed = in_nav(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    docs = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES[1:]}
    assert sorted(listed) == sorted({*docs, *GENERATED, *FROM_ROOT.values()})


def test_the_readme_names_every_page_for_users():
    readme = (ROOT / "README.md").read_text("utf-8")
    missing = [name(page) for page in PAGES[1:] if f"({name(page)}" not in readme]
    assert not missing


@pytest.fixture
def docsite(monkeypatch):
    """A module of `docsite/`, by name."""
    monkeypatch.syspath_prepend(str(ROOT / "docsite"))
    return importlib.import_module


@pytest.fixture
def reference(docsite):
    """The generator of the reference."""
    return docsite("reference_pages")


def test_pages_are_laid_out_with_links_that_hold(docsite, tmp_path):
    docsite("stage").stage(tmp_path)
    for page in tmp_path.rglob("*.md"):
        text = SPAN.sub("", page.read_text("utf-8"))
        for link in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text):
            assert (page.parent / link).is_file(), f"{page.name}: {link}"
    assert "](quickstart.md)" in (tmp_path / "index.md").read_text("utf-8")
    assert {str(page) for page in GENERATED} <= {
        page.relative_to(tmp_path).as_posix() for page in tmp_path.rglob("*.md")
    }


def test_what_a_page_would_load_from_elsewhere_is_found(docsite, tmp_path):
    settle = docsite("settle")
    (tmp_path / "assets").mkdir()
    (tmp_path / "a").mkdir()
    page = tmp_path / "a" / "page.html"
    link = '<a href="https://example.org/">elsewhere</a>'
    page.write_text(f'<script src="{settle.SHIM}"></script>{link}')
    assert settle.settle(tmp_path) == []
    assert page.read_text() == f'<script src="../assets/offline.js"></script>{link}'
    assert (tmp_path / "assets" / "offline.js").is_file()
    page.write_text('<img alt="" src="//example.org/pixel.png">')
    assert settle.settle(tmp_path) == ['a/page.html: <img alt="" src="//example.org/pixel.png">']


def test_the_reference_holds_every_command_with_its_arguments(reference, parser):
    page = reference.commands_page()
    commands = dict(reference.subcommands(parser))
    assert {"singerid demo", "singerid singers remove", "singerid store repair"} <= set(commands)
    for name_, command in commands.items():
        part = re.search(rf"^## {name_}\n.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        assert part, name_
        for action in command._actions:
            setting = "." in action.dest or action.dest in ("help", "config", "preset")
            assert (
                setting or (action.option_strings or [action.metavar or action.dest])[0] in part[0]
            )
            assert setting or action.help, f"{name_}: {action.dest} has no help"
    assert "%(" not in page


def test_the_reference_holds_every_setting(reference):
    page = reference.settings_page()
    settings = [
        f"{name_}.{key}" for name_, section in Config() for key in type(section).model_fields
    ]
    assert len(settings) > 100
    assert not [setting for setting in settings if f"\n- `{setting}`" not in page]
    assert "None" not in page


def test_the_reference_holds_every_public_name(reference):
    named = re.findall(r"^::: (\S+)$", reference.python_page(), re.MULTILINE)
    assert {f"singerid.{name_}" for name_ in singerid.__all__} <= set(named)
    for path in named:
        module, _, attribute = path.rpartition(".")
        assert getattr(
            sys.modules.get(module) or __import__(module, fromlist=["x"]), attribute
        ).__doc__
