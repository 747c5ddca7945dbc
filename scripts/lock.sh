#!/bin/sh
# Resolves requirements/*.in into requirements/*.txt with a hash for every file of every package.
# The resolver lives in a folder that is thrown away: it is no part of the project's environment.
set -eu
cd "$(dirname "$0")/.."

tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
"${PYTHON:-python3}" -m venv "$tool"
"$tool/bin/pip" --disable-pip-version-check --no-input -qq install uv

for name in runtime development; do
    echo "locking requirements/$name.txt" >&2
    "$tool/bin/uv" pip compile --quiet --generate-hashes --python-version 3.11 --no-emit-index-url \
        --no-annotate --no-header --output-file "requirements/$name.txt" "$@" "requirements/$name.in"
done
