"""What `run.sh` does on the machine with the GPU: unpack, check, train.

python -m pipeline.gpu.run BUNDLE MINUTES RESULTS_DIR SECONDS    SECONDS were used already, for installing
"""

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from pipeline.common import files
from pipeline.common import params as parameters
from pipeline.common.stage import StageError
from pipeline.gpu import checks, identity, machine, packed, training
from pipeline.gpu.outputs import Outputs

CHECKS_SECONDS, CHECKS_SHARE = 150, 1 / 3  # the checks get at most so long, and at most this share of the minutes


def main(bundle: Path, minutes: float, results: Path, used: float) -> None:
    """Everything is done within `minutes`, of which `used` seconds are over.

    Raises:
        StageError: the bundle is damaged, there is no GPU, or the training failed.
    """
    began = time.monotonic() - used
    deadline = began + minutes * 60
    outputs = Outputs(results)
    outputs.add(ids=identity.read(bundle))
    outputs.add(machine=machine.describe())
    print(", ".join(f"{name} {value}" for name, value in outputs.figures["machine"].items()), flush=True)
    unpacking = time.monotonic()
    unpack(bundle)
    outputs.add(seconds={"install": used, "unpack": time.monotonic() - unpacking})
    verdicts = checks.in_own_process(results, min(CHECKS_SECONDS, minutes * 60 * CHECKS_SHARE))
    outputs.add(checks={name: row["result"] for name, row in verdicts.items()})
    training.until(deadline, outputs, _overrides(verdicts), checks.steps_per_second(verdicts))
    outputs.add(seconds=outputs.figures["seconds"] | {"total": time.monotonic() - began})
    failed = [name for name, row in verdicts.items() if row["result"] == "failed"]
    print(f"finished; failed checks: {', '.join(failed) or 'none'}", flush=True)


def unpack(bundle: Path) -> None:
    """Put parameters, shards and starting weights where training looks for them, below the working directory.

    Raises:
        StageError: a file is not what the bundle was made with.
    """
    damaged = identity.differing(identity.identify(bundle), identity.read(bundle))
    if damaged:
        raise StageError(f"the bundle is damaged ({', '.join(damaged)}); copy it again")
    shutil.copy(bundle / "params.yaml", parameters.PATH)
    for split in packed.SPLITS:
        packed.unpack(bundle / "shards" / split, files.SHARDS / split)
    if (bundle / "start_from").exists():
        shutil.copytree(bundle / "start_from", "start_from", dirs_exist_ok=True)


def _overrides(verdicts: dict[str, dict[str, Any]]) -> dict[str, object]:
    """Compiling is switched off unless its check says that it helps: it could cost the whole lease."""
    compiled = verdicts["compiled"]
    helps = compiled["result"] == "passed" and compiled["numbers"]["speedup"] > 1
    if helps or not parameters.load().train.compile:
        return {}
    print("train.compile is switched off, because it did not pass its check or saves no time", flush=True)
    return {"train.compile": False}


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))
    except (StageError, parameters.ParamsError) as error:
        sys.exit(f"error: {error}")
