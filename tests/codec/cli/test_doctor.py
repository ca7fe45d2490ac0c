import shutil

import pytest

from telucodec import cli
from telucodec.cli.doctor import Finding, libraries, show


def test_a_sound_installation_has_no_fault(models, capsys):
    assert cli.main(["doctor", "--model", str(models)]) == 0
    printed = capsys.readouterr().out
    for words in ("telucodec", "av ", "ffmpeg", "GPU", "GB free", "model waveform", "model tokens"):
        assert words in printed
    assert "FAULT" not in printed


@pytest.mark.parametrize("kind", ["waveform", "tokens"])
def test_a_damaged_model_is_a_fault_with_a_remedy(models, tmp_path, capsys, kind):
    shutil.copytree(models, tmp_path / "models")
    (tmp_path / "models" / kind / "model.safetensors").write_bytes(b"damaged")
    assert cli.main(["doctor", "--model", str(tmp_path / "models")]) == 1
    printed = capsys.readouterr()
    (line,) = [line for line in printed.out.splitlines() if line.startswith("FAULT")]
    assert f"model {kind}" in line and "model.safetensors" in line and "->" in line
    assert "telucodec: 1 faults" in printed.err


def test_a_missing_package_is_a_fault_where_it_is_needed(capsys):
    found = [
        *libraries(["no_such_package"], "install it", needed=True),
        *libraries(["no_such_package"], "", needed=False),
    ]
    assert [finding.state for finding in found] == ["fault", "note"]
    assert show([*found, Finding("x", "ok", "1.0")]) == 1
    assert "No module named 'no_such_package' -> install it" in capsys.readouterr().out
