"""What `run.sh` does on the machine with the GPU: unpack, check, train.

python -m pipeline.gpu.run BUNDLE MINUTES RESULTS_DIR CHECKS SECONDS    SECONDS were used already, for installing
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from pipeline.common import files
from pipeline.common import params as parameters
from pipeline.common.stage import StageError
from pipeline.common.yaml12 import dump
from pipeline.gpu import checks, identity, lanes, machine, packed
from pipeline.gpu.outputs import Outputs

CHECKS_SECONDS, CHECKS_SHARE = 150, 1 / 3  # the checks get at most so long, and at most this share of the minutes


def main(bundle: Path, minutes: float, results: Path, checked: bool, used: float) -> None:
    """Everything is done within `minutes`, of which `used` seconds are over.

    Args:
        checked: the machine was checked before.

    Raises:
        StageError: the bundle is damaged, there is no GPU, or a training failed.
    """
    began = time.monotonic() - used
    deadline = began + minutes * 60
    outputs = Outputs(results, checked)
    outputs.add(ids=identity.read(bundle))
    outputs.add(machine=machine.describe())
    print(", ".join(f"{name} {value}" for name, value in outputs.figures["machine"].items()), flush=True)
    unpacking = time.monotonic()
    unpack(bundle)
    outputs.add(seconds={"install": used, "unpack": time.monotonic() - unpacking})
    models = identity.models(bundle)
    if not checked:
        seconds = min(CHECKS_SECONDS, minutes * 60 * CHECKS_SHARE)
        verdicts = checks.in_own_process(results, models, seconds)
        outputs.add(checks={name: row["result"] for name, row in verdicts.items()})
        _choose_compiling(verdicts["compiled"])
    failed = _train(results, deadline, models)
    outputs.add(seconds=outputs.figures["seconds"] | {"total": time.monotonic() - began})
    if failed:
        raise StageError(f"training failed: {', '.join(failed)}; what it had reached is kept")
    print("finished", flush=True)


def _choose_compiling(verdict: checks.Verdict) -> None:
    """Compiling is switched off unless its check says that it helps: it could cost the whole lease."""
    helps = verdict["result"] == "passed" and verdict["numbers"]["speedup"] > 1
    if parameters.load().train.compile and not helps:
        print("train.compile is switched off, because it did not pass its check or saves no time", flush=True)
        params = parameters.load_with({"train.compile": False})
        parameters.PATH.write_text(dump(params.model_dump()), encoding="utf-8")


def _train(results: Path, deadline: float, models: list[str]) -> list[str]:
    """Train all lanes side by side, each in a process of its own; returns those that failed."""
    running = {}
    for lane in lanes.chosen(models):
        shares = [text for model, share in lane for text in (model, str(share))]
        command = [
            sys.executable,
            "-m",
            "pipeline.gpu.training",
            str(results),
            str(deadline - time.monotonic()),
            *shares,
        ]
        running[" and ".join(model for model, _ in lane)] = subprocess.Popen(command)
    return [names for names, process in running.items() if process.wait()]


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
    for part, place in (("start_from", Path("start_from")), ("codec", files.MODELS / "waveform")):
        if (bundle / identity.PARTS[part]).exists():
            shutil.copytree(bundle / identity.PARTS[part], place, dirs_exist_ok=True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]), sys.argv[4] == "checked", float(sys.argv[5]))
    except (StageError, parameters.ParamsError) as error:
        sys.exit(f"error: {error}")
