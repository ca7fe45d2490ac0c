/** The page: speech comes in, its file and its sound go out. */
import { TOKENS } from "../codec/header.js";
import { CodecError } from "../codec/errors.js";
import { LONGEST, RATE, read, writeWav } from "./audio.js";
import { Coder } from "./coder.js";
import { element, figure } from "./elements.js";
import { Player } from "./player.js";
import { recording } from "./recording.js";
import { settings } from "./settings.js";
import { draw, drawBits } from "./spectrogram.js";

const play = element("play", HTMLButtonElement);
const [file, position] = [element("file", HTMLInputElement), element("position", HTMLInputElement)];
const [drop, status, playhead] = ["drop", "status", "playhead"].map((id) => element(id, HTMLElement));
const progress = element("progress", HTMLProgressElement);
const point = settings(() => {
  recorder.retarget();
  encode();
});

/** @type {{name: string, audio: Float32Array | null, result: import("./coder.js").Result | null}} */
const state = { name: "speech", audio: null, result: null };
let newest = 0; // number of the speech that came in last: reading takes its time, and people do not wait

const coder = new Coder(
  report,
  (result) => {
    if (!result.audio.length) return fail(new CodecError("The file holds no speech."));
    state.result = result;
    show();
  },
  fail,
);
const player = new Player(() => {
  play.textContent = player.playing ? "Pause" : "Play";
  follow();
});
const recorder = recording({
  point,
  begun: () => {
    newest++;
    coder.forget();
    player.stop();
    element("result", HTMLElement).hidden = element("source", HTMLElement).hidden = true;
  },
  done: (audio, result) => take("recording", audio, `${(audio.length / RATE).toFixed(1)} seconds, recorded`, result),
  say,
  report,
  fail,
});

/**
 * @param {string} message
 * @param {boolean} [error]
 */
function say(message, error = false) {
  if (status.textContent !== message) status.textContent = message;
  status.classList.toggle("error", error);
}

/**
 * @param {string} part of the work
 * @param {number} share of it that is done
 */
function report(part, share) {
  say(`${part} …`);
  progress.hidden = false;
  progress.value = share;
}

function fail(/** @type {unknown} */ error) {
  progress.hidden = true;
  say(error instanceof Error ? error.message : String(error), true);
  if (error instanceof Error && !(error instanceof CodecError)) throw error;
}

// Speech comes in.

/** @param {File} given a recording or a .tlc file */
async function open(given) {
  if (recorder.running) throw new CodecError("Stop recording first.");
  const number = ++newest;
  player.stop();
  say("Reading …");
  const data = await given.arrayBuffer();
  const name = given.name.replace(/\.[^.]*$/, "") || "speech";
  const isFile = new TextDecoder().decode(data.slice(0, 3)) === "TLC" || given.name.endsWith(".tlc");
  const audio = isFile ? null : await read(data);
  if (number !== newest) return;
  take(name, audio, isFile ? `${given.name}: a coded file` : given.name);
  if (isFile) coder.run({ data: new Uint8Array(data) });
}

/**
 * @param {string} name for the files to save
 * @param {Float32Array | null} audio null: it is coded already
 * @param {string} description
 * @param {import("./coder.js").Result | null} [result] what was coded while it was recorded
 */
function take(name, audio, description, result = null) {
  if (audio && audio.length < RATE / 10) throw new CodecError("That is less than a tenth of a second.");
  const cut = audio && !result && audio.length > LONGEST * RATE;
  const source = element("source", HTMLElement);
  coder.forget();
  state.name = name;
  state.audio = cut ? audio.slice(0, LONGEST * RATE) : audio;
  state.result = result;
  player.load(new Map());
  element("result", HTMLElement).hidden = true;
  element("settings", HTMLFormElement).hidden = !audio; // what is coded already has its settings
  source.hidden = false;
  source.textContent = description + (cut ? `; its first ${LONGEST} seconds are used` : "");
  if (result) show();
  else if (audio) encode();
}

element("choose", HTMLButtonElement).onclick = () => file.click();
file.onchange = () => {
  if (file.files?.[0]) open(file.files[0]).catch(fail);
  file.value = "";
};
window.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
window.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
window.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const given = event.dataTransfer?.files[0];
  if (given) open(given).catch(fail);
});

// It is coded.

function encode() {
  if (!state.audio) return;
  say("Encoding …");
  coder.run({ audio: state.audio, point: point() });
}

// It is shown and heard.

function show() {
  const { result, audio } = state;
  if (!result) return;
  progress.hidden = true;
  const seconds = result.audio.length / RATE;
  element("result", HTMLElement).hidden = false;
  const bits = 8 * result.data.length;
  const {
    mode: kind,
    settings: [first, mean],
    ownSteps,
  } = result.header;
  const figures = [
    ["Rate", `${(bits / seconds / 1000).toFixed(2)} kbit/s`],
    ["File", `${result.data.length.toLocaleString("en")} bytes`],
    ["Compression", `${Math.round((16 * result.audio.length) / bits)} : 1`],
    kind === TOKENS
      ? ["Tokens", mean ? `about ${50 * mean} a second` : `${50 * first} a second`]
      : ["Quantiser step", ownSteps ? "follows the speech" : String(first)],
    ...(kind !== TOKENS && audio ? [["SNR", `${snr(audio, result.audio).toFixed(1)} dB`]] : []),
  ];
  element("figures", HTMLElement).replaceChildren(...figures.map(figure));
  const damage = element("damage", HTMLElement);
  damage.hidden = !result.damage;
  damage.textContent = result.damage;
  player.load(
    new Map([
      ["coded", result.audio],
      ...(audio ? /** @type {[string, Float32Array][]} */ ([["original", audio]]) : []),
    ]),
  );
  element("original-figure", HTMLElement).hidden = !audio;
  element("versions", HTMLFieldSetElement).hidden = !audio;
  if (!audio) hear("coded");
  play.disabled = position.disabled = false;
  position.max = String(player.length);
  setTimeout(drawAll); // it can be heard before
  follow();
  say(`Ready: ${seconds.toFixed(1)} seconds of speech at ${figures[0][1]}.`);
}

function drawAll() {
  if (!state.result) return;
  const { audio, bits, header } = state.result;
  if (state.audio) draw(element("original", HTMLCanvasElement), state.audio);
  draw(element("coded", HTMLCanvasElement), audio);
  const hop = header.mode === TOKENS ? 320 : 240;
  const most = drawBits(element("bits", HTMLCanvasElement), bits, hop / audio.length);
  element("most-bits", HTMLElement).textContent = `Bits spent, up to ${most} in a frame`;
}

let following = 0; // the next call

/** Keeps the place that is shown where the place is that is heard. */
function follow() {
  cancelAnimationFrame(following);
  position.value = String(player.position);
  element("time", HTMLElement).textContent = `${clock(player.position)} / ${clock(player.length)}`;
  if (!player.playing)
    position.setAttribute("aria-valuetext", `${player.position.toFixed(1)} of ${player.length.toFixed(1)} seconds`);
  playhead.hidden = !player.length;
  playhead.style.left = `${(100 * player.position) / player.length}%`;
  if (player.playing) following = requestAnimationFrame(follow);
}

function hear(/** @type {string} */ version) {
  player.hear(version);
  for (const choice of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("[name=version]")))
    choice.checked = choice.value === version;
}

play.onclick = () => (player.playing ? player.stop() : player.play());
position.oninput = () => {
  player.position = +position.value;
  follow();
};
element("versions", HTMLFieldSetElement).onchange = (/** @type {Event} */ { target }) => {
  if (target instanceof HTMLInputElement) hear(target.value);
};
const spectrograms = element("spectrograms", HTMLElement);
spectrograms.onclick = (/** @type {MouseEvent} */ event) => {
  const { left, width } = spectrograms.getBoundingClientRect();
  player.position = ((event.clientX - left) / width) * player.length;
  follow();
};
let width = innerWidth;
window.addEventListener("resize", () => {
  if (innerWidth !== width) drawAll(); // on phones the height changes while the page scrolls
  width = innerWidth;
});

element("save-tlc", HTMLButtonElement).onclick = () => state.result && save(state.result.data, `${state.name}.tlc`);
element("save-wav", HTMLButtonElement).onclick = () =>
  state.result && save(writeWav(state.result.audio), `${state.name}-coded.wav`);

/**
 * @param {Uint8Array} data
 * @param {string} name
 */
function save(data, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([Uint8Array.from(data)]));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

/**
 * The signal-to-noise ratio in dB.
 * @param {Float32Array} original
 * @param {Float32Array} coded as long
 */
function snr(original, coded) {
  let [signal, error] = [0, 0];
  original.forEach((sample, n) => {
    signal += sample ** 2;
    error += (sample - coded[n]) ** 2;
  });
  return 10 * Math.log10(signal / error);
}

function clock(/** @type {number} */ seconds) {
  const tenths = Math.round(10 * seconds);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}
