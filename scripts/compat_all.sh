#!/usr/bin/env bash
# Runs the Spark tests on each Spark with a Python that it has wheels for, and says how each went.
#   compat_all.sh                    all pairs below
#   PAIRS='3.12:4.1.*' compat_all.sh some of them
# A Python that is not there is said to be missing; the others go on. Exit code 1 if a pair fails.
set -uo pipefail
cd "$(dirname "$0")/.."
pairs=${PAIRS:-'3.10:4.0.* 3.12:4.1.* 3.11:4.2.* 3.13:4.3.*'}
# pyspark 4.0 leaves sockets to the garbage collector.
quiet=(-W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning)
summary=()
status=0

find_python() {
  local candidate
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
    if "$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

for pair in $pairs; do
  python_version=${pair%%:*}
  spark_version=${pair#*:}
  name="Python $python_version, Spark $spark_version"
  if ! python=$(find_python "$python_version"); then
    summary+=("$name: not run, no Python $python_version here")
    continue
  fi
  folder=".venv-py${python_version}-spark${spark_version%.\*}"
  if ! PYTHON=$python scripts/make_venv.sh "$folder" '.[dev]' "pyspark==$spark_version"; then
    summary+=("$name: could not be installed")
    status=1
    continue
  fi
  log=$(mktemp)
  "$folder/bin/python" -m pytest -n 2 --dist loadfile "${quiet[@]}" tests/spark 2>&1 | tee "$log"
  [ "${PIPESTATUS[0]}" -eq 0 ] || status=1
  summary+=("$name: $(tail -1 "$log" | tr -d '=')")
  rm -f "$log"
done
printf '%s\n' "" "${summary[@]}"
exit $status
