// The editor of a schedule. It holds no value of its own: it shows a text, and reports every change as a new text. Only
// while a point is held the picture is ahead of the text.

import { buildParts } from "./editor_parts.js";
import { EditorPicture, MAX_HANDLES } from "./editor_picture.js";
import { addStep, boundsOf, isFixed, moveValue, removeStep, setValue, stretchToEnds } from "../schedule/edits.js";
import { QUANTITIES } from "../schedule/quantities.js";
import { resample } from "../schedule/resample.js";
import { readScheduleFile } from "./schedule_file.js";
import {
  LARGEST,
  LEAST,
  isNumber,
  parseSchedule,
  plainDecimal,
  printSchedule,
  shortNumber,
  shortText,
} from "../schedule/text.js";

/** @typedef {import("../plot/plot_view.js").Plot} Plot */

/**
 * @typedef {object} Shown
 * @property {string} text the schedule
 * @property {"text" | "sigmas" | "linked" | "nothing"} source of the schedule that runs: the text, the connected
 *   sigmas, a text from another node, nothing
 * @property {Plot | null} plot the last result
 * @property {number} steps to resample to when it runs; 0: as it is
 * @property {import("../schedule/resample.js").Resampling} resampling
 */

/**
 * @typedef {object} Settings kept with the node
 * @property {string} axis
 * @property {boolean} locked
 */

/**
 * @typedef {object} Listener
 * @property {(text: string) => void} change
 * @property {() => void} mark what has changed until now is one step of undo
 * @property {(settings: Settings) => void} settings
 */

/**
 * @typedef {object} Drag
 * @property {number} pointer
 * @property {number} offset pixels from the pointer down to the point
 * @property {number[]} before the values
 * @property {import("../schedule/edits.js").Ends} ends as they were; they may follow from the values
 * @property {AbortController} listening
 */

const AXES = ["sigma", "linear", "lambda"];
const EXAMPLE = "11.54, 4.71, 1.96, 0.81, 0.17, 0";
const MAX_HISTORY = 100;
const REACH = { mouse: 14, touch: 26, pen: 18 }; // pixels from a point that still mean it; also zoomed out on the page
const ON_POINT = 9; // pixels; the circle that shows when the pointer is on it
const KEY_STEPS = { ArrowUp: 0.01, ArrowDown: -0.01, PageUp: 0.1, PageDown: -0.1, Home: 2, End: -2 }; // of the height
const SLACK = 1.01; // as on the server: published lists are rounded

export class EditorView {
  /**
   * @param {Settings} settings
   * @param {Listener} listener
   */
  constructor(settings, listener) {
    this.settings = settings;
    this.listener = listener;
    /** @type {Shown} */
    this.shown = { text: "", source: "nothing", plot: null, steps: 0, resampling: "log-linear" };
    /** @type {number[]} */
    this.values = [];
    this.editable = false;
    this.selected = 0;
    /** @type {string[]} */
    this.history = [];
    this.origin = ""; // what Reset comes back to: the schedule as it was opened, or before the first edit
    this.isTyping = false; // in the node's text box: all of it is one step of Undo
    this.complaint = "";
    /** @type {Drag | null} */
    this.drag = null;
    this.parts = buildParts(MAX_HANDLES, (axis) => this.changeSettings({ axis }));
    this.picture = new EditorPicture(this.parts);
    this.element = this.parts.element;
    this.listen();
  }

  listen() {
    const { area, picture, buttons, take, value, steps } = this.parts;
    new ResizeObserver(() => this.draw()).observe(area);
    buttons.undo.addEventListener("click", () => this.undo());
    buttons.reset.addEventListener("click", () => this.edit(this.origin));
    buttons.add.addEventListener("click", () => this.addAfter(this.selected));
    buttons.remove.addEventListener("click", () => this.remove());
    buttons.paste.addEventListener("click", () => this.paste());
    buttons.paste.hidden = !navigator.clipboard?.readText; // only on https and on this machine
    buttons.lock.addEventListener("click", () => this.toggleLock());
    take.addEventListener("click", () => this.take());
    value.addEventListener("change", () => this.typeValue());
    steps.addEventListener("change", () => this.resampleTo(Number(steps.value)));
    picture.addEventListener("pointerdown", (event) => this.startDrag(event));
    picture.addEventListener("pointermove", (event) => this.moveDrag(event));
    picture.addEventListener("dblclick", (event) => this.addAt(event));
    picture.addEventListener("keydown", (event) => this.pressKey(event));
    area.addEventListener("focusin", (event) => this.focusHandle(event)); // on an svg it would make it a tab stop
    this.element.addEventListener("paste", (event) => this.receivePaste(event));
    this.element.addEventListener("dragover", (event) => this.allowDrop(event));
    this.element.addEventListener("drop", (event) => this.receiveDrop(event));
  }

  // -- what is shown --------------------------------------------------------------------------------------------------

  /**
   * Show what the node has now.
   * @param {Shown} shown
   */
  show(shown) {
    if (shown.text !== this.shown.text) {
      this.complaint = "";
      this.forgetDrag();
      if (this.editable && !this.isTyping) this.remember(this.shown.text);
      this.isTyping = true;
    }
    this.shown = shown;
    this.read();
    this.draw();
  }

  /**
   * A workflow was opened: nothing to undo, and Reset comes back to here.
   * @param {string} text
   */
  open(text) {
    this.history = [];
    this.isTyping = false;
    this.origin = text;
    this.shown = { ...this.shown, text };
  }

  /** Find the values to draw, and say what is wrong or missing. */
  read() {
    const { text, source, plot } = this.shown;
    this.editable = false;
    this.values = [];
    if (source === "text") this.readText(text);
    else if (source === "linked") this.readResult(plot, "text", "The text comes from another node.");
    else if (source === "sigmas") this.readResult(plot, "connected", "These are the connected sigmas.");
    else this.say("Type or paste sigmas above, or connect some.", "Start with an example");
    this.selected = Math.min(this.selected, Math.max(this.values.length - 1, 0));
  }

  /** @param {string} text */
  readText(text) {
    try {
      this.values = parseSchedule(text);
    } catch (error) {
      this.say(/** @type {Error} */ (error).message);
      this.parts.banner.classList.add("hso-wrong");
      return;
    }
    this.editable = this.values.length <= MAX_HANDLES + 1;
    this.say("");
  }

  /**
   * @param {Plot | null} plot
   * @param {string} name of the schedule that is meant
   * @param {string} message
   */
  readResult(plot, name, message) {
    const curve = plot?.schedules[0];
    if (curve?.name !== name) {
      this.say(`${message} Run the workflow to see ${name === "text" ? "its values" : "them"} here.`);
      return;
    }
    this.values = curve.sigmas.map(Math.fround);
    this.say(message, name === "connected" ? "Edit this one" : "");
  }

  /**
   * @param {string} message
   * @param {string} [action] what the button beside it does
   */
  say(message, action = "") {
    const { banner, message: paragraph, take } = this.parts;
    banner.className = "hso-banner";
    banner.hidden = !message;
    paragraph.textContent = message;
    take.textContent = action;
    take.hidden = !action;
  }

  get family() {
    return this.shown.plot?.family ?? null;
  }

  /** @returns {import("../schedule/edits.js").Ends} */
  get ends() {
    const positive = this.values.filter((value) => value > 0);
    const { sigma_min: low, sigma_max: high } = this.shown.plot ?? {};
    return {
      locked: this.settings.locked,
      high: Math.min(Math.fround(high ?? (positive[0] ?? 1) * 1.5), LARGEST),
      low: Math.max(Math.fround(Math.min(low ?? Infinity, (positive.at(-1) ?? 1) / 2)), LEAST),
    };
  }

  /** What the node will make of the text's values, where it resamples them. */
  get resampled() {
    const { source, steps, resampling } = this.shown;
    if (source !== "text" || !this.values.length || !steps || steps === this.values.length - 1) return null;
    return resample(this.values, steps, resampling);
  }

  /** The same, where it can be drawn. */
  get ghost() {
    return this.editable && this.shown.steps <= MAX_HANDLES ? this.resampled : null;
  }

  draw() {
    const axes = AXES.filter((name) => name !== "lambda" || this.family);
    const axis = axes.includes(this.settings.axis) ? this.settings.axis : "sigma";
    this.parts.axis.show(
      axes.map((name) => ({ name, ...QUANTITIES[name] })),
      axis,
    );
    const { values, ghost, editable, selected, family, ends } = this;
    this.updateTools();
    this.picture.draw({ values, ghost, editable, selected, axis, family, ends });
  }

  updateTools() {
    const { editable, selected, values, shown, ends, parts } = this;
    const { buttons, value } = parts;
    const fixed = !editable || isFixed(values, selected, ends);
    buttons.undo.disabled = !this.history.length || shown.source === "linked";
    buttons.reset.disabled = !this.origin || this.origin === shown.text || shown.source === "linked";
    buttons.add.disabled = !editable || values.length > MAX_HANDLES;
    buttons.remove.disabled = fixed || values.length <= 2;
    buttons.paste.disabled = shown.source === "linked";
    buttons.lock.setAttribute("aria-pressed", String(this.settings.locked));
    buttons.lock.title = shown.plot?.sigma_max
      ? "Lock the ends to the model's largest and smallest sigma"
      : "Lock the ends where they are (connect the model and run once to lock them to its range)";
    parts.steps.disabled = !editable;
    parts.steps.value = values.length ? String(values.length - 1) : "";
    parts.foot.hidden = !values.length;
    parts.valueLabel.textContent = `step ${selected}  σ`;
    value.disabled = fixed;
    value.setAttribute("aria-label", `Sigma of step ${selected}`);
    if (document.activeElement !== value) value.value = values.length ? plainDecimal(values[selected]) : "";
    parts.about.textContent = this.complaint || this.describe();
    parts.about.hidden = !parts.about.textContent;
  }

  /** What is worth a word about the schedule. */
  describe() {
    const { values, shown } = this;
    if (!values.length) return "";
    const parts = [];
    if (this.resampled) parts.push(`runs as ${shown.steps} steps${this.ghost ? " (dashed)" : ""}`);
    if (!this.editable && shown.source === "text") parts.push(`more than ${MAX_HANDLES} steps: edit the text`);
    const last = values[values.length - 1];
    if (last > 0) parts.push(`ends at ${shortNumber(last)}, not at 0: noise will be left`);
    const high = shown.plot?.sigma_max;
    if (high && values[0] > high * SLACK) parts.push(`starts above the model's largest sigma, ${shortNumber(high)}`);
    return parts.join(" · ");
  }

  /** @param {string} text why the last wish could not be granted, until the next one */
  complain(text) {
    this.complaint = text;
    this.updateTools();
  }

  // -- changes --------------------------------------------------------------------------------------------------------

  /**
   * One change, which Undo takes back.
   * @param {readonly number[] | string | null} wanted values or text; null: it cannot be done
   * @param {boolean} [keep] whether Undo comes back to what is there now
   */
  edit(wanted, keep = true) {
    if (wanted === null) return;
    const text = typeof wanted === "string" ? wanted : printSchedule(wanted);
    if (text === this.shown.text) return;
    this.forgetDrag();
    if (this.editable) this.origin ||= this.shown.text;
    if (keep) this.remember(this.shown.text);
    this.isTyping = false;
    this.complaint = "";
    this.shown = { ...this.shown, text, source: text.trim() ? "text" : this.shown.source };
    this.read();
    this.listener.change(text); // which shows what the node has then
    this.listener.mark();
    this.draw();
  }

  /** @param {string} text */
  remember(text) {
    if (this.history.at(-1) === text) return;
    this.history = [...this.history, text].slice(-MAX_HISTORY);
  }

  undo() {
    const present = valuesIn(this.shown.text);
    const history = [...this.history];
    while (history.length && valuesIn(history[history.length - 1]) === present) history.pop(); // only typed otherwise
    const text = history.pop();
    this.history = history;
    this.edit(text ?? null, false);
    this.updateTools();
  }

  /**
   * @param {number} step
   * @param {number} [wanted] sigma
   */
  addAfter(step, wanted) {
    const i = Math.min(step, this.values.length - 2);
    const values = addStep(this.values, i, wanted);
    if (values) this.selected = i + 1;
    this.edit(values);
  }

  remove() {
    this.edit(removeStep(this.values, this.selected, this.ends));
  }

  /** @param {number} steps */
  resampleTo(steps) {
    if (!Number.isInteger(steps) || steps < 1 || steps > MAX_HANDLES) {
      this.complain(`the editor resamples to a whole number of steps from 1 to ${MAX_HANDLES}`);
      return;
    }
    const values = resample(this.values, steps, this.shown.resampling);
    this.edit(values);
    if (values) this.updateTools();
    else this.complain(`one sigma above 0 cannot be resampled to ${steps} steps; add steps one by one`);
  }

  toggleLock() {
    const locked = !this.settings.locked;
    const { sigma_min: low, sigma_max: high } = this.shown.plot ?? {};
    if (locked && this.editable && low && high) {
      const values = stretchToEnds(this.values, { low, high });
      if (!values) {
        const range = `${shortNumber(high)} to ${shortNumber(low)}`;
        this.complain(`not locked: the steps between the ends must lie well inside of the model's range, ${range}`);
        return;
      }
      this.edit(values);
    }
    this.changeSettings({ locked });
  }

  /** @param {Partial<Settings>} settings */
  changeSettings(settings) {
    this.settings = { ...this.settings, ...settings };
    this.listener.settings(this.settings);
    this.draw();
  }

  /** Take over the connected sigmas, or an example where there is nothing. */
  take() {
    const text = this.values.length ? printSchedule(this.values) : EXAMPLE;
    this.origin = text;
    this.edit(text);
  }

  typeValue() {
    const { value } = this.parts;
    const text = value.value.trim();
    const values = isNumber(text) ? setValue(this.values, this.selected, Number(text), this.ends) : null;
    this.edit(values);
    if (!values) this.complain(this.describeFault(text));
    value.value = plainDecimal(this.values[this.selected]);
  }

  /** @param {string} text that is not taken for the selected step */
  describeFault(text) {
    if (/^\d*,\d+$/.test(text)) return `write decimals with a point: ${text.replace(",", ".")}, not ${text}`;
    if (text && !isNumber(text)) return `'${shortText(text)}' is not a number; write a sigma like 4.7`;
    const { low, high } = boundsOf(this.values, this.selected, this.ends);
    return `step ${this.selected} must lie between ${shortNumber(low)} and ${shortNumber(high)}`;
  }

  /** What is in a field is for the step that is selected now, and for the values as they are now. */
  finishTyping() {
    this.complaint = "";
    for (const field of [this.parts.value, this.parts.steps]) field.blur(); // calls what listens to its change
  }

  // -- schedules from elsewhere ---------------------------------------------------------------------------------------

  async paste() {
    try {
      this.useText(await navigator.clipboard.readText());
    } catch {
      this.complain("the browser does not let the clipboard be read; paste into the text above");
    }
  }

  /** @param {ClipboardEvent} event */
  receivePaste(event) {
    event.stopPropagation(); // ComfyUI would paste nodes
    if (event.target instanceof HTMLInputElement) return;
    event.preventDefault();
    this.useText(event.clipboardData?.getData("text/plain") ?? "");
  }

  /** @param {DragEvent} event */
  allowDrop(event) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopPropagation(); // ComfyUI would open the file as a workflow
  }

  /** @param {DragEvent} event */
  async receiveDrop(event) {
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    this.allowDrop(event);
    try {
      this.useText(await readScheduleFile(file));
    } catch (error) {
      this.complain(/** @type {Error} */ (error).message);
    }
  }

  /**
   * Take a text from elsewhere, if it is a schedule.
   * @param {string} text
   */
  useText(text) {
    if (this.shown.source === "linked") return;
    try {
      this.edit(printSchedule(parseSchedule(text)));
    } catch (error) {
      this.complain(`not taken: ${/** @type {Error} */ (error).message}`);
    }
  }

  // -- pointer --------------------------------------------------------------------------------------------------------

  /** @param {PointerEvent} event */
  startDrag(event) {
    if (!this.editable || !this.picture.chart || this.drag || event.button !== 0) return;
    this.finishTyping();
    const { step, distance, below } = this.picture.nearest(event);
    const reach = REACH[/** @type {keyof REACH} */ (event.pointerType)];
    if (!(distance <= reach / Math.min(this.picture.scale, 1))) return;
    event.preventDefault();
    this.selected = step;
    const { values: before, ends } = this;
    if (!isFixed(before, step, ends)) {
      this.listener.mark(); // what was typed before is a step of its own
      this.parts.picture.setPointerCapture(event.pointerId);
      const listening = new AbortController();
      this.drag = { pointer: event.pointerId, offset: -below, before, ends, listening };
      this.picture.frozen = true;
      // Of the window: the picture may be taken off the page while a point is held.
      const options = { capture: true, signal: listening.signal };
      window.addEventListener("pointerup", (released) => this.endDrag(released), options);
      window.addEventListener("pointercancel", (cancelled) => this.cancelDrag(cancelled), options);
    }
    this.draw();
    this.picture.focus(step);
  }

  /** @param {PointerEvent} event */
  moveDrag(event) {
    if (!this.drag || event.pointerId !== this.drag.pointer) return;
    const sigma = this.picture.sigmaAt(this.picture.pointOf(event).y + this.drag.offset);
    const values = moveValue(this.values, this.selected, sigma, this.drag.ends);
    if (!values) return;
    this.values = values; // the text follows at the end, so that undo never comes back to half of a drag
    this.draw();
  }

  /** @param {PointerEvent} event */
  endDrag(event) {
    if (!this.drag || event.pointerId !== this.drag.pointer) return;
    const moved = this.values === this.drag.before ? null : this.values;
    this.forgetDrag();
    this.edit(moved);
    this.draw();
  }

  /** @param {PointerEvent} event */
  cancelDrag(event) {
    if (this.drag && event.pointerId === this.drag.pointer) this.takeBackDrag();
  }

  takeBackDrag() {
    this.forgetDrag();
    this.read();
    this.draw();
  }

  /** The drag is over, or something else came in its way: another text, or the end of the node. */
  forgetDrag() {
    this.drag?.listening.abort();
    this.drag = null;
    this.picture.frozen = false;
  }

  /** @param {MouseEvent} event */
  addAt(event) {
    const { chart } = this.picture;
    if (!this.editable || !chart || this.values.length > MAX_HANDLES) return;
    const { step, distance } = this.picture.nearest(event);
    const { x, y } = this.picture.pointOf(event);
    if (distance <= ON_POINT) this.addAfter(step);
    else this.addAfter(chart.stepAt(x - (chart.x(1) - chart.x(0)) / 2), this.picture.sigmaAt(y));
  }

  // -- keyboard -------------------------------------------------------------------------------------------------------

  /** @param {FocusEvent} event */
  focusHandle(event) {
    const step = /** @type {Element} */ (event.target).getAttribute("data-step");
    if (step !== null && Number(step) !== this.selected) this.select(Number(step));
  }

  /** @param {KeyboardEvent} event */
  pressKey(event) {
    const { key } = event;
    if (this.drag && key === "Escape") this.takeBackDrag();
    if (!this.editable || this.drag || event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === "ArrowLeft" || key === "ArrowRight") this.select(this.selected + (key === "ArrowRight" ? 1 : -1));
    else if (key in KEY_STEPS) this.nudge(KEY_STEPS[/** @type {keyof KEY_STEPS} */ (key)] * (event.shiftKey ? 0.1 : 1));
    else if (key === "Delete" || key === "Backspace") this.remove();
    else if (key === "Insert" || key === "+") this.addAfter(this.selected);
    else return;
    event.preventDefault();
    this.picture.focus(this.selected);
  }

  /** @param {number} step */
  select(step) {
    this.selected = Math.min(Math.max(step, 0), this.values.length - 1);
    this.complaint = "";
    this.draw();
  }

  /**
   * Move the selected value up or down.
   * @param {number} share of the height of the picture
   */
  nudge(share) {
    const { chart } = this.picture;
    if (!chart || isFixed(this.values, this.selected, this.ends)) return;
    const { y } = this.picture.points()[this.selected];
    const onAxis = chart.y(chart.valueAt(y), 1); // an infinite lambda is beside it
    this.edit(moveValue(this.values, this.selected, this.picture.sigmaAt(onAxis - share * chart.height), this.ends));
  }
}

/** @param {string} text of which another one may write the same values */
function valuesIn(text) {
  try {
    return printSchedule(parseSchedule(text));
  } catch {
    return text;
  }
}
