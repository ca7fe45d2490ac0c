/**
 * Examples to listen to, which `python -m tools.demo_examples` makes: speech at several rates, and other codecs beside it. What this
 * codec has made is coded still, and is decoded here.
 *
 * @typedef {{name: string, kbps: number | null, file: string}} Version
 * @typedef {{name: string, versions: Version[]}} Clip
 * @typedef {{source: string, rivals: string[], clips: Clip[]}} Index
 */
import { read } from "./audio.js";
import { Coder } from "./coder.js";
import { element } from "./elements.js";
import { Player } from "./player.js";

const FOLDER = "examples/";
const button = element("listen-to", HTMLButtonElement);
const [clips, versions] = ["example-clips", "example-versions"].map((id) => element(id, HTMLFieldSetElement));

/** The samples of each file that has been heard. @type {Map<string, Float32Array>} */
const heard = new Map();
const player = new Player(() => (button.textContent = player.playing ? "Stop" : "Hear it"));
/** @type {Coder | null} */
let coder = null;
/** What to do with the sound of the file that is being decoded. */
let use = { done: (/** @type {Float32Array} */ _) => {}, failed: (/** @type {unknown} */ _) => {} };

function say(/** @type {string} */ message) {
  element("example-state", HTMLElement).textContent = message;
}

/**
 * A file to samples.
 * @param {string} name
 * @returns {Promise<Float32Array>}
 */
async function samples(name) {
  const response = await fetch(FOLDER + name);
  if (!response.ok) throw new Error(`${name} is not there.`);
  const data = await response.arrayBuffer();
  if (!name.endsWith(".tlc")) return read(data);
  coder ??= new Coder(
    () => {},
    ({ audio }) => use.done(audio),
    (error) => use.failed(error),
  );
  const decoded = new Promise((done, failed) => (use = { done, failed }));
  coder.run({ data: new Uint8Array(data) });
  return decoded;
}

/** The number of the radio button that is chosen in a group. */
function chosen(/** @type {HTMLFieldSetElement} */ group) {
  return Number(group.querySelector(":checked")?.getAttribute("value"));
}

/**
 * Fills a group with radio buttons.
 * @param {HTMLFieldSetElement} group
 * @param {string[]} labels
 * @param {number} first that is chosen
 */
function offer(group, labels, first) {
  const made = labels.map((text, number) => {
    const input = Object.assign(document.createElement("input"), { type: "radio", name: group.id, value: number });
    input.checked = number === first;
    const label = document.createElement("label");
    label.append(input, Object.assign(document.createElement("span"), { textContent: text }));
    return label;
  });
  group.replaceChildren(...[...group.children].filter(({ tagName }) => tagName === "LEGEND"), ...made);
}

/** @param {Index} index */
function show({ source, rivals, clips: all }) {
  const labels = (/** @type {Clip} */ clip) =>
    clip.versions.map(({ name, kbps }) => (kbps === null ? name : `${name}, ${kbps} kbit/s`));
  let wanted = 0; // number of the newest choice
  /** Lets the chosen version be heard, when it is there. */
  const hear = async () => {
    const number = ++wanted;
    const clip = all[chosen(clips)];
    const { file } = clip.versions[chosen(versions)];
    try {
      if (!heard.has(file)) {
        say("Loading …");
        heard.set(file, await samples(file));
      }
    } catch (error) {
      say(error instanceof Error ? error.message : String(error));
      return;
    }
    if (number !== wanted) return;
    say("");
    const own = clip.versions.filter((version) => heard.has(version.file));
    player.load(new Map(own.map((version) => [version.file, heard.get(version.file) ?? new Float32Array()])));
    player.hear(file);
  };
  offer(clips, all.map(({ name }) => name), 0);
  offer(versions, labels(all[0]), 0);
  clips.onchange = () => {
    offer(versions, labels(all[chosen(clips)]), chosen(versions)); // rates differ a little
    hear();
  };
  versions.onchange = hear;
  button.onclick = async () => {
    if (player.playing) return player.stop();
    await hear();
    player.play();
  };
  element("example-source", HTMLElement).textContent = `${source}. ${rivals.join(" ")} Rates are those of packets, and of our files.`;
  element("examples", HTMLElement).hidden = false;
}

const response = await fetch(`${FOLDER}examples.json`);
if (response.ok) show(await response.json());
