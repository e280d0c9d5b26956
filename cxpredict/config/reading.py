"""Reading settings strictly: YAML without surprises, all problems in one message."""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from cxpredict.errors import ConfigError

S = TypeVar("S", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars (`no` is text, `1e-3` a number) and no duplicate keys."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (as its base declares it)
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if not tag.endswith((":bool", ":float", ":int"))
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"line {key_node.start_mark.line + 1}: a key must be plain text")
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise ConfigError(
                    f"line {key_node.start_mark.line + 1}: key {key!r} stands twice; keep one"
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^([tT]rue|TRUE|[fF]alse|FALSE)$"), list("tfTF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9]\d{0,17})$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$"),
    list("-+.0123456789"),
)


def read_yaml(path: Path) -> Any:
    """Read a YAML file; no tag in it can construct an object."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the known word nearest to a wrong one, or nothing.

    Examples
    --------
    >>> nearest("horizon_day", ["gap_days", "horizon_days"])
    ", did you mean 'horizon_days'?"
    >>> nearest("x", ["gap_days"])
    ''
    """
    found = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {found[0]!r}?" if found else ""


def check_settings(kind: type[S], content: Mapping[str, Any], *, name: str = "settings") -> S:
    """Make settings of plain values, or raise one ConfigError that lists every problem."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problems = [f"  {_place(e['loc'])}: {_say(e, kind)}" for e in error.errors()]
        raise ConfigError(f"{name}: {len(problems)} problem(s)\n" + "\n".join(problems)) from error


def _place(location: tuple[str | int, ...]) -> str:
    kinds = ("time", "customers", "(number)", "(distribution)", "(over time)")
    return ".".join(str(part) for part in location if part not in kinds) or "file"


def _say(error: Any, kind: type[BaseModel]) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key" + nearest(str(error["loc"][-1]), _all_keys(kind))
    if error["type"] == "missing":
        return "is missing"
    message: str = error["msg"].removeprefix("Value error, ")
    shown = error["input"] if isinstance(error["input"], (str, int, float, bool)) else None
    return message if shown is None else f"{message}, found {shown!r}"


def _all_keys(model: type[BaseModel]) -> set[str]:
    keys = set(model.model_fields)
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            keys |= _all_keys(inner)
    return keys


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return set().union(*(_models_in(inner) for inner in get_args(annotation)))
