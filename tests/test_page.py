"""The page of the service in a real browser: against canned answers, and against the service."""

import gzip
import io
import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from shutil import which

import numpy as np
import pytest
import soundfile

from page_stub import ANNA, DIFFERENT, PAGE, UNKNOWN, Stub, fault, serving, usual_answers
from singerid.judge import load_judge
from singerid.melody import draw_song
from singerid.sections import ServeSettings
from singerid.singing import SAMPLE_RATE, sing
from singerid.voices import draw_singer

pytestmark = pytest.mark.slow

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

WIDTH = "document.documentElement.scrollWidth"
VERA, OTTO = 4, 5  # virtual singers whom the default encoder tells apart with certainty
WATCH_POLICY = """window.violations = [];
addEventListener("securitypolicyviolation", (e) => violations.push(e.blockedURI), true);"""


@dataclass
class Watched:
    """A page with what it should not do: errors, requests to elsewhere."""

    page: object
    address: str = ""
    faults: list[str] = field(default_factory=list)
    expected: str = ""
    """Status whose failed requests are part of the test; the browser logs them as errors."""

    def __post_init__(self):
        self.page.on("console", lambda m: self._log(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self._request(request.url))
        self.page.add_init_script(WATCH_POLICY)

    def _log(self, text):
        if not (self.expected and text.startswith("Failed to load") and self.expected in text):
            self.faults.append(text)

    def _request(self, url):
        if not url.removeprefix("blob:").startswith((self.address, "data:")):
            self.faults.append(f"request to {url}")

    @contextmanager
    def visit(self, address):
        """Load the page anew; afterwards, check what it should not have done."""
        self.page.goto("about:blank")
        self.address, self.expected = address, ""
        self.faults.clear()
        self.page.goto(address)
        self.page.evaluate("sessionStorage.clear()")
        yield self
        assert self.page.evaluate("violations") == []
        assert self.faults == []


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    """`voice(singer, song)`: a file of 5 s by a virtual singer."""
    folder = tmp_path_factory.mktemp("voices")

    def make(singer, song):
        path = folder / f"singer {singer}, song {song}.wav"
        if not path.exists():
            rng = np.random.default_rng([singer, song + 1])
            who = draw_singer(np.random.default_rng([7, singer]), str(singer), "FM"[singer % 2])
            samples = sing(who, draw_song(rng, 5.0), rng, SAMPLE_RATE)
            soundfile.write(path, 0.9 * samples / np.abs(samples).max(), SAMPLE_RATE)
        return path

    return make


@pytest.fixture(scope="module")
def server():
    with serving(Stub({})) as running:
        yield running


@pytest.fixture
def stub(server):
    server.answers, server.asked, server.token, server.clip = usual_answers(), [], "", b""
    return server


@pytest.fixture(scope="module")
def tab(browser):
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    context.set_default_timeout(8000)
    yield Watched(context.new_page())
    context.close()


@pytest.fixture
def watched(tab, stub):
    with tab.visit(stub.address):
        yield tab


@pytest.fixture
def page(watched):
    return watched.page


def go(page, view):
    page.click(f"nav a[href='#{view}']")


def ask_about(page, path):
    page.set_input_files("#take .pick", path)
    page.click("#ask")


def parts_of(headers, body):
    """Multipart fields as [(name, file name, bytes)]."""
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    return [
        (part.get_param("name", header="Content-Disposition"), part.get_filename(),
         part.get_payload(decode=True))
        for part in BytesParser().parsebytes(head + body).get_payload()
    ]  # fmt: skip


def test_names_the_singer(page, stub, voice):
    ask_about(page, voice(0, 0))
    expect(page.locator(".who")).to_have_text("Anna Lindqvist")
    expect(page.locator(".how")).to_have_text("Very likely: 98.3\u202f%")
    expect(page.locator("#status")).to_have_text("Anna Lindqvist. Very likely: 98.3\u202f%")
    answer = page.locator(".answer")
    expect(answer).to_contain_text("Margin of Anna Lindqvist over Berta: 0.23 · prior ½")
    rows = page.locator(".ranking li")
    assert [row.split("\n")[0].split(" score")[0].split(" not")[0] for row in
            rows.all_inner_texts()] == [
        "Anna Lindqvist", "Somebody else", "Berta", "Cécile Ōkubo-Featherstonehaugh"
    ]  # fmt: skip
    expect(answer).to_contain_text("Recording: good, 7.1\u202fs of voice in 8.0\u202fs")
    page.click("text=What the numbers mean")
    expect(answer).to_contain_text("“one of the 42 enrolled singers” and “somebody else” counted")
    (_, _, headers, body) = next(one for one in stub.asked if one[1] == "/identify")
    (name, file, sent), top = parts_of(headers, body)
    assert (name, file, sent) == ("file", "singer 0, song 0.wav", voice(0, 0).read_bytes())
    assert (top[0], top[2]) == ("top", b"5")


def test_bars_are_as_long_as_the_probabilities(page, voice):
    ask_about(page, voice(0, 0))
    expect(page.locator(".who")).to_be_visible()
    widths = page.evaluate(
        "[...document.querySelectorAll('.bar')].map(b => b.firstChild.offsetWidth / b.offsetWidth)"
    )
    assert widths[0] == pytest.approx(0.9831, abs=0.01)
    assert widths[1] == pytest.approx(0.0147, abs=0.01)


def test_unknown_is_an_answer(page, stub, voice):
    stub.answers["POST /identify"] = UNKNOWN | {"voice_seconds": 5.0}
    ask_about(page, voice(0, 0))
    expect(page.locator(".who")).to_have_text("Unknown")
    expect(page.locator(".how")).to_contain_text("somebody who is not enrolled: 86")
    expect(page.locator(".ranking li").first).to_contain_text("Somebody else")
    expect(page.locator(".quality li")).to_have_text(
        ["Short: 1.2 s of voice", "Noisy: about 6 dB above the noise"]
    )


@pytest.mark.parametrize(
    "answer",
    [
        UNKNOWN | {"voice_seconds": 1.2},
        fault(422, "holds no voice", where="a.wav", found="at most 3 % voice-like sound"),
    ],
)
def test_too_little_voice_is_not_an_unknown_singer(watched, stub, voice, answer):
    watched.expected = "422"
    stub.answers["POST /identify"] = answer
    ask_about(watched.page, voice(0, 0))
    expect(watched.page.locator(".who")).to_have_text("Not enough voice")


def test_without_calibration_no_probability_is_claimed(page, stub, voice):
    bare = [{k: v for k, v in one.items() if k not in ("llr", "probability")}
            for one in ANNA["candidates"]]  # fmt: skip
    stub.answers["POST /identify"] = ANNA | {
        "probability": None, "unknown_probability": None, "candidates": bare
    }  # fmt: skip
    ask_about(page, voice(0, 0))
    expect(page.locator(".how")).to_contain_text("no calibration")
    assert "%" not in page.locator(".answer").inner_text()
    expect(page.locator(".ranking .value").first).to_have_text("0.74")


def test_names_are_text(page, stub, voice):
    evil = "<img src=x onerror=alert(1)>"
    stub.answers["POST /identify"] = ANNA | {"singer": evil}
    ask_about(page, voice(0, 0))
    expect(page.locator(".who")).to_have_text(evil)
    assert page.locator("main img").count() == 0


FAULTS = [
    (413, "This is more than the service takes at once."),
    (429, "Too many requests in a short time. Try again in 7 s."),
    (500, "Something failed inside the service; its log says more."),
    (503, "The service is busy at the moment. Try again in a few seconds."),
    (415, "a.wav: not audio."),
]


@pytest.mark.parametrize(("status", "sentence"), FAULTS)
def test_an_error_says_what_where_and_what_to_do(watched, stub, voice, status, sentence):
    watched.expected = str(status)
    page = watched.page
    stub.answers["POST /identify"] = fault(
        status, "not audio", where="a.wav", found="a picture", expected="sound", do="convert it"
    )
    ask_about(page, voice(0, 0))
    error = page.get_by_role("alert")
    expect(error.locator(".error-lead")).to_have_text(sentence)
    for text in ("a picture", "sound", "Convert it"):
        expect(error).to_contain_text(text)
    if status not in (429, 503):
        expect(error).to_contain_text("a.wav: not audio.")
    else:
        stub.answers["POST /identify"] = ANNA
        error.get_by_text("Try again", exact=True).click()
        expect(page.locator(".who")).to_have_text("Anna Lindqvist")


def test_a_lost_network_loses_nothing(watched, voice):
    watched.expected = "ERR_INTERNET_DISCONNECTED"
    page = watched.page
    page.set_input_files("#take .pick", voice(0, 0))
    page.context.set_offline(True)
    page.click("#ask")
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer.")
    page.context.set_offline(False)
    page.get_by_text("Try again", exact=True).click()
    expect(page.locator(".who")).to_have_text("Anna Lindqvist")


def test_a_proxys_page_in_place_of_json_is_an_error(watched, stub, voice):
    watched.expected = "502"
    stub.answers["POST /identify"] = (502, "no object")
    ask_about(watched.page, voice(0, 0))
    expect(watched.page.get_by_role("alert")).to_contain_text("Something failed inside the service")


def test_an_answer_to_another_recording_is_not_shown(page, stub, voice):
    page.set_input_files("#take .pick", voice(0, 0))
    page.route("**/identify", lambda route: None)  # never answered
    page.click("#ask")
    expect(page.locator("#answer")).to_contain_text("Listening")
    page.set_input_files("#take .pick", voice(1, 0))
    expect(page.locator("#answer")).to_be_empty()
    expect(page.locator("#ask")).to_be_enabled()
    page.unroute("**/identify")
    page.click("#ask")
    expect(page.locator(".who")).to_have_text("Anna Lindqvist")


def test_asks_for_the_token_and_keeps_it(watched, stub, voice):
    watched.expected = "401"
    page = watched.page
    stub.token, stub.clip = "s3cret", voice(0, 0).read_bytes()
    ask_about(page, voice(0, 0))
    dialog = page.locator("#token-dialog")
    for token, title in (("wrong", "asks for a token"), ("s3cret", "is not valid")):
        expect(dialog).to_contain_text(title)
        page.locator("#token-input").fill(token)
        page.keyboard.press("Enter")
    expect(page.locator(".who")).to_have_text("Anna Lindqvist")
    page.get_by_role("button", name="Play Anna Lindqvist").click()
    expect(page.get_by_role("button", name="Stop Anna Lindqvist")).to_be_visible()
    assert stub.asked[-1][1:2] == ("/exemplars/a1/audio",)
    assert stub.asked[-1][2]["Authorization"] == "Bearer s3cret"
    assert page.evaluate("localStorage.length") == 0
    page.click("#forget")
    page.click("#ask")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert")).to_contain_text("The service wants a valid token.")


def test_the_map_opens_after_the_token(watched, stub):
    watched.expected = "401"
    stub.token = "s3cret"
    page = watched.page
    page.get_by_role("link", name="Map").click()
    page.locator("#token-input").fill("s3cret")
    with page.context.expect_page() as opening:
        page.keyboard.press("Enter")
    assert opening.value.url == stub.address + "map"
    opening.value.close()
    asked = [one[2].get("Authorization") for one in stub.asked if one[1] == "/singers"]
    assert asked == [None, "Bearer s3cret"]  # the answer to which brings the map's cookie


def test_enrolls_and_says_what_is_odd(page, stub, voice):
    ask_about(page, voice(0, 0))
    expect(page.locator(".who")).to_be_visible()
    page.click("#to-enroll")
    field = page.get_by_role("combobox", name="Name of the singer")
    expect(field).to_have_value("Anna Lindqvist")
    field.fill("Ber")
    expect(page.locator("#known-singers option")).to_have_count(5)
    assert page.locator("#known-singers option").first.get_attribute("value") == "Berta Álvarez"
    page.get_by_role("button", name="Enroll", exact=True).click()
    outcome = page.locator("#enroll-box .outcome")
    expect(outcome).to_contain_text("Enrolled 1 recording under Anna Lindqvist.")
    expect(outcome).to_contain_text("Listen again to song.wav: unlike the other 4 (0.21)")
    expect(outcome).to_contain_text("Sounds much like Berta (97.0\u202f%).")
    (_, _, headers, body) = next(one for one in stub.asked if one[1] == "/enroll")
    singer, file = parts_of(headers, body)
    assert (singer[0], singer[2]) == ("singer", b"Ber")
    assert file[:2] == ("files", "singer 0, song 0.wav")


def test_nobody_enrolled_leads_to_enrolling(watched, stub, voice):
    watched.expected = "409"
    stub.answers["POST /identify"] = fault(409, "nobody is enrolled", do="enroll somebody first")
    ask_about(watched.page, voice(0, 0))
    expect(watched.page.locator("#answer")).to_contain_text("Nobody is enrolled yet")
    expect(watched.page.locator("#enroll-name")).to_be_visible()


def test_compares_two(page, stub, voice):
    go(page, "compare")
    expect(page).to_have_title("The same singer? · singerid")
    expect(page.locator("#same")).to_be_disabled()
    page.set_input_files("#take-a .pick", voice(0, 0))
    expect(page.locator("#same")).to_be_disabled()
    page.set_input_files("#take-b .pick", voice(1, 0))
    page.click("#same")
    expect(page.locator("#verdict .who")).to_have_text("Almost certainly the same singer")
    expect(page.locator("#verdict .how")).to_have_text(
        "Probability of one singer: 99.5\u202f% (prior ½)"
    )
    page.click("text=What the numbers mean")
    expect(page.locator("#verdict")).to_contain_text("the threshold is 0.48, set so that")
    stub.answers["POST /verify"] = DIFFERENT
    page.click("#same")
    expect(page.locator("#verdict .who")).to_have_text("Very likely different singers")
    (_, _, headers, body) = next(one for one in stub.asked if one[1] == "/verify")
    assert [part[:2] for part in parts_of(headers, body)] == [
        ("a", "singer 0, song 0.wav"), ("b", "singer 1, song 0.wav")
    ]  # fmt: skip


def test_browses_the_singers(page):
    go(page, "singers")
    items = page.locator("#singer-list > li")
    expect(items).to_have_count(20)
    page.get_by_role("button", name="Next").click()
    expect(items).to_have_count(5)
    expect(page.locator("#page-range")).to_have_text("21–25 of 25")
    page.get_by_label("Search").fill("brandt")
    expect(page.locator("#singer-count")).to_have_text("5 singers found")
    page.click("summary:has-text('Anna Brandt')")
    rows = page.locator(".exemplars li")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("morning warm-up.wav 7.5\u202fs · quality 0.90")
    expect(page.get_by_role("button", name="Play aria.flac")).to_be_visible()
    expect(rows.nth(2).locator(".play")).to_have_count(0)  # no clip was kept


def test_renames_and_deletes_after_asking(page, stub):
    go(page, "singers")

    def changes():
        return [one[:2] for one in stub.asked if one[0] in ("PATCH", "DELETE")]

    page.click("summary:has-text('Anna Brandt')")
    expect(page.locator(".exemplars li")).to_have_count(3)
    page.get_by_label("New name of Anna Brandt").fill("Anna B.")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator("#status")).to_have_text("Anna Brandt is called Anna B. now")
    page.get_by_role("button", name="Delete singer", exact=True).click()
    page.get_by_role("button", name="Keep").click()
    assert changes() == [("PATCH", "/singers/Anna%20Brandt")]
    page.get_by_role("button", name="Delete aria.flac").click()
    with page.expect_response("**/singers/Anna%20Brandt"):  # who was open is read anew
        page.locator("#confirm-ok").click()
    expect(page.locator(".exemplars li")).to_have_count(3)
    page.get_by_role("button", name="Delete singer", exact=True).click()
    expect(page.locator("#confirm-dialog")).to_contain_text("3 recordings of Anna Brandt")
    page.locator("#confirm-ok").click()
    expect(page.locator("#status")).to_have_text("Anna Brandt was deleted")
    assert changes()[1:] == [
        ("DELETE", "/exemplars/a1"), ("DELETE", "/singers/Anna%20Brandt")
    ]  # fmt: skip
    assert json.loads(stub.bodies("/singers/Anna%20Brandt")[1]) == {"name": "Anna B."}


REFUSALS = [
    ("NotAllowedError", "was not allowed to use the microphone"),
    ("NotFoundError", "No microphone was found"),
    ("NotReadableError", "Another program may be using it"),
]


@pytest.mark.parametrize(("name", "sentence"), REFUSALS)
def test_says_why_there_is_no_microphone(page, name, sentence):
    page.evaluate(
        "name => { navigator.mediaDevices.getUserMedia = "
        "() => Promise.reject(new DOMException('', name)); }",
        name,
    )
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    expect(page.get_by_role("button", name="Record")).to_be_visible()


def test_all_by_keyboard(page, stub):
    """Record, stop, play, seek, ask: nothing but keys."""

    def tab_to(name):
        for _ in range(12):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()"
            )
            if focused == name:
                assert page.evaluate("document.activeElement.matches(':focus-visible')")
                return
        pytest.fail(f"{name} is not reached by Tab")

    tab_to("Record")
    page.keyboard.press("Enter")
    expect(page.locator("#take .clock")).to_have_text("0:01")  # focus is on Stop meanwhile
    page.keyboard.press("Enter")
    play = page.locator("#take .play")
    expect(play).to_be_focused()
    page.keyboard.press("Space")
    expect(play).to_have_accessible_name("Pause")
    page.keyboard.press("Space")
    expect(play).to_have_accessible_name("Play")
    page.keyboard.press("Tab")
    seek = page.get_by_role("slider", name="Position")
    expect(seek).to_be_focused()
    page.keyboard.press("End")
    assert float(seek.input_value()) > 0.9
    tab_to("Who sings?")
    page.keyboard.press("Enter")
    expect(page.locator(".who")).to_have_text("Anna Lindqvist")
    tab_to("Play Anna Lindqvist")
    (sent,) = stub.bodies("/identify")
    assert b'filename="recording ' in sent


def test_the_waveform_shows_what_was_played(page, voice):
    lit = """() => {
      const canvas = document.querySelector("#take .ready canvas");
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      let [accent, any] = [0, 0];
      for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3] > 128) { any++; if (data[i] < 60) accent++; }
      }
      return [accent, any];
    }"""
    page.set_input_files("#take .pick", voice(0, 0))
    expect(page.locator("#take .total")).to_have_text("0:05")
    accent, drawn = page.evaluate(lit)
    assert accent == 0
    assert drawn > 3000  # bars, not a flat line
    page.get_by_role("slider", name="Position").focus()
    page.keyboard.press("End")
    assert page.evaluate(lit) == [drawn, drawn]
    expect(page.locator("#take .now")).to_have_text("0:05")
    page.set_input_files("#take .pick", voice(1, 0))
    expect(page.locator("#take .now")).to_have_text("0:00")


def test_a_file_that_the_browser_cannot_decode_can_still_be_asked_about(page, tmp_path):
    path = tmp_path / "strange.aiff"
    path.write_bytes(b"FORM not for browsers")
    ask_about(page, path)
    expect(page.locator(".who")).to_have_text("Anna Lindqvist")
    page.locator("#take .play").click()
    expect(page.get_by_role("alert")).to_contain_text("This browser cannot play the file")


def test_a_dropped_file_is_taken_wherever_it_falls(page):
    for place in ("#take", "footer"):
        page.evaluate(
            """place => { const transfer = new DataTransfer();
            transfer.items.add(new File(["x"], `${place} file.wav`));
            document.querySelector(place).dispatchEvent(new DragEvent("drop",
              { dataTransfer: transfer, bubbles: true, cancelable: true })); }""",
            place,
        )
        expect(page.locator("#take .name")).to_have_text(f"{place} file.wav")


@pytest.mark.parametrize("width", [320, 390])
def test_fits_a_phone(page, stub, voice, width):
    long = "Wolfeschlegelsteinhausenbergerdorff" * 3
    stub.answers["POST /identify"] = ANNA | {
        "singer": long,
        "candidates": [one | {"singer": long} for one in ANNA["candidates"]],
    }
    usual = page.viewport_size
    page.set_viewport_size({"width": width, "height": 844})

    def fits(what):
        assert page.evaluate(WIDTH) <= width, what

    fits("empty")
    ask_about(page, voice(0, 0))
    page.click("#to-enroll")
    page.get_by_role("button", name="Enroll", exact=True).click()
    expect(page.locator(".done")).to_be_visible()
    fits("answer")
    go(page, "compare")
    page.set_input_files("#take-a .pick", voice(0, 0))
    fits("compare")
    go(page, "singers")
    page.click("summary:has-text('Anna Brandt')")
    expect(page.locator(".exemplars li")).to_have_count(3)
    page.click("#to-add")
    fits("singers")
    page.set_viewport_size(usual)


@pytest.mark.parametrize("view", ["identify", "compare", "singers"])
def test_every_control_has_a_name(page, voice, view):
    go(page, view)
    if view == "singers":
        page.click("summary:has-text('Anna Brandt')")
        expect(page.locator(".exemplars li")).to_have_count(3)
    elif view == "identify":
        ask_about(page, voice(0, 0))
        expect(page.locator(".who")).to_be_visible()
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    kinds = ("button", "link", "textbox", "searchbox", "combobox", "slider", "DisclosureTriangle")
    controls = [n for n in nodes if not n["ignored"] and n["role"]["value"] in kinds]
    assert len(controls) > 8
    assert [node for node in controls if not node["name"]["value"].strip()] == []


def test_files_are_few_plain_and_our_own():
    files = {path.name: path.read_bytes() for path in PAGE.iterdir()}
    assert sum(len(gzip.compress(data)) for data in files.values()) < 32_000
    assert sum(map(len, files.values())) < 80_000
    for name, data in files.items():
        text = data.decode()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
        assert not re.search(r"\beval\(|innerHTML|outerHTML|insertAdjacentHTML", text), name
    html = files["index.html"].decode()
    # All at once, not module by module as imports are found; the worklet only when needed.
    loaded = set(re.findall(r'(?:src|href)="static/(\w+\.js)"', html))
    assert loaded == {name for name in files if name.endswith(".js")} - {"recorder-worklet.js"}
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)


def _luminance(color):
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough(scheme):
    """WCAG 2.2, 1.4.3 and 1.4.11: 4.5 for text, 3 for the edges of controls."""
    css = (PAGE / "style.css").read_text()
    blocks = [dict(re.findall(r"--([\w-]+): (#\w{6});", block))
              for block in re.findall(r":root \{(.*?)\}", css, re.S)]  # fmt: skip
    colors = blocks[0] | (blocks[1] if scheme == "dark" else {})
    pairs = [
        ("ink", "page"), ("ink", "panel"), ("soft", "page"), ("soft", "panel"), ("accent", "page"),
        ("accent", "panel"), ("accent", "tint"), ("on-accent", "accent"),
        ("good", "page"), ("fair", "page"), ("poor", "page"), ("poor", "panel"), ("edge", "page"),
    ]  # fmt: skip
    for front, back in pairs:
        high, low = sorted((_luminance(colors[front]), _luminance(colors[back])), reverse=True)
        least = 3 if front == "edge" else 4.5
        assert (high + 0.05) / (low + 0.05) >= least, (front, back)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Address of the real service, with the default encoder and an empty registry."""
    uvicorn = pytest.importorskip("uvicorn", reason="the extra web is not installed")
    pytest.importorskip("lancedb", reason="the extra registry is not installed")
    from singerid.registry import Registry
    from singerid.web.app import create_app

    registry = Registry.open(tmp_path_factory.mktemp("registry") / "r", create=True)
    app = create_app(load_judge(), registry, ServeSettings(workers=1))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def singing_tab(browser, voice):
    """A tab of a browser whose microphone hears Vera sing song 1."""
    capture = f"--use-file-for-fake-audio-capture={voice(VERA, 1)}"
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", capture]
    own = browser.browser_type.launch(
        executable_path=which("chromium"), args=["--no-sandbox", *fake]
    )
    context = own.new_context()
    context.set_default_timeout(10_000)
    yield Watched(context.new_page())
    own.close()


def test_a_recording_is_what_the_microphone_heard(singing_tab, stub, voice):
    with singing_tab.visit(stub.address):
        record(singing_tab.page, 1)
        singing_tab.page.click("#ask")
        expect(singing_tab.page.locator(".who")).to_be_visible()
    (_, _, headers, body) = next(one for one in stub.asked if one[1] == "/identify")
    heard, rate = soundfile.read(io.BytesIO(parts_of(headers, body)[0][2]), always_2d=True)
    assert heard.shape[1] == 1
    assert len(heard) >= rate
    played, played_rate = soundfile.read(voice(VERA, 1))
    assert _centroid_hz(heard[:, 0], rate) == pytest.approx(
        _centroid_hz(played, played_rate), rel=0.4
    )
    assert 0.3 < np.abs(heard).max() <= 1


def _centroid_hz(samples, rate):
    """Center of the spectrum below 4 kHz."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / rate)
    low = hz < 4000
    return (hz[low] * power[low]).sum() / power[low].sum()


def record(page, seconds):
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.locator("#take .clock")).to_have_text(f"0:{seconds:02d}")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#take .ready")).to_be_visible()


def test_enroll_record_identify_compare_delete(singing_tab, service, voice):
    """The whole way with the real service."""
    with singing_tab.visit(service):
        page = singing_tab.page
        singing_tab.expected = "409"
        ask_about(page, voice(VERA, 0))
        expect(page.locator("#answer")).to_contain_text("Nobody is enrolled yet")
        page.locator("#enroll-name").fill("Vera Synth")
        page.get_by_role("button", name="Enroll", exact=True).click()
        expect(page.locator(".done")).to_have_text("Enrolled 1 recording under Vera Synth.")
        go(page, "singers")
        page.click("#to-add")
        page.locator("#add-name").fill("Otto Wave")
        page.set_input_files("#add-files", [voice(OTTO, 0), voice(OTTO, 2)])
        page.get_by_role("button", name="Enroll", exact=True).click()
        expect(page.locator("#add-box .done")).to_contain_text("Enrolled 2 recordings under Otto")
        expect(page.locator("#facts")).to_contain_text("2 singers, 3 recordings")
        go(page, "identify")
        page.get_by_role("button", name="Replace this recording").click()
        record(page, 3)
        page.click("#ask")
        expect(page.locator(".ranking li")).to_have_count(3)
        expect(page.locator(".who")).to_have_text("Vera Synth")
        page.get_by_role("button", name="Play Vera Synth").click()
        expect(page.get_by_role("button", name="Stop Vera Synth")).to_be_visible()
        go(page, "compare")
        page.set_input_files("#take-a .pick", voice(VERA, 0))
        page.set_input_files("#take-b .pick", voice(OTTO, 0))
        page.click("#same")
        expect(page.locator("#verdict .who")).to_contain_text("different singers")
        go(page, "singers")
        page.click("summary:has-text('Otto Wave')")
        page.get_by_role("button", name="Delete singer", exact=True).click()
        page.locator("#confirm-ok").click()
        expect(page.locator("#singer-count")).to_have_text("1 singer enrolled")


def test_the_services_policy_stops_foreign_scripts(tab, service):
    with tab.visit(service):
        ran = tab.page.evaluate(
            """() => { const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            return window.ran ?? false; }"""
        )
        assert ran is False
        tab.page.wait_for_function("violations.length == 1")
        assert tab.page.evaluate("violations.splice(0)") == ["inline"]
        assert "Content Security Policy" in tab.faults.pop()
