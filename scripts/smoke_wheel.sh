#!/usr/bin/env bash
# Builds the source distribution and the wheel, installs each into a clean environment with pip, and
# tries it (scripts/smoke_test.py). Nothing is left behind.
#   smoke_wheel.sh         build, then try
#   smoke_wheel.sh FOLDER  try what is in FOLDER, with the native decoder's wheel if one is there
# PYTHON names the interpreter. EXTRAS=spark installs the package with that extra: then all public
# names are imported. With KINESIS_SOURCE_REQUIRE_NATIVE=1 the decoder must be in FOLDER.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
unset PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK=1

"$python" -c 'import sys, venv, ensurepip; sys.exit(not sys.version_info >= (3, 10))' || {
  echo "'$python' is no Python 3.10 or later with the venv module: name one with PYTHON=..." >&2
  exit 1
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ $# -gt 0 ]; then
  dist=$(cd "$1" && pwd)
else
  dist=$scratch/dist
  echo "Building with $("$python" --version)"
  "$python" -m venv "$scratch/build"
  "$scratch/build/bin/python" -m pip install --quiet 'build>=1.2'
  # The wheel is made from the source distribution: what that lacks is missing in both.
  (cd "$root" && "$scratch/build/bin/python" -m build --outdir "$dist" .) >"$scratch/build.log" 2>&1 || {
    cat "$scratch/build.log" >&2
    exit 1
  }
fi

only() {
  local found=("$dist"/$1)
  if [ ${#found[@]} -ne 1 ] || [ ! -f "${found[0]}" ]; then
    echo "There must be one $1 in $dist." >&2
    exit 1
  fi
  echo "${found[0]}"
}
wheel=$(only 'kinesis_source-*-py3-none-any.whl')
sdist=$(only 'kinesis_source-[0-9]*.tar.gz')
version=$(basename "$sdist" .tar.gz)
version=${version#kinesis_source-}

# A rule of .gitignore hides files from the build too, and no import of a part of the package tells.
"$python" - "$root" "$wheel" <<'PROGRAM'
import pathlib, sys, zipfile

root, wheel = sys.argv[1:]
packed = set(zipfile.ZipFile(wheel).namelist())
wanted = {
    path.relative_to(root).as_posix()
    for package in ("kinesis_source", "pyspark_kinesis_source")
    for path in pathlib.Path(root, package).rglob("*")
    if path.suffix in (".py", ".typed")
}
if missing := sorted(wanted - packed):
    sys.exit("The wheel lacks " + ", ".join(missing))
PROGRAM

arguments=(--version "$version")
native=("$dist"/kinesis_source_native-*.whl)
if [ -f "${native[0]}" ]; then
  arguments+=(--native)
elif [ "${KINESIS_SOURCE_REQUIRE_NATIVE:-}" = 1 ]; then
  echo "There is no wheel of the native decoder in $dist." >&2
  exit 1
fi

for file in "$wheel" "$sdist"; do
  echo "$(basename "$file"), installed with $("$python" --version):"
  rm -rf "$scratch/venv"
  "$python" -m venv "$scratch/venv"
  "$scratch/venv/bin/python" -m pip install --quiet "$file${EXTRAS:+[$EXTRAS]}"
  if [ -f "${native[0]}" ]; then
    "$scratch/venv/bin/python" -m pip install --quiet --no-index --find-links "$dist" \
      "kinesis-source-native==$version"
  fi
  "$scratch/venv/bin/python" -m pip check >/dev/null
  (cd "$scratch" && "$scratch/venv/bin/python" -I "$root/scripts/smoke_test.py" "${arguments[@]}")
done
