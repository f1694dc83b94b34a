"""How many small faults in the code the tests notice: the same mutants against the suites of two checkouts.

    pip install cosmic-ray
    python benchmarks/mutants.py draw mutants.json OLD NEW    # a seeded sample, of places that both checkouts have
    python benchmarks/mutants.py try mutants.json OLD old.json
    python benchmarks/mutants.py try mutants.json NEW new.json
    python benchmarks/mutants.py table mutants.json old.json new.json

Each mutant runs against the tests that mirror its package, up to the first failure. OLD and NEW are folders.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SHARES = {"data": 18, "diffusion": 25, "training": 25, "measure": 30, "runs": 40, "verdicts": 42}
"""Mutants of each package."""
FAMILY_SHARE = 0.25
"""The largest share of a package's mutants that one kind of change may take."""
SEED = 16
LIMIT = 900.0
"""Seconds after which the tests of a mutant count as hanging, which a person would notice."""
HEAVY = ("torch", "scipy.stats", "sklearn.decomposition", "cv2", "matplotlib.figure", "hypothesis", "pytest")
"""Imported once, before each mutant's tests are forked."""
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "reports")

Mutant = dict[str, Any]


def draw(old: Path, new: Path) -> Iterator[Mutant]:
    """Mutants of ``old`` whose lines stand in ``new`` too, a fixed number for each package."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    rng = random.Random(SEED)
    for package, count in SHARES.items():
        places = [place for path in sorted((old / "bumplab" / package).glob("*.py")) for place in _places(path)]
        rng.shuffle(places)
        families: Counter[str] = Counter()
        for path, operator, occurrence in places:
            family = operator.split("/")[-1].split("_")[0]
            if families.total() == count:
                break
            if families[family] >= FAMILY_SHARE * count:
                continue
            mutated = mutate_code(path.read_text(), get_operator(operator)(), occurrence)
            name = str(path.relative_to(old))
            if mutated and (change := _change(path.read_text(), mutated, new / name)):
                families[family] += 1
                yield {"package": package, "file": name, "operator": operator} | change


def _places(path: Path) -> Iterator[tuple[Path, str, int]]:
    """Every place in a file that an operator of cosmic-ray can change: file, operator, number of the occurrence."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(ast_nodes(get_ast(path.read_text())))
    for operator in sorted(operator_names()):
        try:
            mutates = get_operator(operator)()
        except TypeError:
            continue  # an operator that needs arguments
        found = sum(len(list(mutates.mutation_positions(node))) for node in nodes)
        yield from ((path, operator, occurrence) for occurrence in range(found))


def _change(before: str, after: str, other: Path) -> Mutant | None:
    """The changed lines with as many neighbours as name the place in both files; None for a change of no meaning."""
    try:
        if not other.exists() or _meaning(before) == _meaning(after):
            return None
    except SyntaxError:
        return None
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    start = next(i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    kept = next(i for i, (a, b) in enumerate(zip(old[::-1], new[::-1], strict=False)) if a != b)
    end, end_after = len(old) - kept, len(new) - kept
    for neighbours in range(3):
        first, last = max(0, start - neighbours), end + neighbours
        lines = "".join(old[first:last])
        if before.count(lines) == other.read_text().count(lines) == 1:
            changed = "".join([*old[first:start], *new[start:end_after], *old[end:last]])
            return {"line": start + 1, "lines": lines, "changed": changed}
    return None


class _WithoutWords(ast.NodeTransformer):
    """Drops docstrings and annotations: a change in them changes nothing."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return ast.Pass() if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(0)
        return self.generic_visit(node)


def _meaning(text: str) -> str:
    return ast.dump(_WithoutWords().visit(ast.parse(text)))


def judge(mutants: Sequence[Mutant], checkout: Path, results: Path) -> None:
    """Writes, for each mutant, "killed", "survived", "hangs" or "absent" (its lines are no longer there).

    Goes on where an earlier call was stopped.
    """
    states: dict[str, dict[str, Any]] = json.loads(results.read_text()) if results.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(checkout, copy, ignore=NOT_COPIED)
        os.environ |= {"PYTHONPATH": str(copy), "CI": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(copy))
        os.chdir(copy)
        for module in HEAVY:
            importlib.import_module(module)
        for number, mutant in enumerate(mutants):
            path = copy / mutant["file"]
            text = path.read_text() if path.exists() else ""
            if str(number) in states:
                continue
            if text.count(mutant["lines"]) != 1:
                states[str(number)] = {"state": "absent"}
                continue
            path.write_text(text.replace(mutant["lines"], mutant["changed"]))
            states[str(number)] = _tests_of(copy / "tests" / mutant["package"], path.stem, Path(folder))
            path.write_text(text)
            results.write_text(json.dumps(states, indent=1))
            print(number, mutant["file"], mutant["line"], states[str(number)], flush=True)


def _tests_of(tests: Path, module: str, folder: Path) -> dict[str, Any]:
    """Runs a package's tests in a fork, those of the mutated module first."""
    import pytest

    files = sorted(tests.glob("test_*.py"), key=lambda file: (file.stem != f"test_{module}", file.name))
    began, log = time.monotonic(), folder / "log"
    child = os.fork()
    if not child:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        quiet = ["-x", "-q", "--tb=line", "-p", "no:cacheprovider", f"--basetemp={folder / 'pytest'}"]
        os._exit(int(pytest.main([*quiet, *map(str, files)])))
    state = None
    while state is None:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            state = "killed" if os.waitstatus_to_exitcode(status) else "survived"
        elif time.monotonic() - began > LIMIT:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            state = "hangs"
        else:
            time.sleep(0.1)
    failed = [line for line in log.read_text(errors="replace").splitlines() if line.startswith(("FAILED", "ERROR"))]
    return {"state": state, "seconds": round(time.monotonic() - began, 1), "by": failed[:1]}


def table(mutants: Sequence[Mutant], old: dict[str, Any], new: dict[str, Any]) -> None:
    """Prints, by package, how many mutants of both checkouts each suite noticed, and where the suites differ."""
    noticed: dict[str, Counter[str]] = {package: Counter() for package in SHARES}
    for number, mutant in enumerate(mutants):
        before, after = (states.get(str(number), {"state": "absent"})["state"] for states in (old, new))
        if "absent" in (before, after):
            continue
        count = noticed[mutant["package"]]
        count["tried"] += 1
        count["old"] += before != "survived"
        count["new"] += after != "survived"
        if (before == "survived") != (after == "survived"):
            print(f"{number} {mutant['file']}:{mutant['line']} old {before}, new {after}: {mutant['changed'].strip()}")
    for package, count in (*noticed.items(), ("all", sum(noticed.values(), Counter()))):
        print(f"| {package} | {count['tried']} | {count['old']} | {count['new']} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("draw", "try", "table"))
    parser.add_argument("paths", nargs="+", type=lambda text: Path(text).resolve())
    given = parser.parse_args()
    sample, first, second = given.paths
    if given.step == "draw":
        sample.write_text(json.dumps(list(draw(first, second)), indent=1))
    elif given.step == "try":
        judge(json.loads(sample.read_text()), first, second)
    else:
        table(*(json.loads(path.read_text()) for path in given.paths))


if __name__ == "__main__":
    main()
