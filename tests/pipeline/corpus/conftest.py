import pytest
import soundfile

from pipeline import discover
from pipeline.common import files


@pytest.fixture
def recorded(tmp_path, spoken):
    """Writes a recording, each of another sound, to a path below a folder; returns the folder."""
    count = 0

    def write(*paths):
        nonlocal count
        for path in paths:
            count += 1
            (tmp_path / "c" / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / "c" / path, spoken(0.4, count), 16000, format="WAV")
        return tmp_path / "c"

    return write


@pytest.fixture
def speakers(workspace, change):
    """The speaker of each recording by its path, after the stage `discover`."""

    def find(folder, **settings):
        values = {
            "data.root": str(folder),
            "data.max_rejected_fraction": 0.9,
            "data.corpus": None,
            "data.manifest": None,
        }
        values |= {f"data.{name}": value for name, value in settings.items()}
        discover.main(change(workspace, values))
        return {row["path"]: row["speaker"] for row in files.read_lines(files.MANIFEST) if row["status"] == "ok"}

    return find
