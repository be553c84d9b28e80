// Schedules from elsewhere: pasted, or dropped as a file.

import { say, sayError } from "../common/words.js";
import { parseSchedule, printSchedule } from "../schedule/text.js";
import { readScheduleFile } from "./schedule_file.js";

export class Incoming {
  /** @param {import("./editor_view.js").EditorView} view */
  constructor(view) {
    this.view = view;
    const { buttons, element } = view.parts;
    buttons.paste.addEventListener("click", () => this.paste());
    buttons.paste.hidden = !navigator.clipboard?.readText; // only on https and on this machine
    element.addEventListener("paste", (event) => this.receivePaste(event));
    element.addEventListener("dragover", (event) => this.allowDrop(event));
    element.addEventListener("drop", (event) => this.receiveDrop(event));
  }

  async paste() {
    try {
      this.useText(await navigator.clipboard.readText());
    } catch {
      this.view.complain(say("clipboard"));
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
      this.view.complain(sayError(error));
    }
  }

  /**
   * Take a text from elsewhere, if it is a schedule.
   * @param {string} text
   */
  useText(text) {
    if (this.view.shown.source === "linked") return;
    try {
      this.view.edit(printSchedule(parseSchedule(text)));
    } catch (error) {
      this.view.complain(say("notTaken", { reason: sayError(error) }));
    }
  }
}
