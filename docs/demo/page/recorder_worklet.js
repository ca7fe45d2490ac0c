// @ts-nocheck: TypeScript does not know the scope of worklets
/** Passes the samples of the first channel on, in blocks of a twentieth of a second. */
class RecorderProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this._block = new Float32Array(Math.round(sampleRate / 20));
    this._count = 0;
  }

  /** @param {Float32Array[][]} inputs */
  process([[samples]]) {
    for (const sample of samples ?? []) {
      this._block[this._count++] = sample;
      if (this._count < this._block.length) continue;
      this.port.postMessage(this._block.slice());
      this._count = 0;
    }
    return true;
  }
}

registerProcessor("recorder", RecorderProcessor);
