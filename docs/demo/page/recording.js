/** Recording. What is said is coded while it is said, where the target allows that, and can be heard. */
import { LONGEST } from "./audio.js";
import { element, figure } from "./elements.js";
import { LiveCoder, isLive } from "./live.js";
import { Recorder } from "./recorder.js";

const OFTEN = 500; // milliseconds from one look at the figures to the next
const [LATE, IN_TIME] = [1, 0.5]; // seconds: so far behind, the device is too slow, or no longer is
const AFTERWARDS = "This target needs the whole recording: it is coded when you stop.";
const TOO_SLOW = "This device codes more slowly than you speak. Nothing is lost: the rest is coded when you stop.";

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
  const [choose, note] = [element("choose", HTMLButtonElement), element("note", HTMLElement)];
  let [clock, limit] = [0, 0]; // timers
  let isCoded = false; // while it is recorded
  let isLate = false; // more comes than can be coded
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
    try {
      const rate = await recorder.open();
      if (isLive(wanted)) {
        say("Loading the codec …");
        coder ??= new LiveCoder((sound) => recorder.play(sound));
        await coder.start(wanted, rate);
      }
    } catch (error) {
      forget();
      if (recorder.running) await recorder.stop();
      throw error;
    }
    begun();
    delay = null;
    isLate = false;
    isCoded = isLive(wanted);
    recorder.start();
    recorder.audible = listen.checked;
    form.inert = choose.disabled = true;
    button.classList.add("recording");
    label.textContent = "Stop";
    say("Recording …");
    note.textContent = isCoded ? "" : AFTERWARDS;
    clock = setInterval(show, OFTEN);
    limit = setTimeout(() => button.click(), 1000 * LONGEST);
  }

  async function stop() {
    clearInterval(clock);
    clearTimeout(limit);
    button.classList.remove("recording");
    button.style.removeProperty("--level");
    label.textContent = "Record";
    figures.hidden = true;
    await recorder.stop();
    const coded = await rest();
    form.inert = choose.disabled = isCoded = false;
    note.textContent = "";
    say("");
    done(coded?.audio ?? recorder.recorded(), coded?.result ?? null);
  }

  /** Codes what is left; null: what is recorded is to be coded as a file is. */
  async function rest() {
    if (!isCoded || !coder) return null;
    const live = coder;
    const left = Math.max(live.behind, 0.1); // seconds
    clock = setInterval(() => report("Coding the rest", 1 - live.behind / left), OFTEN);
    try {
      return await live.finish();
    } catch (error) {
      giveUp(error);
      return null;
    } finally {
      clearInterval(clock);
    }
  }

  /** The recording goes on, but is coded later. */
  function giveUp(/** @type {unknown} */ error) {
    if (!isCoded) return;
    isCoded = false;
    forget();
    note.textContent = `Coding failed, and is tried again when you stop. ${error instanceof Error ? error.message : error}`;
  }

  function forget() {
    coder?.close();
    coder = null;
  }

  function show() {
    figures.hidden = !isCoded;
    if (!isCoded || !coder) return;
    if (isLate ? coder.behind < IN_TIME : coder.behind > LATE) {
      isLate = !isLate;
      note.textContent = isLate ? TOO_SLOW : "";
    }
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
    button.setAttribute("aria-disabled", "true"); // it keeps the focus
    try {
      await (recorder.running ? stop() : start());
    } catch (error) {
      fail(error);
    } finally {
      changing = false;
      button.removeAttribute("aria-disabled");
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
