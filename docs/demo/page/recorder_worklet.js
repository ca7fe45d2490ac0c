// @ts-nocheck: TypeScript does not know the scope of worklets
/** Passes the samples of the microphone on as they come, and plays those that come back. */
const BLOCK = 0.01; // seconds that are passed on at once
const [KEPT, SPARE] = [0.01, 0.03]; // seconds that wait to be played, and so many that they are too many
const PATIENCE = 5; // seconds in which they were too many all the time
const FADE = 0.005; // seconds

class RecorderProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this._block = new Float32Array(Math.round(BLOCK * sampleRate));
    this._count = 0; // of samples in it
    this._recorded = 0; // samples
    this._played = 0; // how far in the recording that is which is heard
    this._waiting = new Float32Array(); // to be played
    this._least = Infinity; // that waited, since it was last looked at
    this._checked = 0; // the sample at which that was
    this.port.onmessage = ({ data }) => {
      const waiting = new Float32Array(this._waiting.length + data.length);
      waiting.set(this._waiting);
      waiting.set(data, this._waiting.length);
      this._waiting = waiting;
    };
  }

  /**
   * @param {Float32Array[][]} inputs
   * @param {Float32Array[][]} outputs
   */
  process([[samples]], [[output]]) {
    this._play(output);
    for (const sample of samples ?? []) {
      this._recorded++;
      this._block[this._count++] = sample;
      if (this._count < this._block.length) continue;
      const delay = this._played ? (this._recorded - this._played) / sampleRate : null;
      this.port.postMessage({ samples: this._block.slice(), delay });
      this._count = 0;
    }
    return true;
  }

  /** What is not there in time comes later: a recording is heard whole. */
  _play(/** @type {Float32Array} */ output) {
    const count = Math.min(output.length, this._waiting.length);
    output.set(this._waiting.subarray(0, count));
    this._pass(count);
    this._least = Math.min(this._least, this._waiting.length);
    if (this._recorded < this._checked + PATIENCE * sampleRate) return;
    if (this._least > SPARE * sampleRate) this._catchUp(this._least - Math.round(KEPT * sampleRate));
    this._least = Infinity;
    this._checked = this._recorded;
  }

  /** Leaves out what has piled up since something came late, so that not all that follows is as late. */
  _catchUp(/** @type {number} */ surplus) {
    const fade = Math.min(Math.round(FADE * sampleRate), this._waiting.length - surplus);
    for (let n = 0; n < fade; n++) {
      const share = n / fade;
      this._waiting[surplus + n] = (1 - share) * this._waiting[n] + share * this._waiting[surplus + n];
    }
    this._pass(surplus);
  }

  _pass(/** @type {number} */ count) {
    this._waiting = this._waiting.subarray(count);
    this._played += count;
  }
}

registerProcessor("recorder", RecorderProcessor);
