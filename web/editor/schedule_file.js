// Reading a schedule from a file that was dropped: a saved schedule (.safetensors) or a text.

import { MAX_STEPS, ScheduleError, printSchedule } from "../schedule/text.js";

const MAX_BYTES = 2 ** 20;

/**
 * The schedule in a file, as text. Raises ScheduleError with what is wrong with the file.
 * @param {File} file
 */
export async function readScheduleFile(file) {
  const isImage = file.type.startsWith("image/");
  if (!isImage && file.size > MAX_BYTES) throw new ScheduleError(["fileTooLarge", { file: file.name }]);
  if (file.name.toLowerCase().endsWith(".safetensors")) {
    try {
      return printSchedule(readTensor(await file.arrayBuffer()));
    } catch {
      throw new ScheduleError(["fileDamaged", { file: file.name }]);
    }
  }
  const text = isImage ? "" : await file.text();
  if (isImage || isSomethingElse(text)) throw new ScheduleError(["fileOther", { file: file.name }]);
  return text;
}

/** @param {string} text of a file; that of a workflow, or of one that is no text at all */
function isSomethingElse(text) {
  return text.trimStart().startsWith("{") || text.includes("\0") || text.includes("\uFFFD");
}

/**
 * The float32 tensor "sigmas" of a safetensors file: 8 bytes length of the header, the header in JSON, the data.
 * @param {ArrayBuffer} buffer
 */
function readTensor(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(buffer, 8, length)));
  const { dtype, shape, data_offsets: offsets } = header.sigmas;
  const [count] = shape;
  const fits = offsets[1] - offsets[0] === 4 * count && count <= MAX_STEPS + 1;
  if (dtype !== "F32" || shape.length !== 1 || !fits) throw new Error("another format");
  const data = new DataView(buffer, 8 + length + offsets[0], 4 * count);
  return Array.from({ length: count }, (_, i) => data.getFloat32(4 * i, true));
}
