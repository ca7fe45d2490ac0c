"""The waveform codec: entropy-coded MDCT coefficients, any rate."""
