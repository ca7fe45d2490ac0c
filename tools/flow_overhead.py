"""What a flow costs over bare `dvc repro`: `python -m tools.flow_overhead`, in a workspace where all stages are cached.

Needs a running server (PREFECT_API_URL). Both commands from start to end of their process, alternating; medians.
"""

import statistics
import subprocess
import sys
import time

REPEATS = 5
COMMANDS = {"dvc repro": ["-m", "dvc", "repro"], "flow": ["-m", "pipeline.flows", "train"]}


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS):
        for name, command in COMMANDS.items():
            began = time.monotonic()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            seconds[name].append(time.monotonic() - began)
    for name, values in seconds.items():
        print(f"{name:10} {statistics.median(values):6.2f} s  (of {', '.join(f'{value:.1f}' for value in values)})")
    print(f"overhead   {statistics.median(seconds['flow']) - statistics.median(seconds['dvc repro']):6.2f} s")


if __name__ == "__main__":
    main()
