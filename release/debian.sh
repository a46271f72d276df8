#!/usr/bin/env bash
# The matrix with the Python of another Debian release, for machines that have no other Python:
#
#   release/debian.sh trixie [oldest|locked]      # Debian 13: Python 3.13
#
# Needs root and Debian's package debootstrap. The system lies in a temporary folder, which goes
# with it; what is tested is the commit that is checked out, as in `make release`.
set -euo pipefail
suite=$1
shift
cd "$(dirname "$0")/.."
system=$(mktemp -d)
trap 'rm -rf "$system"' EXIT

debootstrap --variant=minbase --include=python3,python3-venv \
    "$suite" "$system" >"$system.log" || { tail -5 "$system.log" >&2; exit 1; }
rm "$system.log"
mkdir "$system/work"
git archive HEAD | tar -x -C "$system/work"
cp --remove-destination /etc/resolv.conf /etc/hosts "$system/etc/"
mkdir -p "$system/etc/ssl/certs"
cp -L /etc/ssl/certs/ca-certificates.crt "$system/etc/ssl/certs/"

inside() {  # mounts are seen by this command alone, and end with it
    # shellcheck disable=SC2016
    unshare --mount --propagation private sh -c '
        mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"
    ' "$system" "$@"
}
inside python3 -m venv /tools
inside /tools/bin/python -m pip install --quiet -r /work/release/tools.txt
version=$(inside python3 -c "import sys; print('%d.%d' % sys.version_info[:2])")
inside env PATH="/tools/bin:/usr/bin:/bin" /tools/bin/python /work/release/matrix.py "$version" "$@"
