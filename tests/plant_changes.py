"""Plant small faults in the code and see whether the tests notice: ``python tests/plant_changes.py --count 200``.

A change is one swapped comparison, sign, bound or constant, or one dropped condition, at a place drawn at random from a
folder. It is planted in a copy of the tree, kernels included, and the tests of that folder run until one fails; without
a change they must all pass, which is seen to first. What no test notices is listed with file, line, before and after,
to be judged by a person: a property that is missing, or a change that changes nothing.

The copy lies on the path as it is installed (``snnsim.backends`` and ``snnsim.datasets`` inside ``snnsim``), so nothing
here is touched.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import contextlib
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Tests of each part of the code, the quick and telling ones first; the longest prefix counts.
TESTS = {
    "backends/": "backends_agree simulation closed_form divergence memory lengths early_exit_engine bounds long_run "
    "ranks",
    "backends/cpu/": "cpu_step delay_segments closed_form backends_agree partition bounds long_run plasticity_agree "
    "drives memory lengths divergence ends_of_ranges compilation changing fuzz",
    "backends/reference/": "backends_agree simulation nest_values plasticity_reference plasticity_agree receptors "
    "lengths closed_form",
    "backends/crossbar/": "crossbar_cells crossbar_device crossbar_stages crossbar_by_hand crossbar_mapping "
    "crossbar_saturation crossbar_read crossbar_wires crossbar_chip crossbar_measurements crossbar_plausible "
    "crossbar_nonsense crossbar_ageing crossbar_backend crossbar_drivers crossbar_loop crossbar_checkpoint energy "
    "device_loop in_the_loop plot_crossbar",
    "backends/crossbar/loop/": "device_loop crossbar_drivers crossbar_loop in_the_loop",
    "datasets/": "datasets_dataset datasets_nmnist datasets_spikes datasets_recordings datasets_cache datasets_digits "
    "datasets_audio inner_ear datasets_download lengths augmentation bounds",
    "snnsim/": "events timebase lengths network simulation storage streaming checkpoints early_exit analysis metrics "
    "energy readouts reservoir reservoir_measures architectures augmentation rng elementary memory changing ranks "
    "divergence ends_of_ranges plot plot_activity report zero_shot contrastive crossbar_chip plot_crossbar",
    "snnsim/analysis/": "analysis metrics",
    "snnsim/circuits/": "circuits nest_values",
    "snnsim/commands/": "cli cli_train lengths device_loop",
    "snnsim/connectivity/": "connectivity draw build network backends_agree memory ends_of_ranges",
    "snnsim/early_exit/": "early_exit early_exit_engine lengths",
    "snnsim/energy/": "energy crossbar_chip report",
    "snnsim/network/": "network draw connectivity build plasticity lengths memory ends_of_ranges",
    "snnsim/neurons/": "neurons receptors drives network backends_agree nest_values cpu_step closed_form "
    "ends_of_ranges divergence events simulation",
    "snnsim/numerics/": "rng elementary compilation connectivity drives datasets_dataset neurons",
    "snnsim/plasticity/": "plasticity plasticity_reference plasticity_agree divergence",
    "snnsim/plot/": "plot plot_activity plot_crossbar",
    "snnsim/report/": "report",
    "snnsim/reservoir/": "reservoir reservoir_measures readouts",
    "snnsim/simulation/": "simulation streaming checkpoints changing lengths ranks memory divergence",
    "snnsim/storage/": "storage streaming network",
    "snnsim/system/": "memory ranks storage cli streaming",
    "snnsim/training/": "training_equivalence training_rules training_loop training_inputs training_settings "
    "training_models training_refusals training_ranges training_torch training_threads training_delays "
    "training_lengths "
    "training_resume delayed_product eventprop contrastive in_the_loop batch_norm bounds main_job zero_shot",
    "snnsim/zero_shot/": "zero_shot contrastive",
}
_COMPARE = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
}
_ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}


@dataclass(frozen=True)
class Change:
    """One fault, at one place."""

    path: str
    line: int
    start: int
    stop: int
    before: str
    after: str
    kind: str

    def planted(self, source: str) -> str:
        """Return the source with the fault in it."""
        assert source[self.start : self.stop] == self.before
        return source[: self.start] + self.after + source[self.stop :]


def changes_of(path: Path, name: str) -> list[Change]:
    """Return every change that could be planted in a file."""
    source = path.read_text(encoding="utf-8")
    # ast counts columns in bytes.
    lines = source.splitlines(keepends=True)
    begins = [0]
    for line in lines:
        begins.append(begins[-1] + len(line))

    def place(line: int, column: int) -> int:
        text = lines[line - 1] if line <= len(lines) else ""
        return begins[line - 1] + len(text.encode()[:column].decode())

    def span(node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)

    found: list[Change] = []

    def add(node: ast.expr, start: int, stop: int, after: str, kind: str) -> None:
        found.append(Change(name, node.lineno, start, stop, source[start:stop], after, kind))

    def swapped(node: ast.expr, left: ast.expr, right: ast.expr, pair: tuple[str, str], kind: str) -> None:
        low, high = span(left)[1], span(right)[0]
        at = source.find(pair[0], low, high)
        if at >= 0:
            add(node, at, at + len(pair[0]), pair[1], kind)

    def look(node: ast.AST) -> None:
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            pair = _COMPARE.get(type(node.ops[0]))
            if pair is not None:
                swapped(node, node.left, node.comparators[0], pair, "comparison")
        elif isinstance(node, ast.BinOp):
            pair = _ARITHMETIC.get(type(node.op))
            if pair is not None:
                swapped(node, node.left, node.right, pair, "sign")
        elif isinstance(node, ast.BoolOp):
            start, stop = span(node)
            for value in node.values:
                low, high = span(value)
                add(node, start, stop, source[low:high], "condition")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            start, stop = span(node)
            low, high = span(node.operand)
            add(node, start, stop, source[low:high], "sign" if isinstance(node.op, ast.USub) else "condition")
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            start, stop = span(node)
            add(node, start, stop, f"({source[start:stop]} + 1)" if node.value == 0 else _other(node.value), "constant")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
            start, stop = span(node.func)
            add(node.func, start, stop, {"min": "max", "max": "min"}[node.func.id], "bound")

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr):  # what is said, not what is done
            return
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.FunctionDef) and node.name in ("__repr__", "__str__", "describe", "add_parser"):
            return
        look(node)
        if isinstance(node, ast.FunctionDef):
            children: list[ast.AST] = [*node.args.defaults, *(d for d in node.args.kw_defaults if d), *node.body]
        elif isinstance(node, ast.AnnAssign):
            children = [node.value] if node.value is not None else []
        else:
            children = list(ast.iter_child_nodes(node))
        for child in children:
            walk(child)

    walk(ast.parse(source))
    good = []
    for change in found:
        with contextlib.suppress(SyntaxError):
            ast.parse(change.planted(source))
            good.append(change)
    return good


def _other(value: float) -> str:
    """Return another constant of the same kind."""
    if isinstance(value, int):
        return str(value + 1)
    return repr(value * 2)


def files() -> list[Path]:
    """Return every file of the product."""
    found = [path for folder in ("snnsim", "backends", "datasets") for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "__pycache__" not in path.parts]


def folder_of(name: str) -> str:
    """Return the part of the code that a file belongs to."""
    return max((prefix for prefix in TESTS if name.startswith(prefix)), key=len)


def drawn(count: int, seed: int, only: str) -> list[Change]:
    """Return changes drawn at random from every folder, more from where more could be changed, three at least."""
    by_folder: dict[str, list[Change]] = defaultdict(list)
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(only):
            by_folder[folder_of(name)] += changes_of(path, name)
    total = sum(len(changes) ** 0.5 for changes in by_folder.values())
    chosen: list[Change] = []
    for folder in sorted(by_folder):
        changes = by_folder[folder]
        wanted = min(len(changes), max(3, round(count * len(changes) ** 0.5 / total)))
        chosen += random.Random(f"{seed} {folder}").sample(changes, wanted)
    return chosen


class Copy:
    """A copy of the tree that changes are planted in, with machine code of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place / "tree"
        self.package = package = self.place / "site" / "snnsim"
        if self.place.is_dir():
            return
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "snnsim", package, ignore=ignore)
        for folder in ("backends", "datasets"):
            shutil.copytree(ROOT / folder, package / folder, ignore=ignore)
        shutil.copytree(ROOT / "tests", self.place / "tests", ignore=ignore)
        for name in ("pyproject.toml", "bench", "examples", "docs", "README.md"):
            where = ROOT / name
            (shutil.copytree if where.is_dir() else shutil.copy2)(where, self.place / name)
        shared = ROOT.parent / "shared"
        if shared.is_dir():
            (place / "shared").symlink_to(shared)

    def path(self, name: str) -> Path:
        """Return where a file of the product lies in the copy."""
        inner = name.removeprefix("snnsim/") if name.startswith("snnsim/") else name
        return self.package / inner

    @contextlib.contextmanager
    def with_change(self, change: Change) -> Iterator[None]:
        """Plant a change for a while; the machine code of the unchanged file is put back with it."""
        path = self.path(change.path)
        source, stamp = path.read_text(encoding="utf-8"), path.stat()
        cache = path.parent / "__pycache__"
        kept = {entry: entry.read_bytes() for entry in cache.glob(f"{path.stem}.*.nb?")} if cache.is_dir() else {}
        try:
            path.write_text(change.planted(source), encoding="utf-8")
            yield
        finally:
            path.write_text(source, encoding="utf-8")
            os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
            for entry, content in kept.items():
                entry.write_bytes(content)

    def _command(self, folders: Iterable[str], options: list[str]) -> tuple[list[str], dict[str, str]]:
        names = dict.fromkeys(f"tests/test_{name}.py" for folder in folders for name in TESTS[folder].split())
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *options, *names]
        environment = {**os.environ, "PYTHONPATH": str(self.place / "site"), "PYTHONDONTWRITEBYTECODE": "1"}
        return command, environment | {"NUMBA_NUM_THREADS": "2", "OMP_NUM_THREADS": "1", "SNNSIM_OFFLINE": "1"}

    def run_unplanted(self, folders: Iterable[str], jobs: int) -> bool:
        """Run the tests of some folders on the code as it is; return whether all pass. It leaves the machine code."""
        command, environment = self._command(folders, ["-n", str(jobs), "--dist", "loadfile"])
        return subprocess.run(command, cwd=self.place, env=environment, stdout=sys.stderr, check=False).returncode == 0

    def run(self, folder: str, limit: float) -> tuple[str, str, float]:
        """Run the tests of a folder until one fails; return the outcome, what noticed, and the seconds taken."""
        command, environment = self._command([folder], ["-x"])
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=self.place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return "noticed", "ran past its time", time.monotonic() - began
        took = time.monotonic() - began
        if process.returncode == 0:
            return "missed", "", took
        told = [line for line in printed.splitlines() if line.startswith(("FAILED", "ERROR"))]
        crash = f"ended with {process.returncode}"
        return "noticed", told[0][:160] if told else crash, took


def main() -> int:
    """Plant changes and print what the tests missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="changes in all (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", metavar="PREFIX", help="only files under this path, such as backends/cpu")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=float, default=900.0, help="seconds that the tests of a change may take")
    parser.add_argument(
        "--json", metavar="PATH", help="save every change with its outcome; a change in it is not run again"
    )
    parser.add_argument("--list", action="store_true", help="list the changes and stop")
    options = parser.parse_args()
    chosen = drawn(options.count, options.seed, options.only)
    if options.list:
        for change in chosen:
            print(f"{change.path}:{change.line} {change.kind}: {change.before!r} -> {change.after!r}")
        print(f"{len(chosen)} changes")
        return 0
    done: list[dict[str, object]] = []
    if options.json and Path(options.json).is_file():
        done = json.loads(Path(options.json).read_text(encoding="utf-8"))["rows"]
    known = {(row["path"], row["start"], row["after"]) for row in done}
    left = [change for change in chosen if (change.path, change.start, change.after) not in known]
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        copies: queue.Queue[Copy] = queue.Queue()
        first = Copy(Path(folder) / "0")
        if left and not first.run_unplanted(sorted({folder_of(change.path) for change in left}), options.jobs):
            print("the tests do not pass as they are; nothing was planted")
            return 1
        copies.put(first)
        for job in range(1, options.jobs):
            shutil.copytree(Path(folder) / "0", Path(folder) / str(job), symlinks=True)
            copies.put(Copy(Path(folder) / str(job)))

        def attempt(change: Change) -> dict[str, object]:
            copy = copies.get()
            try:
                with copy.with_change(change):
                    outcome, what, took = copy.run(folder_of(change.path), options.limit)
            finally:
                copies.put(copy)
            return {**asdict(change), "outcome": outcome, "by": what, "seconds": round(took, 1)}

        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for row in pool.map(attempt, left):
                done.append(row)
                place = f"{row['path']}:{row['line']}"
                print(f"{row['outcome']:8} {place:60} {row['before']!r} -> {row['after']!r}  {row['by']}", flush=True)
                if options.json:
                    _save(Path(options.json), options, done)
    _print_table(done)
    return 0


def _save(path: Path, options: argparse.Namespace, rows: list[dict[str, object]]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(
        json.dumps({"name": "plant_changes", "seed": options.seed, "rows": rows}, indent=1), encoding="utf-8"
    )
    partial.replace(path)


def _print_table(rows: list[dict[str, object]]) -> None:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        counts[folder_of(str(row["path"]))][row["outcome"] == "noticed"] += 1
    print(f"\n{'folder':28}{'planted':>9}{'noticed':>9}")
    for folder, (missed, noticed) in sorted(counts.items()):
        print(f"{folder:28}{missed + noticed:9}{noticed:9}")
    missed, noticed = (sum(pair[i] for pair in counts.values()) for i in (0, 1))
    print(f"{'all':28}{missed + noticed:9}{noticed:9}  {100 * noticed / max(1, missed + noticed):.1f} %")


if __name__ == "__main__":
    sys.exit(main())
