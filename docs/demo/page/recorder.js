/** The microphone, and the loudspeaker while one speaks. */
import { concatenate } from "../codec/arrays.js";
import { CodecError } from "../codec/errors.js";
import { RATE } from "./audio.js";
import { Resampler } from "./resampler.js";

const FADE = 0.02; // seconds

export class Recorder {
  /**
   * @param {(samples: Float32Array, delay: number | null) => void} heard gets what is said, at the microphone's rate, and how many
   *   seconds later what is played is heard; null: nothing is
   * @param {() => void} lost is told that the microphone is gone
   */
  constructor(heard, lost) {
    this._heard = heard;
    this._lost = lost;
    /** @type {AudioContext | null} */
    this._context = null;
  }

  get running() {
    return this._context !== null;
  }

  /**
   * Recording can begin.
   * @returns {Promise<number>} the sampling rate
   * @throws {CodecError} there is no microphone, or it may not be used
   */
  async open() {
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
    for (const track of this._stream.getTracks()) track.onended = this._lost;
    this._context = new AudioContext({ latencyHint: "interactive" });
    await this._context.audioWorklet.addModule(new URL("recorder_worklet.js", import.meta.url));
    return this._context.sampleRate;
  }

  start() {
    const context = /** @type {AudioContext} */ (this._context);
    /** @type {Float32Array[]} */
    this._blocks = [];
    this._node = new AudioWorkletNode(context, "recorder", { outputChannelCount: [1] });
    this._node.port.onmessage = ({ data: { samples, delay } }) => {
      this._blocks?.push(samples);
      this._heard(samples, delay === null ? null : delay + (context.outputLatency || context.baseLatency));
    };
    this._gain = new GainNode(context, { gain: 0 });
    const microphone = context.createMediaStreamSource(/** @type {MediaStream} */ (this._stream));
    context.resume(); // some browsers have forgotten by now that the user has acted
    microphone.connect(this._node).connect(this._gain).connect(context.destination);
  }

  /** What comes next of the recording, at the microphone's rate. */
  play(/** @type {Float32Array} */ samples) {
    this._node?.port.postMessage(samples, [samples.buffer]);
  }

  /** Whether what is played is heard. */
  set audible(/** @type {boolean} */ audible) {
    this._gain?.gain.setTargetAtTime(+audible, this._gain.context.currentTime, FADE / 3);
  }

  async stop() {
    const context = /** @type {AudioContext} */ (this._context);
    this._context = null;
    this._stream?.getTracks().forEach((track) => track.stop());
    await context.close();
    if (this._node) this._node.port.onmessage = null;
    this._rate = context.sampleRate;
  }

  /** What was said until it stopped, at the codec's rate. */
  recorded() {
    const resampler = new Resampler(this._rate ?? RATE, RATE);
    return concatenate(Float32Array, [
      ...(this._blocks ?? []).map((block) => resampler.push(block)),
      resampler.finish(),
    ]);
  }
}
