"""House rules, held by reading the source instead of remembering them."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from elegant_trading_system.core import jit

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "elegant_trading_system"
SOURCES = sorted(PACKAGE.rglob("*.py"))
CORE = sorted(PACKAGE.glob("core/*.py"))

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
# The ratchet: over the limit today; each may shrink, none may grow, none may be added without a reason beside it.
LONG_FILES = {
    "elegant_trading_system/core/schema.py": 720,  # every record in one place, a line per field
}
LONG_FUNCTIONS: dict[str, int] = {}

PURE = {"numpy", "numba", "math", "enum", "typing"}
JIT_TOO = {"llvmlite", "hashlib", "os", "sys", "platformdirs", "importlib", "pathlib", "types", "collections"}
IMPURE_NAMES = {"open", "print", "input", "exec", "eval"}
IMPURE_ATTRIBUTES = {"random", "time_ns", "perf_counter", "monotonic", "now", "utcnow", "sleep"}
SHELL = {"shell", "research", "dashboard", "emulator", "cli", "terminal", "__main__"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> Iterator[str]:
    """Modules a file imports: ours as `core.units`, others by their full name."""
    inside = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom):
            above = inside[: len(inside) - node.level + 1]
            modules = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (".".join(("elegant_trading_system", *above, module)) for module in modules)


def ours(path: Path) -> set[str]:
    """First names, inside our package, of what a file imports."""
    return {parts[1] for module in imports_of(path) if (parts := module.split("."))[0] == PACKAGE.name and parts[1:]}


def tracked_texts() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\n")  # fmt: skip
    texts = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".html", ".cfg", ""}
    return [path for line in listed if line and (path := ROOT / line).suffix in texts and path.is_file()]


# --- who may import whom ----------------------------------------------------------------------------------
@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_core_imports_nothing_but_core_and_arithmetic(path: Path) -> None:
    allowed = PURE | JIT_TOO if path.name == "jit.py" else PURE
    foreign = {module.split(".")[0] for module in imports_of(path)} - {PACKAGE.name, "collections"}
    assert foreign <= allowed
    assert ours(path) <= {"core"}


@pytest.mark.parametrize("path", [path for path in CORE if path.name != "jit.py"], ids=name_of)
def test_core_has_no_clock_no_chance_and_no_files(path: Path) -> None:
    names = {node.id for node in ast.walk(tree_of(path)) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)}
    assert not names & IMPURE_NAMES
    assert not attributes & IMPURE_ATTRIBUTES


@pytest.mark.parametrize("folder", ["core", "sim", "data"])
def test_the_engine_does_not_know_its_surroundings(folder: str) -> None:
    reaching = {name_of(path): ours(path) & SHELL for path in sorted((PACKAGE / folder).rglob("*.py"))}
    assert not {name: found for name, found in reaching.items() if found}


def test_data_does_not_know_the_simulation() -> None:
    assert not [name_of(path) for path in sorted((PACKAGE / "data").rglob("*.py")) if "sim" in ours(path)]


# --- compiled functions -----------------------------------------------------------------------------------
def test_compiled_functions_come_from_the_one_decorator_module() -> None:
    found = []
    for path in SOURCES:
        names = {node.attr for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree_of(path)) if isinstance(node, ast.Name)}
        if path.name != "jit.py" and names & {"njit", "jit", "jitclass", "vectorize", "guvectorize", "objmode"}:
            found.append(name_of(path))
    assert not found


def test_a_compiled_function_that_calls_into_another_file_is_compiled_again_when_that_file_changes() -> None:
    """Numba looks at a function's own file only; the cache's name covers all of these."""
    decorator = re.compile(r"^@(kernel|routine|part|allocating|entry|loader)$", re.MULTILINE)
    compiled = {path for path in SOURCES if decorator.search(path.read_text(encoding="utf-8"))}
    assert compiled <= set(jit.SOURCES)


def test_nothing_is_compiled_with_fastmath() -> None:
    """Bit equality of compiled and uncompiled runs ends with it."""
    keywords = [
        (name_of(path), ast.unparse(keyword.value))
        for path in SOURCES
        for keyword in ast.walk(tree_of(path))
        if isinstance(keyword, ast.keyword) and keyword.arg == "fastmath"
    ]
    assert {value for _, value in keywords} <= {"False"}


# --- sizes ------------------------------------------------------------------------------------------------
def lengths_of_files() -> dict[str, int]:
    return {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}


def lengths_of_functions() -> dict[str, int]:
    return {
        f"{name_of(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_a_file_can_be_read_in_a_sitting() -> None:
    over = {name: n for name, n in lengths_of_files().items() if n > LONG_FILES.get(name, FILE_LINES_MAX)}
    assert not over


def test_a_function_fits_on_a_screen() -> None:
    over = {name: n for name, n in lengths_of_functions().items() if n > LONG_FUNCTIONS.get(name, FUNCTION_LINES_MAX)}
    assert not over


def test_the_ratchet_holds_nothing_that_has_shrunk_below_the_limit() -> None:
    files, functions = lengths_of_files(), lengths_of_functions()
    assert not [name for name in LONG_FILES if files.get(name, 0) <= FILE_LINES_MAX]
    assert not [name for name in LONG_FUNCTIONS if functions.get(name, 0) <= FUNCTION_LINES_MAX]


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=name_of)
def test_a_decision_record_is_at_most_forty_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40


def test_contributing_is_one_page() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 60


# --- words ------------------------------------------------------------------------------------------------
def test_nothing_names_the_machine_it_was_written_on() -> None:
    words = ["/work" + "/", ".lib" + "rary", "/root" + "/", "/home" + "/", "/opt" + "/"]
    found = [
        (name_of(path), word) for path in tracked_texts() for word in words if word in path.read_text(encoding="utf-8")
    ]
    assert not found


@pytest.mark.spec("X3")
@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-ccxt.txt"])
def test_a_lock_file_names_no_host_and_hashes_everything(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.findall(
        r"://|--(?:extra-)?index-url|--find-links|--trusted-host|^/|\s/\w|\.(?:org|com)\b", text, re.MULTILINE
    )
    entries = re.split(r"\n(?=[a-z0-9])", "\n" + text)[1:]
    assert len(entries) > 10
    assert not [entry.split()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry]


@pytest.mark.spec("X3")
def test_the_development_lock_pins_everything_the_runtime_lock_does() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[\w.-]+==\S+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))

    assert pins("requirements.txt") <= pins("requirements-dev.txt")


def test_every_command_is_in_the_readme() -> None:
    from elegant_trading_system import cli

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [
        command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback
    ]
    assert not [name for name in commands if f"ets {name}" not in readme]


def test_every_path_in_the_readme_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:core|sim|data|research|config|docs)/[\w./-]+\.\w+)`", readme)
    assert paths
    assert not [path for path in paths if not (PACKAGE / path).exists() and not (ROOT / path).exists()]


def test_the_page_of_the_specification_is_current() -> None:
    path = ROOT / "docs" / "generate_spec.py"
    done = subprocess.run(
        [sys.executable, "-c", "import generate_spec; print(generate_spec.page(), end='')"],
        cwd=path.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (path.parent / "spec.md").read_text(encoding="utf-8") == done.stdout, "`make spec` writes it"
