"""The house as docs/architecture.md draws it: every import goes down its list of floors, and nothing goes in circles.

``python tests/test_layers.py`` prints the figures: rooms at the top, files a folder, circles, imports that go up.
"""

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Folders of the repository, and where they are installed below snnsim.
INSTALLED = {"snnsim": "", "backends": "backends", "datasets": "datasets"}
#: What may import upwards: conveniences of `Network` that import what they need when they are called.
EXCEPTIONS = {("network/network.py", "plot"), ("network/network.py", "backends")}
MOST_FILES = 15
MOST_ROOMS = 30


@dataclass(frozen=True)
class Import:
    """One import statement's way from a file to another, both as paths below snnsim."""

    source: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def library() -> dict[str, Path]:
    """Return every file of the library by its path below snnsim."""
    found = {}
    for top, below in INSTALLED.items():
        for path in sorted((ROOT / top).rglob("*.py")):
            found[(Path(below) / path.relative_to(ROOT / top)).as_posix()] = path
    return found


def floors() -> list[str]:
    """Return the entries of the list in docs/architecture.md, from the ground up."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```floors\n(.*?)```", text, flags=re.DOTALL)
    return [line.split()[0] for line in block.splitlines() if line.strip()]


def entry_of(file: str, entries: list[str]) -> str | None:
    """Return the entry that a file belongs to: itself, or the nearest folder around it that is listed."""
    at = file
    while at:
        if at in entries:
            return at
        at = at.rpartition("/")[0]
    return None


def imports(files: dict[str, Path]) -> list[Import]:
    """Return all imports of the library within itself: of modules, deferred, and of types only."""
    modules = {}
    for file in files:
        name = "snnsim/" + file.removesuffix(".py").removesuffix("__init__").rstrip("/")
        modules[name.rstrip("/").replace("/", ".")] = file
    found = []
    for file, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}:{node.lineno}: write absolute imports"
                for each in node.names:
                    inner = f"{node.module}.{each.name}"
                    names.append(inner if inner in modules else node.module or "")
            elif isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            found += [Import(file, modules[name], node.lineno) for name in names if name in modules]
    return found


def upward(found: list[Import], entries: list[str]) -> list[Import]:
    """Return the imports that do not go down the list, or go to the face of the file's own folder."""
    height = {name: place for place, name in enumerate(entries)}
    wrong = []
    for each in found:
        source, target = entry_of(each.source, entries), entry_of(each.target, entries)
        own_face = each.target.endswith("__init__.py") and each.source.startswith(
            each.target.removesuffix("__init__.py")
        )
        if source is None or target is None or own_face or height[source] < height[target]:
            wrong.append(each)
    return wrong


def excused(each: Import) -> bool:
    return any(each.source == source and each.target.startswith(target) for source, target in EXCEPTIONS)


def circles(found: list[Import]) -> list[list[str]]:
    """Return the circles of files: strongly connected components of more than one file (Tarjan 1972)."""
    arrows = defaultdict(set)
    for each in found:
        if each.source != each.target:
            arrows[each.source].add(each.target)
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    result = []

    def visit(file: str) -> None:
        number[file] = low[file] = len(number)
        stack.append(file)
        for target in sorted(arrows[file]):
            if target not in number:
                visit(target)
                low[file] = min(low[file], low[target])
            elif target in stack:
                low[file] = min(low[file], number[target])
        if low[file] == number[file]:
            at = stack.index(file)
            group = stack[at:]
            del stack[at:]
            if len(group) > 1:
                result.append(sorted(group))

    for file in sorted({each.source for each in found}):
        if file not in number:
            visit(file)
    return result


def files_by_folder(files: dict[str, Path]) -> dict[str, int]:
    count: dict[str, int] = defaultdict(int)
    for file in files:
        count[file.rpartition("/")[0]] += 1
    return count


def rooms(files: dict[str, Path]) -> list[str]:
    """Return what stands at the top of snnsim: files and folders."""
    return sorted({file.partition("/")[0] for file in files})


def test_every_file_has_a_floor_and_every_floor_a_file():
    files, entries = library(), floors()
    assert len(set(entries)) == len(entries)
    homeless = [file for file in files if entry_of(file, entries) is None]
    assert not homeless, f"not in the list of docs/architecture.md: {homeless}"
    empty = sorted(set(entries) - {entry_of(file, entries) for file in files})
    assert not empty, f"in the list of docs/architecture.md, but not on the disk: {empty}"


def test_imports_go_down():
    wrong = [each for each in upward(imports(library()), floors()) if not excused(each)]
    assert not wrong, "against the list of docs/architecture.md:\n" + "\n".join(map(str, wrong))


def test_exceptions_are_needed():
    found = upward(imports(library()), floors())
    for source, target in EXCEPTIONS:
        assert any(each.source == source and each.target.startswith(target) for each in found), (source, target)


def test_no_circles():
    assert circles([each for each in imports(library()) if not excused(each)]) == []


def test_backends_do_not_know_each_other():
    names = ("reference", "cpu", "crossbar")
    for each in imports(library()):
        own, other = (file.split("/")[1] if file.startswith("backends/") else "" for file in (each.source, each.target))
        assert not (own in names and other in names and own != other), str(each)


def test_torch_is_imported_in_training_alone():
    for file, path in library().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if any(name.split(".")[0] == "torch" for name in names):
                assert file.startswith(("training/", "commands/")), f"{file}:{node.lineno}"


def test_folders_are_small_enough_to_be_read():
    files = library()
    crowded = {folder: count for folder, count in files_by_folder(files).items() if count > MOST_FILES}
    assert not crowded, f"more than {MOST_FILES} files: {crowded}"
    assert len(rooms(files)) <= MOST_ROOMS, rooms(files)


def main() -> None:
    files, entries = library(), floors()
    found = imports(files)
    wrong = upward(found, entries)
    counts = files_by_folder(files)
    print(f"{len(files)} files, {len(rooms(files))} rooms at the top; most files in one folder: {max(counts.values())}")
    print(f"{len(wrong)} imports that go up, {sum(excused(each) for each in wrong)} of them excused; ", end="")
    print(f"circles of {sorted((len(each) for each in circles(found)), reverse=True)} files")
    for each in wrong:
        print("  ", each)
    for group in circles([each for each in found if not excused(each)]):
        print("   circle:", *group)


if __name__ == "__main__":
    main()
