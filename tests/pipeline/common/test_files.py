import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common import files


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_file_appears_whole(tmp_path):
    with files.whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_text() == "new" and leftovers(tmp_path) == []


def test_a_failed_write_leaves_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OSError, match="full"), files.whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("ne")
        raise OSError("disk full")
    assert (tmp_path / "a.txt").read_text() == "old" and leftovers(tmp_path) == []


def test_a_failed_folder_leaves_the_old_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    with pytest.raises(OSError, match="full"), files.whole_folder(tmp_path / "a") as temporary:
        (temporary / "new").touch()
        raise OSError("disk full")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["old"] and leftovers(tmp_path) == []


def test_a_folder_is_replaced(tmp_path):
    for name in ("old", "new"):
        with files.whole_folder(tmp_path / "a") as temporary:
            (temporary / name).touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["new"] and leftovers(tmp_path) == []


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_six_digits(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "x.json"
    files.write_json(path, {"a": [value, {"b": value}]})
    read = json.loads(path.read_text())
    assert read["a"][0] == read["a"][1]["b"] == pytest.approx(value, rel=1e-5)


def test_json_refuses_what_json_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_csv_leaves_undefined_cells_empty(tmp_path):
    files.write_csv(tmp_path / "x.csv", [{"a": 1.0, "b": float("nan")}, {"a": 2.0}], ["a", "b"])
    with (tmp_path / "x.csv").open() as file:
        assert list(csv.DictReader(file)) == [{"a": "1.0", "b": ""}, {"a": "2.0", "b": ""}]


def test_roots(tmp_path, monkeypatch):
    repository, workspace = tmp_path / "repository", tmp_path / "repository" / "temp" / "x"
    workspace.mkdir(parents=True)
    (workspace / "made").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(repository))
    monkeypatch.chdir(workspace)
    assert files.resolve_root("made").resolve() == workspace / "made"  # an output of a stage
    assert files.resolve_root("untracked") == repository / "untracked"
    assert files.resolve_root("../beside").resolve() == tmp_path / "beside"
    assert files.resolve_root(str(tmp_path)) == tmp_path
