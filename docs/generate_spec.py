"""Write docs/spec.md: each row of the specification and the tests that prove it.

A test names its rows by `@pytest.mark.spec("M3", "S1")` or by its name: `test_M3_...`. Reading the source is enough; nothing
is run.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "spec.md"
HEAD = """\
# Specification rows and their tests

Written by `make spec` from the tests' marks. A row that is missing here has no test yet.

| Row | Tests |
|---|---|
"""


def rows_of(test: ast.FunctionDef) -> set[str]:
    """Rows named by a test's marks and by its name."""
    rows = set(re.findall(r"^test_([A-Z]\d+)_", test.name))
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.spec":
            rows |= {str(argument.value) for argument in decorator.args if isinstance(argument, ast.Constant)}
    return rows


def proofs() -> Iterator[tuple[str, str]]:
    """(row, file::test) of all tests."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield from ((row, f"{path.relative_to(ROOT).as_posix()}::{node.name}") for row in rows_of(node))


def page() -> str:
    """The whole page; rows in the order of their letters and numbers."""
    tests: dict[str, list[str]] = {}
    for row, test in proofs():
        tests.setdefault(row, []).append(test)
    ordered = sorted(tests, key=lambda row: (row[0], int(row[1:])))
    return HEAD + "".join(f"| {row} | {'<br>'.join(f'`{test}`' for test in sorted(tests[row]))} |\n" for row in ordered)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}\n")
