"""The pipeline as Prefect flows: scheduled, observable, restartable. docs/prefect.md describes their use.

guard      ends a stage whose flow has died
workspace  one run at a time, records of live runs, and the sweep that cleans up after dead ones
stages     stages as processes whose output goes into the log of the run
artifacts  what the UI shows: progress, metrics against the baseline, links
flows      train_codec, run_experiments, watch_data
ladder     the fix ladder, one task for each rung and seed
serve      a server, a worker and the deployments on this machine
"""
