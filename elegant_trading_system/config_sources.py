"""Put the configuration's layers together: default.toml, further files, ETS__SECTION__KEY, --set; later wins.

Whatever is wrong is collected first and told at once.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from .config import BPS, Config
from .config_sections import DAY_S, Section, VenueConfig
from .core.schema import SECONDS
from .errors import ConfigError, Problem

ENV_PREFIX = "ETS__"
DEFAULT_ORIGIN = "default"
VENUES = "venues"
DEFAULT_VENUE = "default"

_PACKAGE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Setting:
    value: Any
    origin: str


Settings = dict[str, Setting]  # by dotted key


def config_folder() -> Path:
    """The folder of default.toml: beside the package in a clone, inside it when installed."""
    installed = _PACKAGE / "_config"
    return installed if installed.is_dir() else _PACKAGE.parent / "config"


def find_file(name: Path) -> Path:
    """A path as given, or the name of one of our own files: `short-windows` is config/short-windows.toml."""
    own = config_folder() / f"{name}.toml"
    return own if not name.exists() and own.exists() else name


def load(files: Sequence[Path] = (), sets: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Config:
    """Resolve and validate all layers, or raise one ConfigError with every problem found."""
    problems: list[Problem] = []
    settings = _read_file(config_folder() / "default.toml", DEFAULT_ORIGIN, problems)
    if problems:
        raise ConfigError(problems)  # without the defaults every other key would be missing too
    for file in files:
        path = find_file(file)
        settings |= _read_file(path, str(path), problems)
    settings |= _read_environment(os.environ if environ is None else environ, settings)
    settings |= _read_sets(sets, problems)

    settings = _drop_unknown(settings, problems)
    _inherit_venues(settings)
    config = _validate(settings, problems)
    problems += _cross_check(settings, {problem.key for problem in problems})
    if problems or config is None:
        raise ConfigError(problems)
    return config.with_origins({key: setting.origin for key, setting in settings.items()})


# --- reading the layers -----------------------------------------------------------------------------------
def _read_file(path: Path, origin: str, problems: list[Problem]) -> Settings:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        own = ", ".join(sorted(file.stem for file in config_folder().glob("*.toml")))
        problems.append(Problem(str(path), "file", None, f"cannot be read: {error.strerror}; config/ has {own}"))
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(Problem(str(path), "file", None, f"is not TOML: {error}"))
        return {}
    return {key: Setting(value, origin) for key, value in flatten(tables)}


def flatten(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in table.items():
        if isinstance(value, dict):
            flat += flatten(value, f"{prefix}{name}.")
        else:
            flat.append((prefix + name, value))
    return flat


def _read_environment(environ: Mapping[str, str], known: Settings) -> Settings:
    """`ETS__RISK__BASE_RISK`; a venue's dash is written `_`, as shells allow no other: ETS__VENUES__SIM_A__..."""
    dashed = {venue.replace("-", "_"): venue for venue in _venue_names(known)}
    settings: Settings = {}
    for variable, text in sorted(environ.items()):
        if variable.startswith(ENV_PREFIX):
            parts = variable.removeprefix(ENV_PREFIX).lower().split("__")
            if parts[0] == VENUES and len(parts) > 1:
                parts[1] = dashed.get(parts[1], parts[1])
            settings[".".join(parts)] = Setting(_parse(text), variable)
    return settings


def _read_sets(sets: Sequence[str], problems: list[Problem]) -> Settings:
    settings: Settings = {}
    for text in sets:
        key, equals, value = text.partition("=")
        if equals:
            settings[key.strip()] = Setting(_parse(value.strip()), "--set")
        else:
            problems.append(Problem("--set", text, None, "must read section.key=value"))
    return settings


def _parse(text: str) -> Any:
    """A TOML value; what is not one is taken as text, so that quotes are not needed."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


# --- names ------------------------------------------------------------------------------------------------
def _fields(model: type[Section], prefix: str = "") -> dict[str, FieldInfo]:
    """Every value below a section by its dotted key; venues are no section."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found |= _fields(field.annotation, f"{prefix}{name}.")
        elif name != VENUES:
            found[prefix + name] = field
    return found


FIELDS = _fields(Config)


def _field(key: str) -> FieldInfo | None:
    """The model's field behind a dotted key; None if there is none."""
    match key.split("."):
        case ["venues", _, name]:
            return VenueConfig.model_fields.get(name)
    return FIELDS.get(key)


def _venue_names(settings: Settings) -> list[str]:
    return sorted({key.split(".")[1] for key in settings if key.startswith("venues.") and _field(key)})


def known_keys(venues: Sequence[str]) -> list[str]:
    """Every dotted key there is, for the named venues."""
    return list(FIELDS) + [f"{VENUES}.{venue}.{name}" for venue in venues for name in VenueConfig.model_fields]


def _drop_unknown(settings: Settings, problems: list[Problem]) -> Settings:
    known = known_keys(_venue_names(settings))
    for key, setting in settings.items():
        if _field(key) is None:
            problems.append(Problem(setting.origin, key, setting.value, "unknown key" + _suggestion(key, known)))
    return {key: setting for key, setting in settings.items() if _field(key)}


def _suggestion(key: str, known: list[str]) -> str:
    """The nearest full key, or the same last word in another section."""
    name = key.rpartition(".")[2]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
    near = near or [other for other in known if other.rpartition(".")[2] == name][:1]
    return f"; did you mean {near[0]}?" if near else "; `ets config show` lists them all"


def _inherit_venues(settings: Settings) -> None:
    """What a named venue does not say is [venues.default]'s, origin included."""
    for venue in _venue_names(settings):
        for name in VenueConfig.model_fields:
            inherited = settings.get(f"{VENUES}.{DEFAULT_VENUE}.{name}")
            if inherited:
                settings.setdefault(f"{VENUES}.{venue}.{name}", inherited)


def _is_inherited(key: str, settings: Settings) -> bool:
    source = f"{VENUES}.{DEFAULT_VENUE}.{key.rpartition('.')[2]}"
    return key.startswith("venues.") and key != source and key in settings and settings[key] is settings.get(source)


# --- values -----------------------------------------------------------------------------------------------
def _validate(settings: Settings, problems: list[Problem]) -> Config | None:
    try:
        return Config.model_validate(_nest(settings))
    except ValidationError as error:
        for entry in error.errors():
            key = ".".join(str(part) for part in entry["loc"] if not isinstance(part, int))
            if not _is_inherited(key, settings):  # told at [venues.default], not once for every venue
                problems.append(_explain(key, entry["type"], entry["msg"], settings))
    return None


def _nest(settings: Settings) -> dict[str, Any]:
    values: dict[str, Any] = {name: {} for name in Config.model_fields}
    for key, setting in settings.items():
        *path, name = key.split(".")
        table = values
        for part in path:
            table = table.setdefault(part, {})
        table[name] = setting.value
    return values


def _explain(key: str, kind: str, message: str, settings: Settings) -> Problem:
    field = _field(key)
    setting = settings.get(key, Setting(None, DEFAULT_ORIGIN))
    if kind != "missing" and field:
        message = f"must be {allowed(field)}"
    return Problem(setting.origin, key, setting.value, message)


def allowed(field: FieldInfo) -> str:
    """What a field accepts, in words: `a whole number, at least 1, at most 16`."""
    words: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    bounds = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than", "pattern": "matching"}
    parts = [_one_of(field.annotation) or words.get(field.annotation, "a list of whole numbers")]
    for constraint in field.metadata:
        for name, word in bounds.items():
            bound = getattr(constraint, name, None)
            if bound is not None:
                parts.append(f"{word} {bound:g}" if isinstance(bound, float) else f"{word} {bound}")
    return ", ".join(parts)


def _one_of(annotation: Any) -> str:
    return f"one of {', '.join(get_args(annotation))}" if get_origin(annotation) is Literal else ""


# --- values that must fit one another ---------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Rule:
    """`holds` takes the values of `keys`, in that order; a broken rule is told at the first key."""

    keys: tuple[str, ...]
    holds: Callable[..., bool]
    message: str


RULES = (
    Rule(
        ("market.pass_ms",),
        lambda pass_ms: pass_ms == 0 or 1000 % pass_ms == 0,
        "must divide 1000, or be 0 for every packet",
    ),
    Rule(
        ("market.velocity_slow_s", "market.velocity_fast_s"),
        lambda slow_s, fast_s: slow_s + fast_s <= SECONDS - 1,
        f"velocity_fast_s + velocity_slow_s must be at most {SECONDS - 1}, the seconds the engine keeps",
    ),
    Rule(
        ("market.vwap_window_s", "market.vwap_buckets"),
        lambda window_s, buckets: window_s % buckets == 0,
        "vwap_window_s must be a multiple of vwap_buckets: a bucket is whole seconds",
    ),
    Rule(
        ("market.listing_stale_s", "market.venue_stale_s"),
        lambda listing_s, venue_s: listing_s >= venue_s,
        "listing_stale_s must be at least venue_stale_s: one listing may be quiet for longer than its venue",
    ),
    Rule(
        ("signal.imbalance_min", "market.pressure_ratio_max"),
        lambda imbalance_min, ratio_max: imbalance_min < ratio_max,
        "signal.imbalance_min must be less than market.pressure_ratio_max, or no book could reach it",
    ),
    *(
        Rule(
            (f"regimes.{row}.target_atr_max", f"regimes.{row}.target_atr_min"),
            lambda atr_max, atr_min: atr_max >= atr_min,
            "target_atr_max must be at least target_atr_min",
        )
        for row in ("neutral", "trend", "range")
    ),
    Rule(
        ("bars.lengths_s",),
        lambda lengths: sorted(set(lengths)) == lengths and all(length % lengths[0] == 0 for length in lengths),
        "must rise, and each length must be a multiple of the first: longer bars are made of the shortest",
    ),
    Rule(
        ("regimes.trend_axis.trend_leave", "regimes.trend_axis.trend_enter"),
        lambda leave, enter: leave <= enter,
        "trend_leave must be at most trend_enter",
    ),
    Rule(
        ("regimes.trend_axis.range_leave", "regimes.trend_axis.range_enter"),
        lambda leave, enter: leave >= enter,
        "range_leave must be at least range_enter",
    ),
    Rule(
        ("regimes.volatile.leave", "regimes.volatile.enter"),
        lambda leave, enter: leave <= enter,
        "leave must be at most enter",
    ),
    Rule(("stress.leave", "stress.enter"), lambda leave, enter: leave <= enter, "leave must be at most enter"),
    Rule(
        ("filters.persistence_min", "filters.persistence_s"),
        lambda least, seconds: least <= seconds,
        "persistence_min must be at most persistence_s",
    ),
    Rule(
        ("breakers.drawdown_reduce", "breakers.drawdown_halt"),
        lambda reduce, halt: reduce <= halt,
        "drawdown_reduce must be at most drawdown_halt",
    ),
    Rule(
        ("sessions.flatten_before_min", "sessions.entry_before_min"),
        lambda flatten, entry: flatten <= entry,
        "flatten_before_min must be at most entry_before_min, or an entry would be closed at once",
    ),
    Rule(
        ("correlation.interval_s",),
        lambda seconds: DAY_S % seconds == 0,
        "must divide a day",
    ),
    Rule(
        ("risk.target_strength_max", "signal.strength_min"),
        lambda strength_max, strength_min: strength_max > strength_min,
        "risk.target_strength_max must be more than signal.strength_min: the target grows between the two",
    ),
    Rule(
        ("risk.target_strength_max", "regimes.volatile.strength_min"),
        lambda strength_max, strength_min: strength_max > strength_min,
        "risk.target_strength_max must be more than regimes.volatile.strength_min: the target grows between the two",
    ),
    Rule(
        ("execution.primary_share", "execution.secondary_share", "execution.dark_share"),
        lambda *shares: sum(round(share * BPS) for share in shares) == BPS,
        "primary_share + secondary_share + dark_share must be 1, to a basis point",
    ),
)


def _cross_check(settings: Settings, wrong_keys: set[str]) -> list[Problem]:
    """Rules whose values are all sound by themselves: a wrong type is told once, not twice."""
    problems: list[Problem] = []
    for rule in RULES:
        if not wrong_keys.isdisjoint(rule.keys) or any(key not in settings for key in rule.keys):
            continue
        if not rule.holds(*(settings[key].value for key in rule.keys)):
            # The key somebody changed is the one to look at, not the default it no longer fits.
            key = next((key for key in rule.keys if settings[key].origin != DEFAULT_ORIGIN), rule.keys[0])
            problems.append(Problem(settings[key].origin, key, settings[key].value, rule.message))
    return problems
