/** Recording. What is said is coded while it is said, where the target allows that, and can be heard. */
import { LONGEST } from "./audio.js";
import { element, figure } from "./elements.js";
import { LiveCoder, isLive } from "./live.js";
import { Recorder } from "./recorder.js";

const OFTEN = 500; // milliseconds from one look at the figures to the next
const [LATE, IN_TIME] = [1, 0.5]; // seconds: so far behind, the device is too slow, or no longer is
const RECORDING = "Recording …";
const AFTERWARDS = "Recording … It is coded when you stop: this target needs the whole recording.";
const TOO_SLOW =
  "Recording … This device codes more slowly than you speak. Nothing is lost; the rest is coded when you stop.";

/**
 * @typedef {object} Page
 * @property {() => import("../codec/codec.js").OperatingPoint} point that is wanted
 * @property {() => void} begun is called when recording begins
 * @property {(audio: Float32Array, result: import("./coder.js").Result | null) => void} done gets what was recorded; null: it is not
 *   coded yet
 * @property {(message: string) => void} say
 * @property {(part: string, share: number) => void} report how much of some work is done
 * @property {(error: unknown) => void} fail
 */

/**
 * Keeps the button, and what is shown while one speaks, in order.
 * @param {Page} page
 */
export function recording({ point, begun, done, say, report, fail }) {
  const [button, label] = [element("record", HTMLButtonElement), element("record-label", HTMLElement)];
  const [listen, figures] = [element("listen-live", HTMLInputElement), element("live", HTMLElement)];
  const form = element("settings", HTMLFormElement);
  const [clock, limit] = [{ timer: 0 }, { timer: 0 }];
  let isCoded = false; // while it is recorded
  let changing = false; // browsers take their time, and people click again
  /** @type {number | null} */
  let delay = null; // seconds from the microphone to what is heard
  /** @type {LiveCoder | null} */
  let coder = null;

  const recorder = new Recorder(
    (samples, later) => {
      delay = later;
      button.style.setProperty("--level", String(Math.min(Math.max(...samples.map(Math.abs)) * 2, 1)));
      if (isCoded) coder?.push(samples).catch(giveUp);
    },
    () => recorder.running && button.click(),
  );

  async function start() {
    const wanted = point();
    const rate = await recorder.open();
    try {
      if (isLive(wanted)) {
        say("Loading the codec …");
        coder ??= new LiveCoder((sound) => recorder.play(sound));
        await coder.start(wanted, rate);
      }
    } catch (error) {
      forget();
      await recorder.stop();
      throw error;
    }
    begun();
    delay = null;
    isCoded = isLive(wanted);
    recorder.start();
    recorder.audible = listen.checked;
    form.inert = true;
    button.classList.add("recording");
    label.textContent = "Stop";
    say(isCoded ? RECORDING : AFTERWARDS);
    show();
    clock.timer = setInterval(show, OFTEN);
    limit.timer = setTimeout(() => button.click(), 1000 * LONGEST);
  }

  async function stop() {
    clearInterval(clock.timer);
    clearTimeout(limit.timer);
    button.classList.remove("recording");
    button.style.removeProperty("--level");
    label.textContent = "Record";
    figures.hidden = true;
    await recorder.stop();
    const coded = await rest();
    form.inert = false;
    say("");
    done(coded?.audio ?? (await recorder.recorded()), coded?.result ?? null);
  }

  /** Codes what is left; null: what is recorded is to be coded as a file is. */
  async function rest() {
    if (!isCoded || !coder) return null;
    const { behind } = coder;
    clock.timer = setInterval(() => report("Coding the rest", 1 - Number(coder?.behind) / behind), OFTEN);
    try {
      return await coder.finish();
    } catch (error) {
      giveUp(error);
      return null;
    } finally {
      clearInterval(clock.timer);
    }
  }

  /** The recording goes on, but is coded later. */
  function giveUp(/** @type {unknown} */ error) {
    if (!isCoded) return;
    isCoded = false;
    forget();
    say(
      `Recording … Coding failed, and is tried again when you stop. ${error instanceof Error ? error.message : error}`,
    );
  }

  function forget() {
    coder?.close();
    coder = null;
  }

  function show() {
    figures.hidden = !isCoded;
    if (!isCoded || !coder) return;
    if (coder.behind > LATE) say(TOO_SLOW);
    else if (coder.behind < IN_TIME) say(RECORDING);
    const { kbps, frame, latency, encoding, decoding } = coder.figures();
    const shown = [
      ["Rate so far", kbps === null ? "…" : `${kbps.toFixed(1)} kbit/s`],
      ["From microphone to sound", delay === null ? "…" : `${(1000 * delay).toFixed(0)} ms`],
      ["Of that, algorithmic", `${latency.toFixed(0)} ms`],
      [`Computing per ${frame.toFixed(0)} ms`, `${encoding.toFixed(1)} + ${decoding.toFixed(1)} ms`],
    ];
    figures.replaceChildren(...shown.map(figure));
  }

  listen.onchange = () => (recorder.audible = listen.checked);
  button.onclick = async () => {
    if (changing) return;
    changing = true;
    try {
      await (recorder.running ? stop() : start());
    } catch (error) {
      fail(error);
    } finally {
      changing = false;
    }
  };
  const retarget = () => (listen.disabled = !isLive(point()));
  return {
    retarget,
    get running() {
      return recorder.running || changing;
    },
  };
}
