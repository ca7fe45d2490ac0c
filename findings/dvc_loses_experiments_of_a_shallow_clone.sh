#!/usr/bin/env bash
# DVC 3.67.1: in a shallow clone, `dvc exp run --temp` runs the stages, ends with 0, and keeps nothing: no git reference, so that
# neither `dvc exp show` nor `dvc exp apply` knows the experiment. Its output says nothing of it. In a full clone the same command
# keeps the experiment, and so does `dvc exp run` without --temp in the shallow one.
#
# Seen 2026-11-28, Python 3.11, git 2.39:
#   full clone: exit code 0, experiments kept: 1
#   shallow clone: exit code 0, experiments kept: 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet dvc==3.67.1 pathspec==1.1.1 2>/dev/null
export PATH="$work/venv/bin:$PATH" DVC_NO_ANALYTICS=1 HOME="$work"
git config --global user.name a
git config --global user.email a@example.org
mkdir "$work/source" && cd "$work/source"
git init -q && dvc init -q
echo 'a: 1' >params.yaml
cat >dvc.yaml <<'YAML'
stages:
  s:
    cmd: cp params.yaml out.yaml
    params: [a]
    outs: [out.yaml]
YAML
git add -A && git commit -qm one && git commit -qm two --allow-empty
kept() { # FOLDER: the exit code of an experiment there, and how many git references it left
  cd "$work/$1"
  code=0
  dvc exp run --temp -S a=2 -n mine >/dev/null 2>&1 || code=$?
  echo "exit code $code, experiments kept: $(git for-each-ref refs/exps | grep -c /mine || true)"
}
git clone -q "file://$work/source" "$work/full"
git clone -q --depth 1 "file://$work/source" "$work/shallow"
full=$(kept full)
shallow=$(kept shallow)
echo "full clone: $full"
echo "shallow clone: $shallow"
[ "$full" = "exit code 0, experiments kept: 1" ] && [ "$shallow" = "exit code 0, experiments kept: 0" ]
