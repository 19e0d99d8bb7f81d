# shellcheck shell=sh
# Finds Python 3.11 or newer and makes `.venv` from requirements.lock. Sourced by script/demo and script/test, which set
# $root; gives them a filled $root/.venv. `make_venv` is safe to call from two shells at once.
# shellcheck disable=SC2154

# What is said goes to a descriptor of its own: while a way is tried, standard error goes to the log.
exec 3>&2
say() { printf 'soundstage: %s\n' "$*" >&3; }

is_supported() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# A venv's python is traced back to the one it was made from: a venv may be removed here, its base never is.
base_python() { "$1" -c 'import sys; print(getattr(sys, "_base_executable", None) or sys.executable)'; }

find_python() {
    if [ -n "${PYTHON:-}" ] && ! is_supported "$PYTHON"; then
        say "\$PYTHON ($PYTHON) is not Python 3.11 or newer: looking for another"
    fi
    for candidate in "${PYTHON:-python3}" python3 python3.14 python3.13 python3.12 python3.11 python; do
        if is_supported "$candidate"; then
            python=$(base_python "$candidate")
            return 0
        fi
    done
    candidate=$(uv python find --no-python-downloads '>=3.11' 2>/dev/null) && is_supported "$candidate" || return 1
    python=$(base_python "$candidate")
}

# Runs a command as root: as it is, or through a sudo that asks nothing.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

may_install() { command -v apt-get >/dev/null 2>&1 && as_root true; }

apt_install() {
    say "installing with apt: $*"
    as_root apt-get update -q >>"$log" 2>&1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >>"$log" 2>&1
}

give_up_without() {
    say "$1; install it and run this again:"
    printf '    apt-get install -y %s\n' "$2" >&3
    exit 3
}

require_python() {
    find_python && return 0
    may_install && apt_install python3 python3-venv && find_python && return 0
    give_up_without "Python 3.11 or newer is missing" "python3 python3-venv"
}

# Line 1 decides whether the environment must be made anew, line 2 whether the project must be installed into it again.
wanted_stamp() {
    "$python" - "$root" <<'PY'
import hashlib, pathlib, sys

root = pathlib.Path(sys.argv[1])
for name in ("requirements.lock", "pyproject.toml"):
    print(hashlib.sha256(f"{root}\n".encode() + (root / name).read_bytes()).hexdigest())
PY
}

stamp_line() { sed -n "$1p" "$venv/soundstage.stamp" 2>/dev/null; }
is_usable() { is_supported "$venv/bin/python"; }
is_current() { is_usable && [ "$(cat "$venv/soundstage.stamp" 2>/dev/null)" = "$stamp" ]; }

# The lock belongs to the open file, so it ends with this shell however that ends. Python takes it because flock(1) is
# not on every system.
take_lock() {
    (: >>"$root/.venv.lock") 2>/dev/null || return 1
    exec 9>>"$root/.venv.lock"
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null && return 0
    say "waiting for another script that is filling .venv"
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}

project() { set -- "$@" --no-deps --no-build-isolation -e "$root" && "$@"; }

fill_with_pip() {
    "$@" install -q --disable-pip-version-check --no-deps --require-hashes -r "$root/requirements.lock" &&
        project "$venv/bin/python" -m pip install -q --disable-pip-version-check
}

fill_with_uv() {
    uv pip install -q --no-deps --require-hashes -p "$venv/bin/python" -r "$root/requirements.lock" &&
        project uv pip install -q -p "$venv/bin/python"
}

# uv brings its own certificates; behind a company's proxy only the system's are right.
by_uv() {
    uv --version && { is_usable || uv venv --clear -p "$python" "$venv"; } || return 1
    fill_with_uv || UV_SYSTEM_CERTS=true UV_NATIVE_TLS=true fill_with_uv
}

by_venv() {
    "$venv/bin/python" -m pip --version || "$python" -m venv --clear "$venv" || return 1
    made=yes
    fill_with_pip "$venv/bin/python" -m pip
}

by_system_pip() {
    "$python" -m pip --version && { is_usable || "$python" -m venv --clear --without-pip "$venv"; } || return 1
    made=yes
    fill_with_pip "$python" -m pip --python "$venv/bin/python"
}

by_apt() {
    may_install && apt_install python3-venv || return 1
    by_venv
}

# script/test puts a fifth way here; the demo has none.
by_unpacking() { return 1; }

fill_venv() {
    made=no
    for way in uv venv system_pip apt unpacking; do
        printf '\n== by %s\n' "$way" >>"$log"
        "by_$way" >>"$log" 2>&1 && return 0
    done
    [ "$made" = yes ] || give_up_without "Python's venv module is missing" python3-venv
    cat "$log" >&3
    say "the packages of requirements.lock could not be installed; what was tried is above"
    exit 1
}

bring_up_to_date() {
    if is_usable && [ "$(stamp_line 1)" = "$(printf '%s\n' "$stamp" | sed -n 1p)" ]; then
        project "$venv/bin/python" -m pip install -q --disable-pip-version-check >>"$log" 2>&1 && way=pip && return 0
    fi
    # A stamp marks an environment of ours: it is made anew, so that nothing an older lock asked for stays. One that
    # somebody made by hand is only filled.
    [ ! -e "$venv/soundstage.stamp" ] || rm -rf "$venv"
    say "filling .venv from requirements.lock with $("$python" --version 2>&1)"
    fill_venv
}

# Sets $python, $venv, $stamp and $log, which finish removes.
prepare() {
    venv=$root/.venv
    log=$(mktemp "${TMPDIR:-/tmp}/soundstage.XXXXXX") || exit 1
    trap 'rm -f "$log"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    unset PYTHONHOME PYTHONPATH
    require_python
    stamp=$(wanted_stamp) || exit 1
}

make_venv() {
    is_current && return 0
    take_lock || { say "cannot write to $root"; exit 1; }
    if ! is_current; then
        bring_up_to_date
        printf '%s\n' "$stamp" >"$venv/soundstage.stamp"
        say ".venv is ready (by $way)"
    fi
    exec 9>&-
}

finish() {
    rm -f "$log"
    trap - EXIT INT TERM
}
