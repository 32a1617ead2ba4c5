// A text area with line numbers, for YAML. Tab moves to the next field, as everywhere:
// the page is usable without a mouse.

import { h } from "./dom.js";

// Editor is made once per view. Its element goes into the page.
export class Editor {
  // label names it to screen readers, changed is called after each input.
  constructor({ label, readOnly, changed }) {
    this.numbers = h("pre", { class: "numbers", "aria-hidden": "true" });
    this.area = h("textarea", {
      "aria-label": label, readonly: readOnly, spellcheck: "false", autocomplete: "off", autocapitalize: "off",
      wrap: "off", rows: 24,
      oninput: () => {
        this.number();
        changed();
      },
      onscroll: () => { this.numbers.scrollTop = this.area.scrollTop; },
    });
    this.element = h("div", { class: "editor" }, this.numbers, this.area);
  }

  get text() {
    return this.area.value;
  }

  set text(value) {
    if (this.area.value === value) return;
    const { selectionStart, selectionEnd, scrollTop, scrollLeft } = this.area;
    this.area.value = value;
    this.area.setSelectionRange(selectionStart, selectionEnd);
    this.area.scrollTop = scrollTop;
    this.area.scrollLeft = scrollLeft;
    this.number();
  }

  number() {
    const count = this.area.value.split("\n").length;
    if (count === this.count) return;
    this.count = count;
    this.numbers.textContent = Array.from({ length: count }, (_, i) => i + 1).join("\n");
    this.numbers.scrollTop = this.area.scrollTop;
  }
}
