"""Build the wheel, install it into an empty environment, and use it as a stranger would: `python -m tools.wheel_check`.

Fails when the wheel holds another import name than `telucodec`, when the environment takes more than MOST_MEGABYTES, or when a
recording does not come back from `telucodec encode` and `decode`.
"""

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[1]
MOST_MEGABYTES = 300
PROGRAM = """
import sys, telucodec
assert "torch" not in sys.modules
print(telucodec.__version__, telucodec.__file__)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        wheel = build(work)
        names = {path.split("/")[0] for path in zipfile.ZipFile(wheel).namelist()} - {
            f"{wheel.stem.rsplit('-', 3)[0]}.dist-info"
        }
        if names != {"telucodec"}:
            sys.exit(f"error: {wheel.name} installs {', '.join(sorted(names))} instead of telucodec alone")
        environment = work / "environment"
        venv.create(environment, with_pip=True)
        run(environment / "bin/python", "-m", "pip", "install", "--quiet", wheel, folder=work)
        size = sum(path.lstat().st_size for path in environment.rglob("*") if path.is_file()) / 1e6
        if size > MOST_MEGABYTES:
            sys.exit(f"error: the environment takes {size:.0f} MB, more than {MOST_MEGABYTES}")
        print(run(environment / "bin/python", "-c", PROGRAM, folder=work).strip())
        for point in (["--snr", "20"], ["--tokens", "8"]):
            round_trip(environment / "bin/telucodec", work, point)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {size:.0f} MB installed with what it needs")


def build(work: Path) -> Path:
    """The wheel of the files that git tracks, as they are in the work tree."""
    source = work / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for path in map(Path, tracked.decode().split("\0")[:-1]):
        if (ROOT / path).is_file():  # not the symbolic link to codec/
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes((ROOT / path).read_bytes())
    run(Path(sys.executable), "-m", "build", "--wheel", "--outdir", work, source, folder=work)
    return next(work.glob("*.whl"))


def round_trip(command: Path, work: Path, point: list[str]) -> None:
    time = np.arange(32_000) / 16_000
    voice = (
        0.2 * np.sin(2 * np.pi * 150 * time + 3 * np.sin(2 * np.pi * 3 * time)) * np.abs(np.sin(2 * np.pi * 2 * time))
    )
    soundfile.write(work / "talk.wav", voice, 16_000)
    run(command, "encode", "talk.wav", *point, "--force", folder=work)
    run(command, "decode", "talk.tlc", "-o", "back.wav", "--force", folder=work)
    output, _ = soundfile.read(work / "back.wav")
    if len(output) != len(voice) or np.corrcoef(voice, output)[0, 1] < 0.5:
        sys.exit(f"error: a recording does not come back from telucodec encode {' '.join(point)}")


def run(program: Path, *arguments: object, folder: Path) -> str:
    """The output of a program, in an environment without this checkout; ends the process if it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = [str(program), *map(str, arguments)]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
