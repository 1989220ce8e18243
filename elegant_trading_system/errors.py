"""What a person is told when something is wrong with their input rather than with the program."""

import re
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell learns; listed in the README."""

    OK = 0
    NO = 1  # the command worked and its answer is no: a verification differs
    USAGE = 2  # wrong command line or configuration
    DATA = 3  # missing, damaged or unusable data
    INTERNAL = 4  # our own bug
    INTERRUPTED = 130


class UserError(Exception):
    """A problem the person at the keyboard can mend: what, where, and what to do about it."""

    def __init__(self, message: str, hint: str = "", exit_code: ExitCode = ExitCode.DATA) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration."""

    origin: str  # the file, environment variable or --set it came from
    key: str
    value: object
    message: str  # what is allowed

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value!r}"
        return f"{self.origin}: {self.key}{shown}: {self.message}"


class ConfigError(UserError):
    """Everything wrong with the configuration, at once; nothing starts."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        super().__init__(
            f"the configuration has {count}\n" + "\n".join(f"  {problem}" for problem in problems),
            "`ets config show --origin` prints every key, its value and where it came from",
            ExitCode.USAGE,
        )


def code_error(error: Exception) -> UserError | None:
    """What is wrong with a line of the strategy somebody has edited; None for every other error."""
    if isinstance(error, SyntaxError):
        return UserError(f"{error.filename}:{error.lineno}: {error.msg}", f"the line is {(error.text or '').strip()}")
    if type(error).__module__ != "numba.core.errors":
        return None
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Failed in")]
    place = re.search(r'File "([^"]+)", line (\d+):', str(error))
    marks = [n for n, line in enumerate(lines) if line.strip() == "^"]
    if not lines or place is None or not marks:
        return None
    return UserError(
        f"{place[1]}:{place[2]}: does not compile: {lines[0]}",
        f"the line is {lines[marks[0] - 1].strip()}; compiled code knows numbers, records and `math`, nothing else",
    )
