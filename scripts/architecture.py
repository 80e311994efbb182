"""Checks that every `path/file.py:function` which a page names is still there."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("ARCHITECTURE.md",)
REFERENCE = re.compile(
    r"`(?P<path>[\w./-]+\.(?:py|sql|lua|proto)):(?P<name>[A-Za-z_][\w.]*)(?:\(\))?`"
)


def main() -> int:
    """Print every reference that leads nowhere."""
    references = [reference for page in PAGES for reference in _references(ROOT / page)]
    broken = [(place, path, name) for place, path, name in references if not _exists(path, name)]
    for place, path, name in broken:
        print(f"{place}: `{path}:{name}` does not exist")
    if not references:
        print(f"{', '.join(PAGES)}: no `path/file.py:function` is named at all")
    print(f"{len(references)} references looked up, {len(broken)} broken")
    return 1 if broken or not references else 0


def _references(page: Path) -> Iterator[tuple[str, str, str]]:
    if not page.exists():
        return
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        for match in REFERENCE.finditer(line):
            yield f"{page.name}:{number}", match["path"], match["name"]


def _exists(path: str, name: str) -> bool:
    file = ROOT / path
    if not file.is_file():
        return False
    text = file.read_text()
    if file.suffix == ".py":
        return name in set(_names(ast.parse(text), ""))
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def _names(node: ast.AST, prefix: str) -> Iterator[str]:
    """Every function, class and assigned name, qualified by the class or function it is in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + child.name
            yield from _names(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.Assign | ast.AnnAssign):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))
        else:
            yield from _names(child, prefix)


if __name__ == "__main__":
    sys.exit(main())
