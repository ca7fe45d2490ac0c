"""The DVC stages that turn a folder of recordings into a measured, exported codec: one module a stage, named as the stage."""

import telucodec  # noqa: F401 (before any stage imports ONNX Runtime, whose telemetry it switches off)
