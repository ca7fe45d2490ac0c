"""A stage of a few milliseconds an epoch, for tests of what runs the stages: `python -m stand_in STAGE`.

Its epochs form a chain, so that its result tells whether each was run once, in order, also after a kill. The file `trouble`
holds what happens after which epoch: {"3": "hold"}, as long as the file is there; "crash"; "disk": no file of it can grow
beyond a few bytes from here on; anything else ends the stage with this as its sentence.
"""

import hashlib
import json
import os
import resource
import sys
import time
from pathlib import Path

from pipeline.common import files, stage
from pipeline.common.sections import Params
from pipeline.training import tracking

MODEL_BYTES = 100_000
tracking.INIT_SECONDS = tracking.FINISH_SECONDS = 2  # what a dead tracker may cost here


def data(settings: Params) -> None:
    files.write_text(Path("data/numbers"), "1 2 3")


def train(settings: Params) -> None:
    folder = files.work_folder("stand_in")
    checkpoint = folder / f"{settings.loss.mse_weight}.json"  # one for each result
    if os.environ.get("TELUCODEC_FRESH") == "1":
        checkpoint.unlink(missing_ok=True)
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"epoch": 0, "chain": ""}
    if state["epoch"]:
        print(f"continuing after epoch {state['epoch']}", flush=True)
    with tracking.start(settings.tracking, {}, folder) as tracker:
        while state["epoch"] < settings.train.epochs:
            time.sleep(settings.train.learning_rate)  # seconds an epoch, here
            chain = hashlib.sha256(f"{state['chain']} {settings.loss.mse_weight}".encode()).hexdigest()
            state = {"epoch": state["epoch"] + 1, "chain": chain}
            files.write_json(checkpoint, state)
            tracker.log({"snr": 1.0}, state["epoch"])
            print(f"epoch {state['epoch']:3d}  SNR   1.00 dB", flush=True)
            suffer(state["epoch"])
    files.write_text(Path("data/model"), state["chain"].ljust(MODEL_BYTES))
    files.write_json(Path("metrics/evaluate.json"), {"tokens_1": {"snr": int(state["chain"][:6], 16) / 1e6}})


def suffer(epoch: int) -> None:
    trouble = files.repository() / "trouble"
    what = json.loads(trouble.read_text()).get(str(epoch)) if trouble.exists() else None
    if what == "hold":
        while trouble.exists():
            time.sleep(0.05)
    elif what == "crash":
        os._exit(9)
    elif what == "disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (MODEL_BYTES // 2, MODEL_BYTES // 2))
    elif what:
        raise stage.StageError(what)


if __name__ == "__main__":
    stage.run({"data": data, "train": train}[sys.argv[1]])
