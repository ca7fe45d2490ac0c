/** Plays versions of one recording side by side; one of them is heard, and changes without a pause. */
import { buffer, RATE } from "./audio.js";

const FADE = 0.01; // seconds

export class Player {
  /** @param {() => void} changed is called when playing starts or ends */
  constructor(changed) {
    this._changed = changed;
    /** @type {Map<string, Float32Array>} */
    this._versions = new Map();
    this.version = "coded";
    this._offset = 0;
    /** @type {AudioContext | null} browsers allow one after the user has acted */
    this._context = null;
    /** @type {{context: AudioContext, started: number, gains: Map<string, GainNode>, sources: AudioBufferSourceNode[]} | null} */
    this._playing = null;
  }

  get playing() {
    return this._playing !== null;
  }

  /** Seconds. */
  get length() {
    return Math.max(...[...this._versions.values()].map((samples) => samples.length / RATE), 0);
  }

  /** Seconds. */
  get position() {
    const { context, started } = this._playing ?? {};
    return context ? Math.min(context.currentTime - Number(started), this.length) : this._offset;
  }

  set position(seconds) {
    const resume = this.playing;
    this.stop();
    this._offset = seconds;
    if (resume) this.play();
  }

  /** The versions by name. What is played goes on in them if they have the place. */
  load(/** @type {Map<string, Float32Array>} */ versions) {
    const resume = this.playing;
    this.stop();
    this._versions = versions;
    if (this._offset > this.length) this._offset = 0;
    else if (resume) this.play();
  }

  /** Which version is heard. */
  hear(/** @type {string} */ version) {
    this.version = version;
    this._playing?.gains.forEach((gain, name) =>
      gain.gain.setTargetAtTime(+(name === version), gain.context.currentTime, FADE / 3),
    );
  }

  play() {
    if (this._offset >= this.length - 0.01) this._offset = 0;
    this._context ??= new AudioContext();
    this._context.resume();
    const context = this._context;
    const started = context.currentTime - this._offset;
    const gains = new Map();
    const sources = [...this._versions].map(([name, samples]) => {
      const gain = new GainNode(context, { gain: +(name === this.version) });
      const source = new AudioBufferSourceNode(context, { buffer: buffer(samples) });
      source.connect(gain).connect(context.destination);
      source.start(0, Math.min(this._offset, samples.length / RATE));
      gains.set(name, gain);
      return source;
    });
    this._playing = { context, started, gains, sources };
    sources[0].onended = () => {
      if (this._playing?.sources === sources) this.stop();
    };
    this._changed();
  }

  stop() {
    if (!this._playing) return;
    this._offset = this.position;
    const { sources } = this._playing;
    this._playing = null;
    for (const source of sources) source.stop();
    this._changed();
  }
}
