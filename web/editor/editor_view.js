// The editor of a schedule. It holds no value of its own: it shows a text, and reports every change as a new text. What
// the pointer, the keys, the fields and schedules from elsewhere do to it is in the files beside this one.

import { say, sayError } from "../common/words.js";
import { addStep, isFixed, removeStep } from "../schedule/edits.js";
import { QUANTITIES } from "../schedule/quantities.js";
import { resample } from "../schedule/resample.js";
import { LARGEST, LEAST, isBlank, parseSchedule, printSchedule, shortNumber } from "../schedule/text.js";
import { buildParts } from "./editor_parts.js";
import { EditorPicture, MAX_HANDLES } from "./editor_picture.js";
import { Fields } from "./fields.js";
import { Incoming } from "./incoming.js";
import { Keyboard } from "./keyboard.js";
import { Pointer } from "./pointer.js";

/** @typedef {import("../plot/plot_data.js").Plot} Plot */

/**
 * @typedef {object} Shown
 * @property {string} text the schedule
 * @property {"text" | "sigmas" | "linked" | "nothing"} source of the schedule that runs: the text, the connected
 *   sigmas, a text from another node, nothing
 * @property {Plot | null} plot the last result
 * @property {boolean} isOld whether that is of values that the workflow no longer has
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
 * @property {import("../common/host_history.js").History} history
 * @property {() => string} opened the text that Reset comes back to: as it was opened, or before the first edit
 * @property {(text: string, anew?: boolean) => void} note that this is the one, if there is none or it is to be another
 * @property {(settings: Settings) => void} settings
 */

const AXES = ["sigma", "linear", "lambda"];
const EXAMPLE = "11.54, 4.71, 1.96, 0.81, 0.17, 0";
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
    this.shown = { text: "", source: "nothing", plot: null, isOld: false, steps: 0, resampling: "log-linear" };
    /** @type {number[]} */
    this.values = [];
    this.editable = false;
    this.selected = 0;
    this.complaint = "";
    this.parts = buildParts(MAX_HANDLES, (axis) => this.changeSettings({ axis }));
    this.picture = new EditorPicture(this.parts);
    this.element = this.parts.element;
    this.pointer = new Pointer(this);
    this.keyboard = new Keyboard(this);
    this.fields = new Fields(this);
    this.incoming = new Incoming(this);
    this.listen();
  }

  listen() {
    const { area, buttons, take } = this.parts;
    new ResizeObserver(() => this.draw()).observe(area);
    buttons.undo.addEventListener("click", () => this.listener.history.undo());
    buttons.redo.addEventListener("click", () => this.listener.history.redo());
    buttons.add.addEventListener("click", () => this.addAfter(this.selected));
    buttons.remove.addEventListener("click", () => this.remove());
    buttons.lock.addEventListener("click", () => this.changeSettings({ locked: !this.settings.locked }));
    buttons.reset.addEventListener("click", () => this.edit(this.listener.opened()));
    take.addEventListener("click", () => this.take());
  }

  // -- what is shown --------------------------------------------------------------------------------------------------

  /**
   * Show what the node has now.
   * @param {Shown} shown
   */
  show(shown) {
    if (shown.text !== this.shown.text) {
      this.complaint = "";
      this.pointer.forget();
      this.listener.note("");
    }
    this.shown = shown;
    this.read();
    this.draw();
  }

  /**
   * The node has been made with this text.
   * @param {string} text
   */
  open(text) {
    this.shown = { ...this.shown, text };
  }

  /** Find the values to draw, and say what is wrong or missing. */
  read() {
    const { text, source, isOld } = this.shown;
    this.editable = false;
    this.values = [];
    if (source === "text") this.readText(text);
    else if (source === "nothing") this.tell(say("nothing"), say("example"));
    else if (source === "linked" && this.takeResult("text")) this.tell(say(isOld ? "fromOldText" : "fromText"));
    else if (source === "linked") this.tell(`${say("fromText")} ${say("runForValues")}`);
    else if (!this.takeResult("connected")) this.tell(`${say("fromSigmas")} ${say("runForSigmas")}`);
    else this.tell(say(isOld ? "fromOldSigmas" : "fromSigmas"), say("takeOver"));
    this.selected = Math.min(this.selected, Math.max(this.values.length - 1, 0));
  }

  /** @param {string} text */
  readText(text) {
    try {
      this.values = parseSchedule(text);
    } catch (error) {
      this.tell(sayError(error));
      this.parts.banner.classList.add("hso-wrong");
      return;
    }
    this.editable = this.values.length <= MAX_HANDLES + 1;
    this.tell("");
  }

  /**
   * Show the last result.
   * @param {string} name of the schedule that is meant
   * @returns {boolean} whether there is one
   */
  takeResult(name) {
    const curve = this.shown.plot?.schedules[0];
    if (curve?.name !== name) return false;
    this.values = curve.sigmas.map(Math.fround);
    return true;
  }

  /**
   * @param {string} message
   * @param {string} [action] what the button beside it does
   */
  tell(message, action = "") {
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
      axes.map((name) => ({ name, label: QUANTITIES[name].label, title: say(QUANTITIES[name].title) })),
      axis,
    );
    const { values, ghost, editable, selected, family, ends } = this;
    this.updateTools();
    const isResult = ["sigmas", "linked"].includes(this.shown.source);
    this.element.classList.toggle("hso-old", isResult && this.shown.isOld);
    this.picture.draw({ values, ghost, editable, selected, axis, family, ends });
  }

  updateTools() {
    const { editable, selected, values, shown, ends, parts, listener } = this;
    const { buttons, value } = parts;
    const fixed = !editable || isFixed(values, selected, ends);
    const isLinked = shown.source === "linked";
    buttons.undo.disabled = !listener.history.canUndo;
    buttons.redo.disabled = !listener.history.canRedo;
    buttons.reset.disabled = [shown.text, ""].includes(listener.opened()) || isLinked;
    buttons.add.disabled = !editable || values.length > MAX_HANDLES;
    buttons.remove.disabled = fixed || values.length <= 2;
    buttons.paste.disabled = isLinked;
    buttons.lock.setAttribute("aria-pressed", String(this.settings.locked));
    parts.steps.disabled = !editable;
    parts.foot.hidden = !values.length;
    parts.valueLabel.textContent = `${say("step", { step: selected })}  σ`;
    value.disabled = fixed;
    value.setAttribute("aria-label", say("sigmaOfStep", { step: selected }));
    this.fields.update();
    parts.about.textContent = this.complaint || this.describe();
    parts.about.hidden = !parts.about.textContent;
  }

  /** What is worth a word about the schedule. */
  describe() {
    const { values, shown } = this;
    if (!values.length) return "";
    const parts = [];
    if (this.resampled) parts.push(say(this.ghost ? "runsAsDashed" : "runsAs", { steps: shown.steps }));
    if (!this.editable && shown.source === "text") parts.push(say("editText", { most: MAX_HANDLES }));
    const last = values[values.length - 1];
    if (last > 0) parts.push(say("endsAbove", { sigma: shortNumber(last) }));
    const high = shown.plot?.sigma_max;
    if (high && values[0] > high * SLACK) parts.push(say("startsAbove", { sigma: shortNumber(high) }));
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
   */
  edit(wanted) {
    if (wanted === null) return;
    const text = typeof wanted === "string" ? wanted : printSchedule(wanted);
    if (text === this.shown.text) return;
    this.pointer.forget();
    this.listener.note(this.editable ? this.shown.text : "");
    this.complaint = "";
    this.shown = { ...this.shown, text, source: isBlank(text) ? this.shown.source : "text" };
    this.read();
    this.listener.change(text); // which shows what the node has then
    this.listener.history.mark();
    this.draw();
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

  /** @param {number} step */
  select(step) {
    this.selected = Math.min(Math.max(step, 0), this.values.length - 1);
    this.complaint = "";
    this.draw();
  }

  /** @param {Partial<Settings>} settings */
  changeSettings(settings) {
    this.settings = { ...this.settings, ...settings };
    this.listener.settings(this.settings);
    this.listener.history.mark();
    this.draw();
  }

  /** Take over the connected sigmas, or an example where there is nothing. */
  take() {
    const text = this.values.length ? printSchedule(this.values) : EXAMPLE;
    this.listener.note(text, true);
    this.edit(text);
  }

  finishTyping() {
    this.complaint = "";
    this.fields.finish();
  }
}
