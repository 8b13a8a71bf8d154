#!/bin/sh
# Run README's commands on a fresh machine: a minimal Debian, made for it and removed.
#
#   sudo sh scripts/fresh_machine.sh             make book, then make test
#   sudo sh scripts/fresh_machine.sh book        only that; any target of the Makefile
#
# debootstrap makes the root (the suite and mirror that this machine's apt has), with
# python3, python3-venv, make and ca-certificates. The commit that HEAD names is cloned
# into it, and make runs there as root, by chroot. apt and pip are used as on this
# machine: its sources, proxies, certificates and settings are taken over. Nothing else
# of it is meant to change; mounts and processes end with the script, and its
# folder (4 GB, in TMPDIR or /tmp) is removed. SUITE=trixie takes another suite.
set -eu

say() { echo "fresh_machine: $*" >&2; }
die() { say "$*"; exit 1; }

# --- inside: called again by itself, in namespaces of its own -------------------------

# Debian's mirror and suite, as apt-get here knows them: "address suite".
sources() {
    # shellcheck disable=SC2016  # for apt-get to fill in
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' \
        'Created-By: Packages' 'Component: main'
}

# A file goes to the same path in the root. A folder that the root lacks is shown there,
# with the one it lies in where that is lacking too: an index has its files beside it.
shown=
take_over() {
    if [ -d "$1" ]; then
        for path in "$(dirname "$1")" "$1"; do
            [ ! -e "$root$path" ] || continue
            mkdir -p "$root$path"
            mount --bind -o ro "$path" "$root$path"
            shown="$shown --exclude=$root$path"
        done
    elif [ -f "$1" ]; then
        mkdir -p "$root$(dirname "$1")"
        cp -L "$1" "$root$1"
    fi
}

# What a file or a variable names: certificates, folders of wheels, other settings.
named_in() { grep -oE '/[^][ ,;"'"'"'=]+' | sed 's,^/*,/,' | sort -u; }

take_settings_over() {
    cp -a /etc/apt/sources.list* /etc/apt/keyrings /etc/apt/trusted.gpg* \
        /etc/apt/auth.conf* "$root/etc/apt/" 2>/dev/null || :
    cp -an /usr/share/keyrings/. "$root/usr/share/keyrings/"
    apt-config dump | grep '^Acquire::' >"$root/etc/apt/apt.conf.d/90host"
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    cp -a /usr/local/share/ca-certificates "$root/usr/local/share/" 2>/dev/null || :
    chroot "$root" update-ca-certificates >>"$root.log" 2>&1
    for file in /etc/pip.conf /etc/xdg/pip/pip.conf "$HOME/.pip/pip.conf" \
        "$HOME/.config/pip/pip.conf" "${PIP_CONFIG_FILE:-/}" "$HOME/.netrc" \
        /etc/uv/uv.toml "$HOME/.config/uv/uv.toml" "${UV_CONFIG_FILE:-/}"; do
        [ -f "$file" ] || continue
        take_over "$file"
        for path in $(named_in <"$file"); do take_over "$path"; done
    done
    for path in $(env | grep -E "^($variables)=" | named_in); do take_over "$path"; done
}
variables='(PIP|UV)_[A-Z_]*|[A-Za-z]*_(proxy|PROXY)|SSL_CERT_(FILE|DIR)|[A-Z]*_CA_BUNDLE'

inside() {
    mirror=$(sources | awk -v suite="$SUITE" '$2 == suite {print $1; exit}')
    [ -n "$mirror" ] || mirror=$(sources | awk '{print $1; exit}')
    [ -n "$mirror" ] || die "found no mirror in apt's sources, expected one with main;" \
        "see apt-get indextargets"
    say "making a minimal $SUITE with debootstrap"
    start=$(date +%s)
    debootstrap --variant=minbase \
        --include=python3,python3-venv,make,ca-certificates "$SUITE" "$root" "$mirror" \
        >"$root.log" 2>&1 ||
        die "debootstrap failed: $(tail -n 1 "$root.log"). Is $SUITE on the mirror?" \
            "apt-get update, or SUITE=name, and run again."
    mount -t proc proc "$root/proc"
    mkdir -p "$root/dev/shm" "$root/dev/pts" "$root$HOME"
    mount -t tmpfs tmpfs "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
    ln -sf pts/ptmx "$root/dev/ptmx"
    take_settings_over
    printf '[safe]\n\tdirectory = *\n' >"$root.gitconfig"
    GIT_CONFIG_GLOBAL=$root.gitconfig git clone -q "file://$PWD" "$root/d2l_mlp"
    say "made it in $(($(date +%s) - start)) s, $(size)"

    # Only what apt and pip are told: no PATH, locale or virtual environment of here.
    targets=$*
    set -- "HOME=$HOME" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        LANG=C.UTF-8
    for name in $(env | sed -nE "s/^($variables)=.*/\\1/p"); do
        eval "set -- \"\$@\" \"$name=\$$name\""
    done
    for target in $targets; do
        say "make $target"
        start=$(date +%s)
        status=0
        env -i "$@" chroot "$root" make -C /d2l_mlp "$target" || status=$?
        say "make $target: exit status $status, $(($(date +%s) - start)) s, $(size)"
        [ "$status" = 0 ] || exit "$status"
    done
}

# shellcheck disable=SC2086  # each a word
size() { du -smx $shown "$root" | awk '{print $1 " MB"}'; }

# --- outside -------------------------------------------------------------------------

cd "$(dirname "$0")/.."
if [ -n "${FRESH_MACHINE_ROOT:-}" ]; then
    root=$FRESH_MACHINE_ROOT
    inside "$@"
    exit
fi
[ "${1:-}" != --help ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit; }
[ $# != 0 ] || set -- book test
for target in "$@"; do
    sed -n 's/^\([a-z-]*\):.*##.*/\1/p' Makefile | grep -qxF -e "$target" ||
        die "found argument $target, expected targets of the Makefile (see make help) or --help"
done
[ "$(id -u)" = 0 ] || die "found user $(id -un), expected root, who may chroot; use sudo"
for program in debootstrap git apt-get unshare; do
    command -v $program >/dev/null ||
        die "found no $program, expected a Debian or Ubuntu that has it. Run:" \
            "apt-get install debootstrap git util-linux"
done
unshare --mount --pid --fork true 2>/dev/null ||
    die "this root may not make namespaces and mounts (a container?); use a whole machine"
head=$(git -c safe.directory='*' rev-parse --short HEAD) ||
    die "found no commit in $PWD, expected a clone of the project; git clone it"
[ -z "$(git -c safe.directory='*' status --porcelain)" ] ||
    say "what is not committed is left out; tried is $head"
SUITE=${SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")}
folder=$(mktemp -d)
free=$(df -Pm "$folder" | awk 'END {print $4}')
running=
clean_up() {
    [ -z "$running" ] || { kill -KILL "$running"; wait "$running"; } 2>/dev/null || :
    # What dies in there may write for a moment more.
    for _ in 1 2 3 4 5; do
        rm -rf --one-file-system "$folder" 2>/dev/null && return
        sleep 1
    done
    say "could not remove $folder; remove it by hand"
}
trap clean_up EXIT
trap 'exit 130' HUP INT TERM
[ "$free" -ge 4000 ] ||
    die "found $free MB free in $folder, expected 4000; set TMPDIR to a folder with more"
mkdir "$folder/root"
export SUITE FRESH_MACHINE_ROOT="$folder/root"
# In the background, so that a signal is heard at once; to it, Ctrl-C means what it does
# in front.
env --default-signal=INT,QUIT unshare --mount --pid --fork --kill-child=KILL \
    sh scripts/fresh_machine.sh "$@" </dev/null &
running=$!
status=0
wait "$running" || status=$?
running=
exit "$status"
