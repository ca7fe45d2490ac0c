import os
import subprocess
import sys

from tests.pipeline.conftest import ROOT


def test_no_stage_lets_onnx_runtime_leave_files_in_the_home_directory(tmp_path):
    hidden = "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | {"HOME": str(tmp_path)}
    # This stage imports it itself, before anything of the codec.
    subprocess.run([sys.executable, "-c", "import pipeline.export"], env=environment, cwd=ROOT, check=True)
    assert not list(tmp_path.rglob("*onnxruntime*"))
