/** Files that several threads need, above all the models: the page fetches each of them once, and lends it to the threads. */
import { CodecError } from "../codec/errors.js";
import { fetched } from "../codec/models.js";

/** What is fetched, by address. @type {Map<string, Promise<Blob>>} */
const kept = new Map();

/** The file at an address; a failure is forgotten. */
function once(/** @type {string} */ address) {
  const file = kept.get(address) ?? fetched(address);
  kept.set(address, file);
  file.catch(() => kept.delete(address));
  return file;
}

/** In the page: a thread gets the files that it asks for. Call this before you listen to the thread. */
export function lendTo(/** @type {Worker} */ worker) {
  worker.addEventListener("message", async (event) => {
    const { address } = event.data;
    if (!address) return;
    event.stopImmediatePropagation();
    const answer = await once(address).then(
      (file) => ({ file }),
      (error) => ({ error: error.message }),
    );
    worker.postMessage({ address, ...answer }); // a Blob is handed over, not copied
  });
}

/**
 * In a thread: what asks the page for the file at an address. Call this before you listen to the page.
 * @returns {(address: string) => Promise<Blob>}
 */
export function borrower() {
  /** @type {Map<string, {done: (file: Blob) => void, failed: (error: CodecError) => void}>} */
  const asked = new Map();
  addEventListener("message", (event) => {
    const { address, file, error } = event.data;
    if (!address) return;
    event.stopImmediatePropagation();
    const { done, failed } = asked.get(address) ?? {};
    if (file) done?.(file);
    else failed?.(new CodecError(error));
  });
  return (address) => {
    postMessage({ address });
    return new Promise((done, failed) => asked.set(address, { done, failed }));
  };
}
