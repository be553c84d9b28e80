// Mouse, pen and finger on the picture. While a point is held the picture is ahead of the text.

import { isFixed, moveValue } from "../schedule/edits.js";
import { MAX_HANDLES } from "./editor_picture.js";

/**
 * @typedef {object} Drag
 * @property {number} pointer
 * @property {number} offset pixels from the pointer down to the point
 * @property {number[]} before the values
 * @property {import("../schedule/edits.js").Ends} ends as they were; they may follow from the values
 * @property {AbortController} listening
 */

const REACH = { mouse: 14, touch: 26, pen: 18 }; // pixels from a point that still mean it; also zoomed out on the page
const ON_POINT = 9; // pixels; the circle that shows when the pointer is on it

export class Pointer {
  /** @param {import("./editor_view.js").EditorView} view */
  constructor(view) {
    this.view = view;
    /** @type {Drag | null} */
    this.drag = null;
    const { picture } = view.parts;
    picture.addEventListener("pointerdown", (event) => this.press(event));
    picture.addEventListener("pointermove", (event) => this.move(event));
    picture.addEventListener("dblclick", (event) => this.addAt(event));
  }

  /** @param {PointerEvent} event */
  press(event) {
    const { view } = this;
    if (!view.editable || !view.picture.chart || this.drag || event.button !== 0) return;
    view.finishTyping();
    const { step, distance, below } = view.picture.nearest(event);
    const reach = REACH[/** @type {keyof REACH} */ (event.pointerType)];
    if (!(distance <= reach / Math.min(view.picture.scale, 1))) return;
    event.preventDefault();
    view.selected = step;
    const { values: before, ends } = view;
    if (!isFixed(before, step, ends)) {
      view.listener.history.mark(); // what was typed before is a step of its own
      view.parts.picture.setPointerCapture(event.pointerId);
      const listening = new AbortController();
      this.drag = { pointer: event.pointerId, offset: -below, before, ends, listening };
      view.picture.frozen = true;
      // Of the window: the picture may be taken off the page while a point is held.
      const options = { capture: true, signal: listening.signal };
      window.addEventListener("pointerup", (released) => this.release(released), options);
      window.addEventListener("pointercancel", (cancelled) => this.cancel(cancelled), options);
    }
    view.draw();
    view.picture.focus(step);
  }

  /** @param {PointerEvent} event */
  move(event) {
    const { view } = this;
    if (!this.drag || event.pointerId !== this.drag.pointer) return;
    const sigma = view.picture.sigmaAt(view.picture.pointOf(event).y + this.drag.offset);
    const values = moveValue(view.values, view.selected, sigma, this.drag.ends);
    if (!values) return;
    view.values = values; // the text follows at the end, so that undo never comes back to half of a drag
    view.draw();
  }

  /** @param {PointerEvent} event */
  release(event) {
    const { view } = this;
    if (!this.drag || event.pointerId !== this.drag.pointer) return;
    const moved = view.values === this.drag.before ? null : view.values;
    this.forget();
    view.edit(moved);
    view.draw();
  }

  /** @param {PointerEvent} event */
  cancel(event) {
    if (this.drag && event.pointerId === this.drag.pointer) this.takeBack();
  }

  takeBack() {
    this.forget();
    this.view.read();
    this.view.draw();
  }

  /** The drag is over, or something else came in its way: another text, or the end of the node. */
  forget() {
    this.drag?.listening.abort();
    this.drag = null;
    this.view.picture.frozen = false;
  }

  /** @param {MouseEvent} event */
  addAt(event) {
    const { view } = this;
    const { chart } = view.picture;
    if (!view.editable || !chart || view.values.length > MAX_HANDLES) return;
    const { step, distance } = view.picture.nearest(event);
    const { x, y } = view.picture.pointOf(event);
    if (distance <= ON_POINT) view.addAfter(step);
    else view.addAfter(chart.stepAt(x - (chart.x(1) - chart.x(0)) / 2), view.picture.sigmaAt(y));
  }
}
