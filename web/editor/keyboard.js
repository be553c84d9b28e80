// The keyboard on the points of the picture.

import { isFixed, moveValue } from "../schedule/edits.js";

const KEY_STEPS = { ArrowUp: 0.01, ArrowDown: -0.01, PageUp: 0.1, PageDown: -0.1, Home: 2, End: -2 }; // of the height

export class Keyboard {
  /** @param {import("./editor_view.js").EditorView} view */
  constructor(view) {
    this.view = view;
    view.parts.picture.addEventListener("keydown", (event) => this.press(event));
    view.parts.area.addEventListener("focusin", (event) => this.focus(event)); // on an svg it would make it a tab stop
  }

  /** @param {FocusEvent} event */
  focus(event) {
    const step = /** @type {Element} */ (event.target).getAttribute("data-step");
    if (step !== null && Number(step) !== this.view.selected) this.view.select(Number(step));
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const { view } = this;
    const { key } = event;
    if (view.pointer.drag && key === "Escape") view.pointer.takeBack();
    if (!view.editable || view.pointer.drag || event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === "ArrowLeft" || key === "ArrowRight") view.select(view.selected + (key === "ArrowRight" ? 1 : -1));
    else if (key in KEY_STEPS) this.nudge(KEY_STEPS[/** @type {keyof KEY_STEPS} */ (key)] * (event.shiftKey ? 0.1 : 1));
    else if (key === "Delete" || key === "Backspace") view.remove();
    else if (key === "Insert" || key === "+") view.addAfter(view.selected);
    else return;
    event.preventDefault();
    view.picture.focus(view.selected);
  }

  /**
   * Move the selected value up or down.
   * @param {number} share of the height of the picture
   */
  nudge(share) {
    const { values, selected, ends, picture } = this.view;
    const { chart } = picture;
    if (!chart || isFixed(values, selected, ends)) return;
    const { y } = picture.points()[selected];
    const onAxis = chart.y(chart.valueAt(y), 1); // an infinite lambda is beside it
    this.view.edit(moveValue(values, selected, picture.sigmaAt(onAxis - share * chart.height), ends));
  }
}
