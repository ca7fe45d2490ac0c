/** The microphone. */
import { CodecError } from "../codec/errors.js";
import { resampled } from "./audio.js";

export class Recorder {
  /** @param {(level: number) => void} heard is told how loud it is, 0 to 1 */
  constructor(heard) {
    this._heard = heard;
    /** @type {AudioContext | null} */
    this._context = null;
  }

  get running() {
    return this._context !== null;
  }

  /** @throws {CodecError} there is no microphone, or it may not be used */
  async start() {
    if (!navigator.mediaDevices)
      throw new CodecError("Browsers allow recording on pages from https or this machine only.");
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    try {
      this._stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
    } catch (error) {
      throw new CodecError(
        `The microphone cannot be used (${error instanceof Error ? error.message : error}). Allow it, or open a file.`,
      );
    }
    /** @type {Float32Array[]} */
    this._blocks = [];
    const context = new AudioContext();
    this._context = context;
    await context.audioWorklet.addModule(new URL("recorder_worklet.js", import.meta.url));
    const node = new AudioWorkletNode(context, "recorder");
    node.port.onmessage = ({ data }) => {
      this._blocks?.push(data);
      this._heard(Math.min(Math.max(...data.map(Math.abs)) * 2, 1));
    };
    context.createMediaStreamSource(this._stream).connect(node);
  }

  /** What was said, at the codec's rate. */
  async stop() {
    const context = /** @type {AudioContext} */ (this._context);
    this._context = null;
    this._stream?.getTracks().forEach((track) => track.stop());
    await context.close();
    const blocks = this._blocks ?? [];
    const samples = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
    let place = 0;
    for (const block of blocks) {
      samples.set(block, place);
      place += block.length;
    }
    return resampled(samples, context.sampleRate);
  }
}
