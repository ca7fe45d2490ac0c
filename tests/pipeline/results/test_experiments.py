import json
import re
import subprocess
from pathlib import Path

import pytest

from pipeline.common import tables
from pipeline.results import experiments


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A repository with the experiments `base` and `louder`, as DVC records them."""
    parameters = Path("params.yaml").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def git(*arguments):
        identity = "-c", "user.name=t", "-c", "user.email=t@localhost"
        return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    def write(name, text):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")

    def record(name, text, pesq, perplexities, evaluated=True):
        write("params.yaml", text)
        point = {"kbps": 1.9, "snr": 6.5, "stoi": 0.7964} | ({} if pesq is None else {"pesq_wb": pesq})
        model = {"path": "data/models/tokens", "md5": name}
        used = model if evaluated else model | {"md5": "another"}
        stages = {"train@tokens": {"outs": [model]}, "evaluate@tokens": {"deps": [used]}}
        write("dvc.lock", json.dumps({"stages": stages}))
        write("metrics/tokens/evaluate.json", json.dumps({"clips": 5, "tokens_4": point, "tokens_kbps_2": point}))
        write("plots/tokens/history.csv", "epoch\n0\n")
        write("plots/tokens/statistics.csv", f"epoch,perplexity_1,perplexity_2\n0,1,1\n1,{perplexities}\n")
        git("add", "-A")
        git("commit", "-q", "-m", name)
        git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", "HEAD")
        git("reset", "-q", "--hard", head)

    git("init", "-q", "-b", "main")
    write("params.yaml", parameters)
    git("add", "-A")
    git("commit", "-q", "-m", "start")
    head = git("rev-parse", "HEAD")
    record("base", parameters, 2.1, "500,612.4")
    record("louder", parameters.replace("mel_weight: 1.0", "mel_weight: 0.5"), 2.25, "480,700")
    record("older", re.sub(r"\n +start_from:.*", "", parameters), 2.1, "500,600")  # knows one key less
    record("silent", parameters, None, "500,600")
    record("unheard", parameters, 2.1, "500,600", evaluated=False)


def test_rows_state_what_differs_and_the_results(recorded):
    experiments.main(["base", "louder", "silent", "older"])
    found = json.loads(experiments.PAGE.read_text(encoding="utf-8"))
    assert found["columns"][:3] == ["", "`--tokens 4`: kbit/s", "SNR dB"] and found["columns"][5].startswith(
        "`--tokens --kbps 2`"
    )
    assert found["rows"][0] == ["no change", *2 * ["1.90", "6.50", "2.10", "0.796"], "500 to 612"]
    assert found["rows"][1] == ["`loss.mel_weight=0.5`", *2 * ["1.90", "6.50", "2.25", "0.796"], "480 to 700"]
    assert found["rows"][2] == ["no change", *2 * ["1.90", "6.50", "undefined", "0.796"], "500 to 600"]
    assert found["rows"][3] == ["no change", *2 * ["1.90", "6.50", "2.10", "0.796"], "500 to 600"]
    assert tables.render(experiments.PAGE).count("\n") == 5


@pytest.mark.parametrize(
    "names, said",
    [
        ([], "name at least one experiment"),
        (["base", "quieter"], "no such experiment on this commit: quieter"),
        (["base", "unheard"], "unheard: the trained model was not evaluated"),
    ],
)
def test_experiments_without_figures_are_named(recorded, names, said):
    with pytest.raises(SystemExit, match=said):
        experiments.main(names)
    assert not experiments.PAGE.exists()
