#!/usr/bin/env bash
# Makes constraints.txt anew: the exact version of every package that planstream, its
# embedded broker and its tools need, with the hashes of all files of that version, for
# every supported Python and platform. Arguments go to the resolver: --upgrade takes
# the newest versions, --upgrade-package NAME one; without either, pins stay.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
"${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv

"$venv/bin/uv" pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --no-annotate --no-header --no-emit-index-url \
  --all-extras --group dev "$@" pyproject.toml --output-file constraints.txt

{
  echo "# Made by tools/lock.sh (make lock); not edited by hand."
  echo "# pip checks every file against these hashes: pip install --require-hashes -r constraints.txt"
  cat constraints.txt
} > constraints.new
mv constraints.new constraints.txt
