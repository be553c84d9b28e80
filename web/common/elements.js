// Short ways to make HTML and SVG elements.

const SVG = "http://www.w3.org/2000/svg";

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, string | number | boolean>} [attributes] true: set and empty; false: not set
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function html(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, string | number | boolean>} [attributes]
 * @param {(Node | string)[]} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

/**
 * A small picture of lines for a button.
 * @param {string} path in a square of 16
 */
export function icon(path) {
  return svg("svg", { class: "hso-icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: path }));
}

/** @typedef {{ name: string, label: string, title: string }} Choice */

/**
 * A group of buttons of which one is pressed.
 * @param {string} label
 * @param {(name: string) => void} onChoose
 * @returns {{ element: HTMLElement, show: (options: Choice[], chosen: string) => void }}
 */
export function choiceButtons(label, onChoose) {
  const element = html("div", { class: "hso-choice", role: "group", "aria-label": label });
  return {
    element,
    show(options, chosen) {
      const buttons = [.../** @type {NodeListOf<HTMLButtonElement>} */ (element.querySelectorAll("button"))];
      if (buttons.map((button) => button.value).join() !== options.map((option) => option.name).join()) {
        element.replaceChildren(
          ...options.map(({ name, label: text, title }) => {
            const button = html("button", { type: "button", value: name, title }, text);
            button.addEventListener("click", () => onChoose(name));
            return button;
          }),
        );
      }
      for (const button of element.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(button.value === chosen));
      }
    },
  };
}

/**
 * @param {Element} element
 * @param {Record<string, string | number | boolean>} attributes
 */
function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
}
