"""fixes.yaml as a list of runs: the ladder, and its last rung with each fix undone."""

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.common import params
from pipeline.common.yaml12 import parse

Value = str | int | float | bool | list[int | float] | None
Overrides = dict[str, Value]


class Fix(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern="^[a-z0-9][a-z0-9-]*$")
    set: Overrides = Field(min_length=1)


class Plan(BaseModel):
    model_config = ConfigDict(extra="forbid")
    seeds: list[int] = Field(min_length=1)
    train: Overrides
    faulty: Overrides
    rungs: list[Fix] = Field(min_length=1)


class Run(NamedTuple):
    """One setting, to be run with every seed."""

    name: str
    fix: Overrides  # what differs from the rung before, or from the last rung
    overrides: Overrides  # the complete setting

    def experiment(self, seed: int) -> str:
        return f"{self.name}-s{seed}"


def read(path: Path = Path("fixes.yaml")) -> Plan:
    """Read and check a ladder.

    Raises:
        ValueError: the file cannot be read, a key is not a parameter, a fix sets a key that is not faulty or a value that is
            already set, or two fixes have the same name. The message names the fault.
    """
    try:
        plan = TypeAdapter(Plan).validate_python(parse(path.read_text(encoding="utf-8"), path))
    except OSError as error:
        raise ValueError(f"{path}: {error}") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ValueError(f"{path}: {faults}") from None
    names = [fix.name for fix in plan.rungs]
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: names of rungs must differ, got {', '.join(names)}")
    now = dict(plan.faulty)
    for fix in plan.rungs:
        for key, value in fix.set.items():
            if key not in now:
                raise ValueError(f"{path}: {fix.name} sets {key}, which is not among `faulty`")
            if now[key] == value:
                raise ValueError(f"{path}: {fix.name} sets {key} to {value!r}, its value already")
        now |= fix.set
    for run in [*ladder(plan), *without(plan)]:
        params.load_with(run.overrides)
    return plan


def ladder(plan: Plan) -> list[Run]:
    """All faults, then one more fix per rung."""
    now = plan.train | plan.faulty
    runs = [Run("fix-00-everything-faulty", {}, now)]
    for number, fix in enumerate(plan.rungs, 1):
        now = now | fix.set
        runs.append(Run(f"fix-{number:02d}-{fix.name}", fix.set, now))
    return runs


def without(plan: Plan) -> list[Run]:
    """The last rung with one fix undone each, except for fixes that a later one replaced completely."""
    last = ladder(plan)[-1].overrides
    runs, now = [], plan.train | plan.faulty
    for fix in plan.rungs:
        undone = {key: now[key] for key, value in fix.set.items() if last[key] == value and now[key] != value}
        if undone:
            runs.append(Run(f"without-{fix.name}", undone, last | undone))
        now = now | fix.set
    return runs
