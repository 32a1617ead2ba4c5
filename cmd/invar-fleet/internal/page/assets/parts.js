// Parts that several views are made of.

import { h, show } from "./dom.js";

// table makes a table. Columns are names; rows are {key, cells, link}. On narrow
// screens each row becomes a block in which cells carry their column's name,
// which takes the elements' own table roles away: so they are given.
export function table({ label, columns, rows, kind }) {
  return h("table", { class: `list ${kind || ""}`, role: "table", "aria-label": label },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
      columns.map((name) => h("th", { role: "columnheader", scope: "col" }, name)))),
    h("tbody", { role: "rowgroup" }, rows.map((row) =>
      h("tr", { role: "row", key: row.key, class: row.linked ? "linked" : null }, row.cells.map((cell, i) =>
        h("td", { role: i === 0 ? "rowheader" : "cell", "data-column": columns[i] },
          h("div", {}, cell)))))));
}

// empty is shown where there would be a list: what is missing, and what to do.
export function empty(title, ...advice) {
  return h("div", { class: "empty" }, h("p", { class: "title" }, title), advice.map((line) => h("p", {}, line)));
}

// facts lists names and values; pairs with an empty value are left out.
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs
    .filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false)
    .map(([name, value]) => h("div", { key: name }, h("dt", {}, name), h("dd", {}, value))));
}

// Outcome shows beside an action what became of it.
export class Outcome {
  constructor() {
    this.element = h("p", { class: "outcome", role: "status" });
  }

  // of does the action and returns whether it went well. While it runs, the
  // button cannot be pressed again.
  async of(button, action, success) {
    button.disabled = true;
    this.say("", "");
    try {
      await action();
      this.say("good", success);
      return true;
    } catch (error) {
      this.say("bad", error.message);
      return false;
    } finally {
      button.disabled = false;
    }
  }

  say(kind, text) {
    this.element.className = `outcome ${kind}`;
    this.element.textContent = text;
  }
}

// ask opens a dialog and does the action when it is confirmed. The dialog stays
// open with the reason if the action fails. It resolves to whether it was done.
// Without an action it only shows.
export function ask({ title, body, confirm, danger, action }) {
  return new Promise((resolve) => {
    const outcome = new Outcome();
    let done = false;
    const submit = action && h("button", { type: "submit", class: danger ? "danger" : "primary" }, confirm);
    const close = h("button", { type: "button", onclick: () => dialog.close() }, action ? "Cancel" : "Close");
    const dialog = h("dialog", { "aria-labelledby": "dialog-title", onclose: () => {
      dialog.remove();
      resolve(done);
    } },
    h("form", { method: "dialog", onsubmit: async (event) => {
      event.preventDefault();
      if (!action) return;
      done = await outcome.of(submit, action, "");
      if (done) dialog.close();
    } },
    h("h2", { id: "dialog-title" }, title),
    h("div", { class: "body" }, body),
    outcome.element,
    h("div", { class: "buttons" }, close, submit)));
    document.body.append(dialog);
    dialog.showModal();
    (submit && !danger ? submit : close).focus();
  });
}

// Heading is a view's title, with the way back to the list it belongs to.
export function heading(title, back, ...beside) {
  return h("div", { class: "heading" },
    back && h("nav", { class: "back", "aria-label": "Breadcrumb" }, h("a", { href: back.href }, back.text)),
    h("h1", { tabindex: "-1" }, title), beside);
}

// failure shows in a view that its data could not be had.
export function failure(container, error) {
  show(container, h("p", { class: "callout bad", role: "alert" }, error.message));
}
