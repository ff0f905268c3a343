"""All measurements: ``python -m bench.run [--quick] [NAME ...]``.

Each module of ``bench.measure`` runs in a process of its own, so that none inherits another's JVM,
caches or threads, and one after the other, so that they do not share the cores. Then one table, and
``bench/results/full.json`` or ``quick.json``. Exit code 1 where a module failed to run; a missed
target is shown, and no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench import measure
from bench.report import Figure, document, figures_of, progress, table, write_json

_RESULTS: Final = Path(__file__).parent / "results"
_ORDER: Final = (
    "decode",
    "end_to_end",
    "reader",
    "planning",
    "first_batch",
    "backlog",
    "latency",
    "startup",
)


def module_names() -> list[str]:
    """Return the modules that can be run, in their order; any others come last."""
    names = [module.name for module in pkgutil.iter_modules(measure.__path__)]
    found = [name for name in names if not name.startswith("_")]  # the others are their helpers
    places = {name: place for place, name in enumerate(_ORDER)}
    return sorted(found, key=lambda name: (places.get(name, len(_ORDER)), name))


def run_module(name: str, *, quick: bool) -> list[Figure] | None:
    """Run one module in a process of its own; None if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "figures.json")
        command = [sys.executable, "-m", f"bench.measure.{name}", "--json", str(result)]
        done = subprocess.run(
            [*command, "--quick"] if quick else command,
            cwd=Path(__file__).parents[1],
            stdout=subprocess.DEVNULL,  # its own table; the one of all comes at the end
            check=False,
        )
        if done.returncode or not result.exists():
            progress(f"{name} FAILED with exit code {done.returncode}")
            return None
        return figures_of(json.loads(result.read_text(encoding="utf-8")))[name]


def main() -> int:
    """Run the command line; return the exit code."""
    names = module_names()
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="Measure the source.")
    parser.add_argument("--quick", action="store_true", help="less data and fewer repeats")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(names)}")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}. Known: {', '.join(names)}")
    load_average = os.getloadavg()
    groups: dict[str, list[Figure]] = {}
    failed: list[str] = []
    for name in [name for name in names if name in arguments.names or not arguments.names]:
        progress(f"{name} ...")
        figures = run_module(name, quick=arguments.quick)
        if figures is None:
            failed.append(name)
        else:
            groups[name] = figures
    print(table(groups))
    if not arguments.names:
        path = _RESULTS / ("quick.json" if arguments.quick else "full.json")
        content = document(groups, quick=arguments.quick, load_average=load_average)
        write_json(path, content)
        progress(f"written: bench/results/{path.name}")
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
