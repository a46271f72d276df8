"""The built documentation site, opened as files: nothing is asked of a host, the search finds.

Needs `.venv/docs` (`make docs` makes it) and Chromium.
"""

import importlib
import subprocess

import pytest
import yaml

from doc_pages import ROOT

ZENSICAL = ROOT / ".venv" / "docs" / "bin" / "zensical"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, as `make docs` builds it, elsewhere."""
    if not ZENSICAL.exists():
        pytest.skip("no .venv/docs: make docs")
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docsite"))
        importlib.import_module("stage").stage(folder / "pages")
        settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
        settings |= {"docs_dir": "pages", "site_dir": "site"}
        settings["plugins"][-1]["mkdocstrings"]["handlers"]["python"]["paths"] = [str(ROOT / "src")]
        (folder / "mkdocs.yml").write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")
        built = subprocess.run(
            [ZENSICAL, "build", "--clean", "--strict", "-f", "mkdocs.yml"], cwd=folder,
            capture_output=True, text=True,
        )  # fmt: skip
        assert built.returncode == 0, built.stdout + built.stderr
        assert "No issues found" in built.stdout + built.stderr
        assert importlib.import_module("settle").settle(folder / "site") == []
    return folder / "site"


@pytest.fixture
def page(browser):
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def asked(page):
    """What the page asks of any host, as it happens."""
    addresses = []
    page.on(
        "request",
        lambda request: (
            addresses.append(request.url)
            if not request.url.startswith(("file:", "data:", "blob:", "about:"))
            else None
        ),
    )
    return addresses


@pytest.mark.parametrize("width", [390, 1400])
def test_pages_fit_and_ask_nobody(site, page, asked, width):
    page.set_viewport_size({"width": width, "height": 900})
    for name in ("index", "quickstart", "tutorials/train", "concepts/biases", "reference/settings"):
        page.goto((site / f"{name}.html").as_uri())
        page.locator("h1").first.wait_for()
        wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wider <= 0, f"{name} is {wider} pixels wider than the screen"
    assert asked == []


def test_the_reference_is_complete(site):
    import singerid

    text = (site / "reference" / "python.html").read_text("utf-8")
    assert not [name for name in singerid.__all__ if f'id="singerid.{name}"' not in text]


def test_the_search_finds_without_a_network(site, page, asked):
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("Control+k")
    page.keyboard.type("consent")
    page.get_by_text("Taking a singer out").first.wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/concepts/duties.html**")
    assert asked == []
