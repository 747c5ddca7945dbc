#!/bin/sh
# Makes .venv with the `tongfa` command from the locked requirements, and what Debian has to give.
#
# Says everything on stderr: stdout belongs to what make runs next (`make demo ARGS="--once --json"`
# prints one JSON document). May be interrupted and repeated: the stamp is written last. Returns at
# once when nothing changed. Exit code 2: something is missing that only a person can provide.
set -eu
exec 1>&2
cd "$(dirname "$0")/.."

lock=requirements/development.txt
stamp=.venv/.tongfa-setup
policy=/usr/sbin/policy-rc.d
# The lock was resolved for 3.11, so that comes first; newer ones work.
interpreters=${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3}

say() { printf 'setup: %s\n' "$*"; }

# Debian's python3 has no ensurepip without python3-venv; a pyenv shim may stand for no version at all.
works() { "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for python in $interpreters; do
        if works "$python"; then
            return 0
        fi
    done
    return 1
}

has_fonts() {
    if command -v dpkg-query >/dev/null; then
        dpkg-query -W -f '${db:Status-Status}' fonts-noto-cjk 2>/dev/null | grep -qx installed && return 0
    fi
    command -v fc-list >/dev/null && fc-list 2>/dev/null | grep -q 'Noto Sans CJK SC'
}

# Only the server's programs are wanted, wherever the distribution puts them.
has_postgres() {
    for server in /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres; do
        if [ -x "$server" ]; then
            return 0
        fi
    done
    command -v postgres >/dev/null
}

# Debian packages that are wanted and not there. Python is only asked for when .venv must be made.
missing_packages() {
    if [ "$build" = yes ]; then
        find_python || printf ' python3-venv'
    fi
    has_fonts || printf ' fonts-noto-cjk'
    command -v pdftotext >/dev/null || printf ' poppler-utils'
    command -v redis-server >/dev/null || printf ' redis-server'
    command -v qpdf >/dev/null || printf ' qpdf'
    has_postgres || printf ' postgresql'
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || printf ' rabbitmq-server'
    command -v ip >/dev/null || printf ' iproute2'
}

install_packages() {
    if ! command -v apt-get >/dev/null; then
        say "missing:$missing"
        say "these are Debian's names; install them with this system's package manager, then repeat"
        exit 2
    fi
    if [ "$(id -u)" != 0 ]; then
        say "missing Debian packages; install them, then repeat:"
        say "    sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing"
        exit 2
    fi
    say "installing Debian packages:$missing"
    apt-get update -qq
    export DEBIAN_FRONTEND=noninteractive
    case $missing in
        *postgresql*) # tests start private servers; Debian would make one that runs on the usual port
            apt-get install -y -qq --no-install-recommends postgresql-common
            sed -i 's/^#\? *create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
            ;;
    esac
    # The programs of servers are wanted, and no server of this machine: Debian asks here before it starts one.
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # shellcheck disable=SC2086  # a list of names
    apt-get install -y -qq --no-install-recommends $missing
}

# The folder belongs to the key: the commands in .venv/bin name it, and fail in a moved checkout.
key=$({ cat "$lock" pyproject.toml scripts/setup.sh && pwd; } | sha256sum)
build=yes
if [ -x .venv/bin/python ] && [ -x .venv/bin/tongfa ] && [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then
    build=no
fi

missing=$(missing_packages)
if [ -n "$missing" ]; then
    install_packages
fi
if [ "$build" = no ]; then
    exit 0
fi

if ! find_python; then
    say "no Python 3.11 or newer that can make virtual environments among: $interpreters"
    say "install one, or name it: make setup PYTHON=/path/to/python3"
    exit 2
fi
rm -f "$stamp"
if ! .venv/bin/python -c 'import sys, pip; sys.exit(sys.prefix == sys.base_prefix)' 2>/dev/null ||
    ! .venv/bin/pip --version >/dev/null 2>&1; then
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi
say "installing what $lock names (a minute or two the first time)"
pip() { .venv/bin/python -m pip --disable-pip-version-check --no-input -qq "$@"; }
pip install --require-hashes -r "$lock"
pip install --no-deps --no-build-isolation -e .
printf '%s\n' "$key" >"$stamp"
say "ready: .venv/bin/tongfa"
