#!/usr/bin/env bash
# Makes a virtual environment and installs this checkout into it.
#   make_venv.sh FOLDER 'REQUIREMENT' ['MORE' ...]
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
shift

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.12 python3.11 python3.13 python3.10 python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not sys.version_info >= (3, 10))' \
      >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  cat >&2 <<'MESSAGE'
No Python 3.10 or later with the venv module was found. Install one, for example
  Debian, Ubuntu:  sudo apt-get install python3 python3-venv
  macOS:           brew install python@3.12
or name yours:     make PYTHON=/path/to/python3 ...
MESSAGE
  exit 1
}

if [ ! -x "$folder/bin/python" ]; then
  python=$(find_python)
  echo "Making $folder with $("$python" --version)"
  "$python" -m venv "$folder"
fi
arguments=()
for requirement in "$@"; do
  case $requirement in
    .*) arguments+=(--editable "$requirement") ;;
    *) arguments+=("$requirement") ;;
  esac
done
echo "Installing into $folder (pyspark alone is over 400 MB, this can take some minutes)"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "${arguments[@]}"
