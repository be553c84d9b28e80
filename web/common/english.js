// Every word of ours on the page, in English. locales/<language>/main.json has the same in the other languages;
// tests/support/locale_keys.py compares them. {name} stands for what is filled in.

export const ENGLISH = {
  // What is wrong with a text of sigmas, as hso_core/schedule/sigmas.py says it.
  tooLong: "{count} characters of values are too many; a schedule has at most {most}",
  decimalCommas:
    "commas inside of the values are ambiguous; write decimals with a point, 14.6 and not 14,6, and a blank after " +
    "each comma between values, or put semicolons between values: 14,6; 7,2; 0",
  tooManyValues: "{count} values are too many; a schedule has at most {most}",
  notANumber: "'{text}', value {place}, is not a number; write sigmas like 14.6, 4.7, 1.9, 0.8, 0",
  notFinite: "'{text}', value {place}, is not a number (not finite); write sigmas like 14.6, 4.7, 1.9, 0.8, 0",
  tooFew: "a schedule has at least 2 sigmas (start and end), not {count}",
  infinite: "value {place} is {value}; every sigma must be a finite number",
  negative: "value {place} is {value}; a sigma is never negative",
  notBelow: "value {place} ({value}) is not below value {before} ({above}); sigmas must fall at every step",
  writePoints: "(write decimals with a point: 14.6, not 14,6)",

  // A file that was dropped.
  fileTooLarge: "{file} is too large for a schedule",
  fileDamaged: "{file} is no schedule that HSO saved, or it is damaged",
  fileOther:
    "{file} is no schedule; drop a schedule that HSO saved (.safetensors) or a text with sigmas here, and a workflow " +
    "beside the node",

  // The buttons and fields of the editor.
  tools: "Edit the schedule",
  undo: "Undo (Ctrl+Z)",
  redo: "Redo (Ctrl+Y)",
  add: "Add a step after the selected one",
  remove: "Remove the selected step",
  paste: "Paste sigmas",
  lock: "Hold the first and the last value where they are",
  reset: "Back to the schedule as it was opened",
  resampleTo: "resample to",
  resampleTitle: "Change the values to so many steps",
  sigmaOfStep: "Sigma of step {step}",
  handle: "Step {step}",
  handleValue: "sigma {value}",
  handleFixed: "sigma {value}, fixed",

  // What the editor shows.
  nothing: "Type or paste sigmas above, or connect some.",
  example: "Start with an example",
  fromText: "The text comes from another node.",
  fromOldText: "The text comes from another node; these are its values in the last run.",
  fromSigmas: "These are the connected sigmas.",
  fromOldSigmas: "These are the connected sigmas of the last run.",
  runForValues: "Run the workflow to see its values here.",
  runForSigmas: "Run the workflow to see them here.",
  takeOver: "Edit this one",
  keepSampler: "keep in the workflow",
  runsAs: "runs as {steps} steps",
  runsAsDashed: "runs as {steps} steps (dashed)",
  editText: "more than {most} steps: edit the text",
  endsAbove: "ends at {sigma}, not at 0: noise will be left",
  startsAbove: "starts above the model's largest sigma, {sigma}",

  // Why the editor does not do something.
  resampleRange: "the editor resamples to a whole number of steps from 1 to {most}",
  resampleOne: "one sigma above 0 cannot be resampled to {steps} steps; add steps one by one",
  fieldComma: "write decimals with a point: {right}, not {text}",
  fieldWord: "'{text}' is not a number; write a sigma like 4.7",
  fieldRange: "step {step} must lie between {low} and {high}",
  clipboard: "the browser does not let the clipboard be read; paste into the text above",
  notTaken: "not taken: {reason}",

  // The picture of a schedule.
  axis: "Axis",
  axisSigma: "sigma, on a logarithmic axis",
  axisLinear: "sigma, on a linear axis",
  axisLambda: "half-log-SNR lambda",
  axisTimestep: "timestep of the model",
  pictureOf: "Schedule {name}, {axis}",
  picture: "Schedule, {axis}",
  stepAxis: "step",
  step: "step {step}",
  runToSee: "Run to see the schedule",
  steps: "{count} steps, {sigmas}",
  oneStep: "1 step, {sigmas}",
  lastRun: "from the last run: {schedule}",

  // The line on a node that takes minutes.
  evaluations: "{done} of {most} evaluations",
  timeLeft: "{progress}, about {time} left",
  seconds: "{count} s",
  minutes: "{count} min",
  hours: "{count} h",

  // The line on a node whose search was cancelled.
  cancelledAt: "Cancelled at {progress}.",
  keptBest: "The best so far is kept: with reuse, Run gives it at once.",
  keptEarlier: "The earlier result is kept: with reuse, Run gives it at once.",
  keptReferences:
    "No schedule was measured yet. The finished runs with many steps are kept, so the next search is shorter.",
  keptNothing: "Nothing was finished yet, so nothing is kept.",

  // Names that nodes give to what they send: of a curve, and of a fact below the picture.
  name_result: "result",
  name_before: "before",
  name_calibrated: "calibrated",
  name_first: "first",
  name_second: "second",
  name_high_and_low: "high and low",
  name_high: "high",
  name_low: "low",
  name_earlier_result: "earlier result",
  name_connected: "connected",
  name_text: "text",
  name_saved_as: "saved as",
  name_made_for: "made for",
  name_winner: "winner",
  name_sampler: "sampler",
  name_note: "note",
};

/** @typedef {keyof typeof ENGLISH} Word */
/** @typedef {Record<string, string | number>} Values what is filled in, by its name */

/**
 * @param {string} text
 * @param {Values} [values]
 */
export function fill(text, values = {}) {
  return text.replace(/\{(\w+)\}/g, (all, name) => String(values[name] ?? all));
}
