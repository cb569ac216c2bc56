#!/bin/sh
# Prints the name of a Python that planstream runs on: $PYTHON if set, else the first fit
# one of the path. It has to be 3.11 or newer and able to make virtual environments.

fits='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'

for python in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
  if "$python" -c "$fits" >/dev/null 2>&1; then
    echo "$python"
    exit 0
  fi
done

{
  echo "planstream needs Python 3.11 or newer, with the modules venv and ensurepip."
  echo "Looked for: ${PYTHON:-python3 python3.13 python3.12 python3.11 python}"
  echo "On Debian and Ubuntu: apt-get install python3 python3-venv"
  echo "If it lies elsewhere: make PYTHON=/path/to/python"
} >&2
exit 1
