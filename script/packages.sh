# shellcheck shell=sh
# What the tests need besides Python: found, or installed from Debian's packages. Sourced by script/test after venv.sh.
# Root gets them with apt; anyone else unpacks them under .cache/debian, which goes to the end of PATH and nowhere else.
# shellcheck disable=SC2154

unpacked=$root/.cache/debian
PATH=$PATH:$unpacked/bin
export PATH

# One line per need: its name, the function that tells whether it is met, the packages that meet it.
needs() {
    cat <<'LIST'
compiler has_compiler gcc libc6-dev libc6
curl has_curl curl
LIST
}

# The pages of the documentation show calls with curl, and the tests run them: --json is of 2022.
has_curl() { curl --json '{}' --version >/dev/null 2>&1; }

# A shared object is what the crash suite's fsync shim is: this finds a compiler without headers as well as none.
has_compiler() {
    probe=$(mktemp -d "${TMPDIR:-/tmp}/soundstage.XXXXXX") || return 1
    printf '#include <dlfcn.h>\nvoid *probe(void) { return dlsym(RTLD_NEXT, "fsync"); }\n' >"$probe/probe.c"
    ${CC:-cc} -D_GNU_SOURCE -shared -fPIC -o "$probe/probe.so" "$probe/probe.c" >/dev/null 2>&1
    found=$?
    rm -rf "$probe"
    return $found
}

missing_needs() {
    needs | while read -r need check packages; do
        "$check" || echo "$need $packages"
    done
}

packages_of() { printf '%s\n' "$1" | cut -d' ' -f2- | tr '\n' ' '; }

# make_venv meets this one itself; it is only listed.
can_make_venv() {
    is_current || uv --version >/dev/null 2>&1 || "$python" -c 'import ensurepip' 2>/dev/null ||
        "$python" -m pip --version >/dev/null 2>&1
}

list_missing() {
    listed=$(can_make_venv || echo "venv python3-venv"; printf '%s' "$missing")
    [ -n "$listed" ] || return 0
    say "missing for the tests, with the Debian packages that bring it:"
    printf '%s\n' "$listed" | sed 's/ /: /; s/^/    /' >&3
}

# apt for an ordinary user: the system's sources, lists of its own.
private_apt() {
    mkdir -p "$unpacked/lists/partial" "$unpacked/archives/partial"
    apt-get -q -o Dir::State::Lists="$unpacked/lists" -o Dir::Cache="$unpacked" -o Debug::NoLocking=1 "$@"
}

# The packages named, and those they depend on that this system has not.
closure() {
    printf '%s\n' "$@"
    private_apt install --print-uris -y --no-install-recommends "$@" 2>>"$log" | sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p"
}

unpack() {
    command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || return 1
    say "unpacking under .cache/debian: $*"
    private_apt update >>"$log" 2>&1 || return 1
    names=$(closure "$@" | sort -u)
    # shellcheck disable=SC2086 # one word per package
    (cd "$unpacked/archives" && private_apt download $names >>"$log" 2>&1) || return 1
    mkdir -p "$unpacked/root"
    for archive in "$unpacked/archives"/*.deb; do
        dpkg-deb -x "$archive" "$unpacked/root" && rm -f "$archive" || return 1
    done
}

# A program under .cache/debian is started through a script that tells it where its libraries are, and a compiler also
# where its parts and headers are: `write_wrapper NAME PROGRAM ARGUMENTS…`.
write_wrapper() {
    [ -x "$tree/usr/bin/$2" ] || return 0
    mkdir -p "$unpacked/bin"
    wrapper=$unpacked/bin/$1
    program=$2
    shift 2
    {
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%s${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n' "'$tree/usr/lib/$triplet'"
        printf 'export LD_LIBRARY_PATH\nexec %s' "'$tree/usr/bin/$program'"
        [ $# = 0 ] || printf " '%s'" "$@"
        printf ' "$@"\n'
    } >"$wrapper"
    chmod +x "$wrapper"
}

write_wrappers() {
    tree=$unpacked/root
    triplet=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("MULTIARCH") or "")')
    write_wrapper cc gcc "--sysroot=$tree" "-B$tree/usr/bin" "-B$tree/usr/lib/$triplet" "-L/lib/$triplet"
    write_wrapper curl curl
}

# Debian keeps pip in a wheel that pip can run from.
by_unpacking() {
    unpack python3-pip-whl || return 1
    wheel=$(echo "$unpacked"/root/usr/share/python-wheels/pip-*.whl)
    is_usable || "$python" -m venv --clear --without-pip "$venv" || return 1
    fill_with_pip "$python" "$wheel/pip" --python "$venv/bin/python"
}

# Everything missing is listed before anything is installed. Exits 3, naming what to install, where that fails.
meet_needs() {
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2046 # one word per package
    if may_install; then
        apt_install $(packages_of "$missing")
    else
        unpack $(packages_of "$missing") && write_wrappers
    fi
    missing=$(missing_needs)
    [ -z "$missing" ] && return 0
    cat "$log" >&3
    say "these could not be installed; install them and run this again:"
    printf '    apt-get install -y %s\n' "$(packages_of "$missing")" >&3
    exit 3
}
