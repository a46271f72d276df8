"""The pages of the documentation: their blocks, the commands in them, and how to run a page.

A block is run unless a comment right above it says why not: ``<!-- not run: REASON -->``.
``python tests/doc_pages.py`` lists those that are not.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL, PYTHON = "sh", "python"
NO_CODE = {"text", "json", "yaml", "csv", "diff", "toml", "js"}
FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+?) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
PROGRAMS = ("singerid", "python", "python3", "pip", "make", "git", "docker", "torchrun", "ray")
ASIDE = {  # pages on machines, releases and measurements: (why no block of them is run)
    "docs/releasing.md": "builds and installs releases",
    "docs/scaling.md": "large corpora",
    "docs/scale-out.md": "several machines",
    "docs/reliability.md": "kills, full disks and fuzzing, for hours",
}
SMALLER = {  # what is added to these commands when a page is run, so that it takes seconds
    "train": "--train.steps 4 --train.train_iters 2 --train.val_iters 1 --batch.n_singers 2 "
             "--batch.n_partials 2 --train.workers 0",
    "whiten": "--whiten.batches 90 --batch.n_singers 2 --batch.n_partials 8",
    "evaluate": "--evaluate.n_bootstrap 20",
    "leaderboard": "--evaluate.n_bootstrap 20",
    "robustness": "--robustness.n_bootstrap 20 --robustness.max_recordings 2",
}  # fmt: skip
SINGERID = """#!{python}
import os, shlex, shutil, signal, subprocess, sys, time, urllib.request


def serve(words):  # in the background, until the next one or the page's end
    if os.path.exists("serve.pid"):
        os.kill(int(open("serve.pid").read()), signal.SIGKILL)
    command = [sys.executable, "-m", "singerid", *words, "--serve.port", "{port}"]
    log = open("serve.log", "w")
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    open("serve.pid", "w").write(str(server.pid))
    for _ in range(1200):
        try:
            return urllib.request.urlopen("http://127.0.0.1:{port}/ready", timeout=2) and 0
        except OSError:
            if server.poll() is not None:
                return open("serve.log").read()
            time.sleep(0.1)
    return "not ready"


def run(words):
    if words[0] == "serve" and "--port" not in words:
        return serve(words)
    if words == ["demo"] and "DEMO" in os.environ:  # which was run once, for all pages
        return shutil.copytree(os.environ["DEMO"], "singerid_demo") and 0
    from singerid.cli import main
    from singerid.config import PRESETS

    PRESETS["demo"]["train"].update(steps=4, train_iters=2, val_iters=1)
    smaller = shlex.split({smaller!r}.get(words[0], ""))
    if words[0] == "robustness" and "--robustness.conditions" not in words:
        smaller += ["--robustness.conditions", "duration"]
    return main(words + (["--train.steps", "6"] if "--resume" in words else smaller))


if __name__ == "__main__":  # processes that it starts import this file
    sys.exit(run(sys.argv[1:]))
"""
TORCHRUN = f"""#!/bin/sh
exec {shlex.quote(sys.executable)} -m torch.distributed.run "$@" {SMALLER["train"]} \\
    --batch.n_singers 4  # two for each of two processes
"""
PYTHON3 = f"""#!/bin/sh
# The page is run where all is installed: an empty environment would be of no use.
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; touch "$3/bin/activate"; exit; fi
exec {shlex.quote(sys.executable)} "$@"
"""
CURL = """#!/bin/sh
exec {curl} --fail-with-body --silent --show-error "$@"
"""
NOTHING = "#!/bin/sh\n# The page is run where all is installed, and watches nothing.\n"
PYTHON_STEPS = re.compile(r"\bn_steps = \d+")


@dataclass(frozen=True)
class Block:
    """One fenced block: `reason` says why it is not run, "" if it is."""

    page: str
    line: int
    language: str
    code: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def name(page: Path) -> str:
    """Of a page: its path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, those that are no code included."""
    text, found = page.read_text("utf-8"), []
    for match in FENCE.finditer(text):
        code = re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE)
        language = {"bash": SHELL}.get(match["language"], match["language"])
        first = code.split(maxsplit=1)[0] if code.strip() else ""
        if not language and first in PROGRAMS:
            language = SHELL
        reason = match["reason"] or ASIDE.get(name(page), "")
        line = text.count("\n", 0, match.start("language")) + 1
        found.append(Block(name(page), line, language, code, reason))
    return found


def not_run() -> list[Block]:
    """The blocks of code that are not run."""
    every = (block for page in PAGES for block in blocks(page))
    return [block for block in every if block.language in (SHELL, PYTHON) and block.reason]


def command_lines(code: str, variables: dict[str, str]) -> list[list[str]]:
    """The commands in shell code, as words; assignments go into `variables`.

    Of a loop, the first turn is taken.
    """
    found = []
    for loop in re.finditer(r"\bfor (\w+) in ([^\s;]+)", code):
        variables[loop[1]] = loop[2]
    code = re.sub(r"(^|\s)#.*$", "", code, flags=re.MULTILINE).replace("\\\n", " ")
    lexer = shlex.shlex(code, posix=True, punctuation_chars="|&;()\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    words: list[str] = []
    for token in [*lexer, "\n"]:
        if not set(token) <= set("|&;()\n"):
            words.append(token)
            continue
        while words and (assigned := re.fullmatch(r"(\w+)=(.*)", words[0], re.DOTALL)):
            variables[assigned[1]] = " ".join(assigned[2].split())
            words = words[1:]
        if words and words[0] in ("do", "then", "time"):
            words = words[1:]
        if words:
            found.append([part for word in words for part in expanded(word, variables)])
        words = []
    return found


def expanded(word: str, variables: dict[str, str]) -> list[str]:
    """A word with its variables put in; one that is only a variable may be several words."""
    if match := re.fullmatch(r"\$(\w+)", word):
        return expanded_text(variables.get(match[1], match[0]), variables).split()
    return [expanded_text(word, variables)]


def expanded_text(text: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda match: variables.get(match[1], match[0]), text)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Shell:
    """Runs the shell blocks of one page in one folder, as a user would who has it all installed.

    Its `singerid` is the real one, but for `SMALLER`; `singerid serve` goes on in the background,
    at a free port instead of 8000. `pip` and `tensorboard` do nothing. Variables and the folder
    that a block ends in are there in the next one.
    """

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder, self.port = folder, free_port()
        self.programs = folder.parent / f"{folder.name}_bin"
        self.programs.mkdir()
        singerid = SINGERID.format(python=sys.executable, port=self.port, smaller=SMALLER)
        for program, text in (
            ("singerid", singerid), ("torchrun", TORCHRUN), ("python3", PYTHON3),
            ("pip", NOTHING), ("tensorboard", NOTHING),
            ("curl", CURL.format(curl=shutil.which("curl"))),
        ):  # fmt: skip
            (self.programs / program).write_text(text)
            (self.programs / program).chmod(0o755)
        path = os.pathsep.join(
            [str(self.programs), str(Path(sys.executable).parent), os.environ["PATH"]]
        )
        self.variables = {**home(folder), **variables}
        self.environment = {
            **os.environ, **self.variables, "PATH": path, "OMP_NUM_THREADS": "1"
        }  # fmt: skip
        self.sessions: list[int] = []

    def run(self, block: Block) -> str:
        """Run a block; returns what it said.

        Raises:
            AssertionError: a command of it failed.
        """
        code = block.code.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        state = shlex.quote(str(self.programs / "state"))
        whole = f"[ -f {state} ] && . {state}\nset -aeuo pipefail\n{code}\n"
        whole += f'set +u\n{{ export -p; echo cd "$PWD"; }} > {state}\n'
        process = subprocess.Popen(
            ["bash", "-c", whole], cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.sessions.append(process.pid)
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, f"{block} ends with {process.returncode}:\n{code}\n{said}"
        return said

    def close(self) -> None:
        """End what goes on in the background."""
        for session in self.sessions:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(session, signal.SIGKILL)


def home(folder: Path) -> dict[str, str]:
    """Variables that keep everything of a user in `folder`."""
    at = folder.parent / f"{folder.name}_home"
    at.mkdir(exist_ok=True)
    return {"HOME": str(at), "XDG_DATA_HOME": str(at / "data"), "SINGERID_REGISTRY": ""}


if __name__ == "__main__":
    for block in not_run():
        print(f"{block}: {block.reason}")
