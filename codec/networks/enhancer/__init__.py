"""The enhancer of the waveform codec as it is trained."""
