"""A stage of a few milliseconds an epoch, for tests of what runs the stages: `python -m stand_in STAGE`.

Its epochs form a chain, so that its result tells whether each was run once, in order, also after a kill.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path

from pipeline import files, params


def data() -> None:
    files.write_text(Path("data/numbers"), "1 2 3")


def train() -> None:
    settings = params.load()
    checkpoint = files.work_folder("stand_in") / f"{settings.loss.mse_weight}.json"  # one for each result
    if os.environ.get("TELUCODEC_FRESH") == "1":
        checkpoint.unlink(missing_ok=True)
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"epoch": 0, "chain": ""}
    if state["epoch"]:
        print(f"continuing after epoch {state['epoch']}", flush=True)
    trouble = files.repository() / "trouble"
    while state["epoch"] < settings.train.epochs:
        time.sleep(settings.train.learning_rate)  # seconds an epoch, here
        chain = hashlib.sha256(f"{state['chain']} {settings.loss.mse_weight}".encode()).hexdigest()
        state = {"epoch": state["epoch"] + 1, "chain": chain}
        files.write_json(checkpoint, state)
        print(f"epoch {state['epoch']:3d}  SNR   1.00 dB", flush=True)
        while state["epoch"] == 3 and (files.repository() / "hold").exists():
            time.sleep(0.05)
        what = trouble.read_text() if trouble.exists() else ""
        if state["epoch"] == 3 and what:
            trouble.unlink()
            if what == "crash":
                os._exit(9)
            if what == "disk":
                raise OSError(28, "No space left on device", "data/model")
            sys.exit(f"error: {what}")
    files.write_text(Path("data/model"), state["chain"])


def evaluate() -> None:
    chain = Path("data/model").read_text()
    files.write_json(Path("metrics/evaluate.json"), {"codebooks_1": {"snr": int(chain[:6], 16) / 1e6}})


if __name__ == "__main__":
    {"data": data, "train": train, "evaluate": evaluate}[sys.argv[1]]()
