"""The pipeline as Prefect flows: scheduled, observable, restartable. docs/prefect.md says how to use them.

guard      ends a stage whose flow died
workspace  one run at a time, records of live runs, the sweep that clears what dead ones left
graph      what DVC and git know: stages, their state, experiments, metrics
stages     stages as processes whose output goes into the run's log
artifacts  what the UI shows: progress, metrics against the baseline, links
flows      train_codec, run_experiments, watch_data
serve      a server, a worker and the deployments on this machine
"""
