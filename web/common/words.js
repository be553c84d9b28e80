// Our words in the language of the page. ComfyUI serves the locales/ folders of all packs together; its page takes the
// nodes' names from there, and lets no extension ask it for others.

import { app } from "../../../scripts/app.js";
import { ENGLISH, fill } from "./english.js";

/** @typedef {import("./english.js").Word} Word */
/** @typedef {import("./english.js").Values} Values */

/** @type {Record<string, any>} by language: { hso, nodeDefs } and what other packs have */
let languages = {};

/**
 * @param {Word} word
 * @param {Values} [values] what is filled in
 */
export function say(word, values) {
  const language = /** @type {any} */ (app).extensionManager?.setting?.get("Comfy.Locale");
  return fill(languages[language]?.hso?.[word] ?? ENGLISH[word], values);
}

/**
 * What a node calls a curve or a fact, where that is a word of ours; else as it is: a scheduler's name, a user's own.
 * @param {string} name
 */
export function sayName(name) {
  const word = `name_${name.replaceAll(" ", "_")}`;
  return word in ENGLISH ? say(/** @type {Word} */ (word)) : name;
}

/**
 * What is wrong, in words.
 * @param {unknown} error
 */
export function sayError(error) {
  const { sentences, message } = /** @type {any} */ (error);
  return sentences?.map((/** @type {[Word, Values?]} */ sentence) => say(...sentence)).join(" ") ?? String(message);
}

async function load() {
  try {
    const answer = await /** @type {any} */ (app).api.fetchApi("/i18n");
    if (answer.ok) languages = await answer.json();
  } catch {
    // English stays: a word is not worth a page that does not open.
  }
}

app.registerExtension({
  name: "hso.words",
  init: load, // before there are nodes
});
