// The two fields below the picture: the sigma of the selected step, and the number of steps to resample to.

import { say } from "../common/words.js";
import { boundsOf, setValue } from "../schedule/edits.js";
import { resample } from "../schedule/resample.js";
import { isNumber, plainDecimal, shortNumber, shortText } from "../schedule/text.js";
import { MAX_HANDLES } from "./editor_picture.js";

export class Fields {
  /** @param {import("./editor_view.js").EditorView} view */
  constructor(view) {
    this.view = view;
    const { value, steps } = view.parts;
    value.addEventListener("change", () => this.typeValue());
    steps.addEventListener("change", () => {
      this.resampleTo(Number(steps.value));
      this.showSteps();
    });
    for (const field of [value, steps]) field.addEventListener("blur", () => this.update());
  }

  /** Show the values as they are now; what is being typed stays, whatever else draws the editor anew. */
  update() {
    const { value, steps } = this.view.parts;
    if (document.activeElement !== value) this.showValue();
    if (document.activeElement !== steps) this.showSteps();
  }

  showValue() {
    const { values, selected, parts } = this.view;
    parts.value.value = values.length ? plainDecimal(values[selected]) : "";
  }

  showSteps() {
    const { values, parts } = this.view;
    parts.steps.value = values.length ? String(values.length - 1) : "";
  }

  typeValue() {
    const { view } = this;
    const { value } = view.parts;
    const text = value.value.trim();
    const values = isNumber(text) ? setValue(view.values, view.selected, Number(text), view.ends) : null;
    view.edit(values);
    if (!values) view.complain(this.describeFault(text));
    this.showValue();
  }

  /** @param {string} text that is not taken for the selected step */
  describeFault(text) {
    const { values, selected, ends } = this.view;
    if (/^\d*,\d+$/.test(text)) return say("fieldComma", { right: text.replace(",", "."), text });
    if (text && !isNumber(text)) return say("fieldWord", { text: shortText(text) });
    const { low, high } = boundsOf(values, selected, ends);
    return say("fieldRange", { step: selected, low: shortNumber(low), high: shortNumber(high) });
  }

  /** @param {number} steps */
  resampleTo(steps) {
    const { view } = this;
    if (!Number.isInteger(steps) || steps < 1 || steps > MAX_HANDLES) {
      view.complain(say("resampleRange", { most: MAX_HANDLES }));
      return;
    }
    const values = resample(view.values, steps, view.shown.resampling);
    view.edit(values);
    if (values) view.updateTools();
    else view.complain(say("resampleOne", { steps }));
  }

  /** What is in a field is for the step that is selected now, and for the values as they are now. */
  finish() {
    const { value, steps } = this.view.parts;
    for (const field of [value, steps]) field.blur(); // calls what listens to its change
  }
}
