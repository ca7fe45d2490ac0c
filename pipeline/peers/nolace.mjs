// Decodes an Ogg Opus file on standard input with NoLACE, to float32 samples at 16 kHz on standard output.
import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// An import statement would not look in NODE_PATH, where globally installed packages are.
const place = createRequire(import.meta.url).resolve("ogg-opus-decoder");
const { OggOpusDecoder } = await import(pathToFileURL(place));

const decoder = new OggOpusDecoder({ speechQualityEnhancement: "nolace", sampleRate: 16000 });
await decoder.ready;
const { channelData, sampleRate, errors } = await decoder.decodeFile(readFileSync(0));
if (sampleRate !== 16000 || errors.length) throw new Error(`${sampleRate} Hz, ${errors.length} errors`);
const bytes = new Uint8Array(channelData[0].buffer, channelData[0].byteOffset, channelData[0].byteLength);
for (let written = 0; written < bytes.length; ) written += writeSync(1, bytes, written);
decoder.free();
