// The elements of the editor: buttons, picture, fields. What they do is in the files beside this one.

import { choiceButtons, html, icon, svg } from "../common/elements.js";
import { say } from "../common/words.js";

const ICONS = {
  undo: "M6 3 3 6l3 3M3 6h6.5a3.5 3.5 0 0 1 0 7H6",
  redo: "m10 3 3 3-3 3M13 6H6.5a3.5 3.5 0 0 0 0 7H10",
  add: "M8 3v10M3 8h10",
  remove: "M3 8h10",
  paste: "M5.5 3.5H4v10h8v-10h-1.5M6 2.5h4v2H6z",
  lock: "M4.5 7.5h7v5.5h-7zM6 7.5V5.5a2 2 0 0 1 4 0v2",
  reset: "M3.5 3v10M13 8H6.5M9 5 6 8l3 3",
};

/** @typedef {keyof typeof ICONS} Command */

/** @typedef {ReturnType<typeof buildParts>} Parts */

/**
 * @param {number} maxSteps
 * @param {(axis: string) => void} onAxis
 */
export function buildParts(maxSteps, onAxis) {
  const buttons = {
    undo: button("undo"),
    redo: button("redo"),
    add: button("add"),
    remove: button("remove"),
    paste: button("paste"),
    lock: button("lock"),
    reset: button("reset"),
  };
  for (const first of [buttons.add, buttons.paste, buttons.reset]) first.classList.add("hso-apart");
  const tools = html("div", { class: "hso-tools", role: "toolbar", "aria-label": say("tools") });
  tools.append(...Object.values(buttons));
  const axis = choiceButtons(say("axis"), onAxis);
  const bar = html("div", { class: "hso-bar" }, tools, axis.element);

  const message = html("p", { class: "hso-message", role: "status" });
  const take = html("button", { type: "button", class: "hso-take", "data-testid": "hso-take" });
  const banner = html("div", { class: "hso-banner" }, message, take);

  const picture = svg("svg", { class: "hso-picture hso-editing", "data-testid": "hso-editor", role: "group" });
  const tip = html("div", { class: "hso-tip", hidden: true });
  const area = html("div", { class: "hso-area" }, picture, tip);

  const valueLabel = html("span", {});
  const value = html("input", { type: "text", inputmode: "decimal", spellcheck: "false", "data-testid": "hso-value" });
  const steps = html("input", { type: "number", min: 1, max: maxSteps, "data-testid": "hso-steps" });
  const stepsLabel = html("label", { title: say("resampleTitle") }, html("span", {}, say("resampleTo")), steps);
  const foot = html("div", { class: "hso-foot" }, html("label", {}, valueLabel, value), stepsLabel);
  const about = html("p", { class: "hso-about", role: "status" });

  const element = html("div", { class: "hso-view" }, bar, banner, area, foot, about);
  return { element, buttons, axis, banner, message, take, area, picture, tip, foot, valueLabel, value, steps, about };
}

/** @param {Command} name */
function button(name) {
  const title = say(name);
  const attributes = { type: "button", class: "hso-button", title, "aria-label": title, "data-testid": `hso-${name}` };
  return html("button", attributes, icon(ICONS[name]));
}
