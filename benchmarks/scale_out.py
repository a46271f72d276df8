"""Features and embeddings on three hosts of a Ray cluster, one of which is lost meanwhile.

    python benchmarks/scale_out.py MANIFEST [--command features|embed] [--folder FOLDER]

The hosts are network namespaces of this machine: addresses of their own, and links that can be cut.
Each scenario must end with the bytes that local processes make. Linux, with the right to make
namespaces; needs the extra ray.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BRIDGE, NET = "singerid0", "10.77.0"
HOSTS = ("head", "a", "b")
TOKEN = secrets.token_hex(32)
BIN = Path(sys.executable).parent


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=not check)


def name_of(host: str) -> str:
    return f"singerid-{host}"


def address(host: str) -> str:
    return f"{NET}.{HOSTS.index(host) + 1}"


@contextmanager
def network() -> Iterator[None]:
    """A bridge, and a namespace with one link to it for each host."""
    remove_network()
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("link", "set", BRIDGE, "up")
        for host in HOSTS:
            inner, outer = f"in-{host}", f"out-{host}"
            ip("netns", "add", name_of(host))
            ip("link", "add", outer, "type", "veth", "peer", "name", inner)
            ip("link", "set", outer, "master", BRIDGE, "up")
            ip("link", "set", inner, "netns", name_of(host))
            inside = ("-n", name_of(host))
            ip(*inside, "addr", "add", f"{address(host)}/24", "dev", inner)
            ip(*inside, "link", "set", inner, "up")
            ip(*inside, "link", "set", "lo", "up")
        yield
    finally:
        remove_network()


def remove_network() -> None:
    for host in HOSTS:
        kill(host)
        ip("netns", "del", name_of(host), check=False)
        ip("link", "del", f"out-{host}", check=False)
    ip("link", "del", BRIDGE, check=False)


def kill(host: str) -> None:
    """All processes of a host at once, as when its power fails."""
    pids = subprocess.run(["ip", "netns", "pids", name_of(host)], capture_output=True, text=True)
    for pid in pids.stdout.split():
        subprocess.run(["kill", "-9", pid], capture_output=True, check=False)


def cut(host: str) -> None:
    """Nothing of it is heard any more."""
    ip("link", "set", f"out-{host}", "down")


def mend(host: str) -> None:
    ip("link", "set", f"out-{host}", "up")


def on(host: str, *words: object) -> subprocess.Popen[str]:
    """Start something on a host."""
    command = ["ip", "netns", "exec", name_of(host), *map(str, words)]
    proxies = {"http_proxy", "https_proxy", "grpc_proxy", "all_proxy"}  # the hosts see each other
    environment = {n: v for n, v in os.environ.items() if n.lower() not in proxies}
    environment |= {
        "RAY_ADDRESS": f"{address('head')}:6379", "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN,
    }  # fmt: skip
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def start(host: str) -> None:
    """A machine of the cluster, with one core and room for 300 MB of results."""
    at = ("--head", "--port=6379") if host == "head" else (f"--address={address('head')}:6379",)
    extra = ("--include-dashboard=false",) if host == "head" else ()
    node = on(
        host, BIN / "ray", "start", *at, *extra, f"--node-ip-address={address(host)}",
        "--num-cpus=1", "--object-store-memory=300000000", "--disable-usage-stats",
    )  # fmt: skip
    said, _ = node.communicate(timeout=300)
    if node.returncode:
        raise SystemExit(f"{host}: {said}")


def run(
    command: list[object], output: Path, during: Callable[[], None] | None, after: float
) -> tuple[float, str]:
    """Run a command on the head; seconds, and its last line with the most memory that it took.

    Args:
        command: what to run.
        output: what it writes, removed before.
        during: what happens to the cluster meanwhile.
        after: seconds after the start at which that happens.
    """
    shutil.rmtree(output, ignore_errors=True)
    output.unlink(missing_ok=True)
    began = time.monotonic()
    child = on("head", *command)
    if during:
        time.sleep(after)
        assert child.poll() is None, "it was over before anything happened to it"
        during()
    assert child.stdout
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(said)
    last = said.strip().splitlines()[-1]
    return time.monotonic() - began, f"{last}; {usage.ru_maxrss / 1024:.0f} MiB"


def content(output: Path) -> dict[str, bytes]:
    if output.is_file():
        return {"": output.read_bytes()}
    return {f.name: f.read_bytes() for f in output.iterdir() if not f.name.startswith(".")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--command", choices=["features", "embed"], default="features")
    parser.add_argument("--only", help="one scenario")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/scale-out"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    suffix = ".parquet" if options.command == "embed" else ""
    here, there = (options.folder / f"{name}{suffix}" for name in ("here", "there"))
    words = [BIN / "singerid", options.command, options.manifest.absolute(), "-o"]
    with network():
        seconds, line = run([*words, here], here, None, 0)
        print(f"local, 2 processes: {seconds:.1f} s: {line}", flush=True)
        expected = content(here)
        for host in HOSTS:
            start(host)
        scenarios: dict[str, tuple[Callable[[], None] | None, Callable[[], None]]] = {
            "three hosts": (None, lambda: None),
            "one killed": (lambda: kill("a"), lambda: start("a")),
            "one cut off": (lambda: cut("b"), lambda: mend("b")),
        }
        alone = 0.0
        for name, (during, repair) in scenarios.items():
            if options.only not in (None, name):
                continue
            ray = [*words, there, "--engine", "ray"]
            seconds, line = run(ray, there, during, 0.6 * alone or 12.0)
            alone = alone or seconds
            same = "same bytes" if content(there) == expected else "OTHER BYTES"
            print(f"{name}: {seconds:.1f} s, {same}: {line}", flush=True)
            repair()


if __name__ == "__main__":
    main()
