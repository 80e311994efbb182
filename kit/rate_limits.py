"""Which limits a gateway holds its callers to: a JSON file of them."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

LIMITS_MAX: Final = 100
"""Of a file; each that applies to a call costs it about a µs."""


class BadLimits(Exception):
    """The file does not fit; the text names the place."""


class RateLimit(BaseModel):
    """So many calls a second, and so many at once, of each that it counts apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    per_second: float = Field(gt=0, le=1_000_000)
    burst: int = Field(ge=1, le=1_000_000)
    # Tenants are always counted apart. A terminal is known by its API key.
    per: tuple[Literal["method", "terminal"], ...] = ()
    # Names as in the contract, AuthorizePayment; empty means all.
    methods: tuple[str, ...] = ()
    # Empty means all.
    tenants: tuple[str, ...] = ()


_LIST: Final = TypeAdapter(Annotated[tuple[RateLimit, ...], Field(max_length=LIMITS_MAX)])


def read(path: Path) -> tuple[RateLimit, ...]:
    """Return the limits of a file. Raises BadLimits."""
    try:
        limits = _LIST.validate_json(path.read_bytes())
    except OSError as error:
        raise BadLimits(f"{path}: {type(error).__name__}") from None
    except ValidationError as error:
        problems = (
            f"{path}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise BadLimits("\n".join(problems)) from None
    names = [limit.name for limit in limits]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise BadLimits(f"{path}: {number}.name: the same as in entry {names.index(name)}")
    return limits
