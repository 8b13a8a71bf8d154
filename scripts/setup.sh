#!/bin/sh
# Make the virtual environment: find a Python that MXNet 1.9.1 works with, install
# requirements.txt, get what the system lacks. `make setup` calls this.
#
#   scripts/setup.sh                           set up .venv
#   VENV=folder PYTHON=python3.10 scripts/setup.sh
#   WHEELS=folder scripts/setup.sh             without network, from what make wheels made
#   scripts/setup.sh --which-python            only print the Python it would take
set -eu

cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
uv=uv==0.13.9

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

check_machine() {
    found="$(uname -s) $(uname -m)"
    getconf GNU_LIBC_VERSION >/dev/null 2>&1 || found="$found without glibc"
    [ "$found" = "Linux x86_64" ] ||
        die "found $found; MXNet 1.9.1 exists only for x86-64 Linux with glibc." \
            "Use such a machine, or the Dockerfile on one."
}

# --- apt, where this user may use it -------------------------------------------------

may_apt() {
    command -v apt-get >/dev/null || return 1
    root=
    [ "$(id -u)" = 0 ] || { root="sudo -n"; sudo -n true 2>/dev/null; }
}

apt_get() { $root env DEBIAN_FRONTEND=noninteractive apt-get -qy "$@" >"$scratch/apt" 2>&1; }

# Gets fresh package lists only where the ones at hand do not do.
apt_install() {
    may_apt || return 1
    say "apt-get install $*"
    apt_get install --no-install-recommends "$@" && return
    apt_get update && apt_get install --no-install-recommends "$@" && return
    say "apt-get: $(tail -n 1 "$scratch/apt")"
    return 1
}

by_hand() { echo "Run: sudo apt-get update && sudo apt-get install $*; then make again."; }

# --- Python --------------------------------------------------------------------------

# Prints the version of a Python that will do. Not so: older or newer ones, a 32-bit
# one, one built without what pip and MXNet import, a pyenv shim with nothing behind it.
usable() {
    "$1" -c 'import ctypes, ssl, sys, zlib
if not (3, 10) <= sys.version_info[:2] <= (3, 13) or sys.maxsize < 2**32: sys.exit(1)
print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null
}

can_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null </dev/null; }

# 3.13 comes last of those with a name: it has only numpy 2, which MXNet was not made for.
candidates() (
    [ -z "${PYTHON:-}" ] || { command -v "$PYTHON"; exit; }
    IFS=:
    for name in python3.12 python3.11 python3.10 python3.13 python3 python; do
        for folder in $PATH; do
            [ ! -x "$folder/$name" ] || echo "$folder/$name"
        done
    done
)

# Prints the first usable Python; one that can make environments goes before others.
which_python() {
    candidates | {
        lacking=
        while read -r python; do
            usable "$python" >/dev/null || continue
            can_venv "$python" && { echo "$python"; exit; }
            lacking=${lacking:-$python}
        done
        [ -n "$lacking" ] && echo "$lacking"
    }
}

make_venv() {
    if [ -n "${PYTHON:-}" ]; then
        python=$(which_python) ||
            die "PYTHON=$PYTHON is no working 64-bit Python 3.10 to 3.13, which MXNet" \
                "needs. Name another, or leave PYTHON out to have one found."
    elif ! python=$(which_python); then
        can_venv python3 || apt_install python3-venv || :
        python=$(which_python) || python=$(python_from_uv)
    fi
    version=$(usable "$python")
    can_venv "$python" || apt_install "python$version-venv" || :
    can_venv "$python" ||
        die "$python cannot make virtual environments. $(by_hand "python$version-venv")"
    say "Python $version ($python)"
    "$python" -m venv "$venv"
}

# Prints the Python 3.11 that uv, a package on PyPI, brings into the user's home.
python_from_uv() {
    [ -z "${WHEELS:-}" ] ||
        die "found no working Python 3.10 to 3.13, and WHEELS has none. Install the one" \
            "that the wheels are for; then make again."
    say "no working Python 3.10 to 3.13 here; getting 3.11 with uv"
    if ! command -v uv >/dev/null; then
        can_venv python3 || die "uv needs a Python to install it. $(by_hand python3-venv)"
        python3 -m venv "$scratch/uv"
        "$scratch/uv/bin/python" -m pip install -q "$uv" || die "pip cannot install $uv"
        PATH=$PATH:$scratch/uv/bin
    fi
    { uv python install -q 3.11 && UV_PYTHON_PREFERENCE=only-managed uv python find 3.11; } ||
        die "uv cannot bring Python 3.11. Install Python 3.10 to 3.13; then make again."
}

# An environment that is whole is kept, and only what it lacks is installed.
keep_or_make_venv() {
    if [ -e "$venv/.unfinished" ] || ! usable "$venv/bin/python" >/dev/null ||
        [ "$(usable "${PYTHON:-$venv/bin/python}")" != "$(usable "$venv/bin/python")" ]; then
        [ -e "$venv/pyvenv.cfg" ] || [ -e "$venv/.unfinished" ] ||
            [ -z "$(ls -A "$venv" 2>/dev/null)" ] ||
            die "$venv exists and is no virtual environment; remove it or set VENV."
        rm -rf "$venv"
        mkdir -p "$venv"
        touch "$venv/.unfinished"
        make_venv
    fi
    touch "$venv/.unfinished"
}

# --- the rest ------------------------------------------------------------------------

loads() { "$venv/bin/python" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$1" 2>/dev/null; }

get_libraries() {
    set --
    loads libgomp.so.1 || set -- "$@" libgomp1
    loads libquadmath.so.0 || set -- "$@" libquadmath0
    [ $# = 0 ] || apt_install "$@" || die "MXNet needs libraries that are missing. $(by_hand "$@")"
}

get_data() {
    for folder in "${MXNET_HOME:-${HOME:-}/.mxnet}/datasets" /usr/share/datasets; do
        [ ! -e "$folder/fashion-mnist/train-images-idx3-ubyte.gz" ] || return 0
    done
    apt_install dataset-fashion-mnist ||
        say "no package dataset-fashion-mnist; the data (31 MB) is downloaded at first use"
}

# With WHEELS nothing is asked of an index, nor of what pip's settings name.
pip_install() {
    if [ -n "${WHEELS:-}" ]; then
        set -- --no-index --find-links "$WHEELS" "$@"
        export PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS=
    fi
    "$venv/bin/python" -m pip install -q --no-deps --no-input --disable-pip-version-check "$@" ||
        die "pip failed (see above); mend that, then make again."
}

check_wheels() {
    [ -n "${WHEELS:-}" ] || return 0
    version=$(usable "$venv/bin/python")
    for wheel in "$WHEELS"/numpy-*-cp"$(echo "$version" | tr -d .)"-*.whl; do
        [ ! -e "$wheel" ] || return 0
    done
    die "found no wheels for Python $version in WHEELS=$WHEELS, expected what make wheels" \
        "makes with that Python; name another folder, or PYTHON=name."
}

get_packages() {
    say "installing requirements.txt into $venv; a minute or more"
    # setuptools first: it builds the packages that have no wheel, and this one.
    pip_install "$(sed -n 's/^\(setuptools==[^ ;]*\).*/\1/p' requirements.txt)"
    pip_install --use-pep517 --no-build-isolation -r requirements.txt -e .
    "$venv/bin/python" -c 'from d2l_mlp._compat import load_mxnet; load_mxnet()' ||
        die "MXNet is installed and cannot be loaded (see above)."
    # Else the first run with --fast would, which would take it 3 s.
    "$venv/bin/python" -c 'from d2l_mlp.static_graph import compiled; compiled.compile_now()' ||
        say "numba cannot compile here (see above); --fast does without."
}

check_machine
if [ "${1:-}" = --which-python ]; then
    which_python || die "no working 64-bit Python 3.10 to 3.13 found"
    exit
fi
[ $# = 0 ] || die "found argument $1, expected none or --which-python"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' HUP INT TERM
keep_or_make_venv
check_wheels
get_libraries
get_data
get_packages
rm "$venv/.unfinished"
touch "$venv/.installed"
say "done"
