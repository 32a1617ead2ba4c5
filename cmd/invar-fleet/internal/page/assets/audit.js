// Who did what.

import { h, show } from "./dom.js";
import * as api from "./api.js";
import { at } from "./format.js";
import { empty, heading, table } from "./parts.js";

const COLUMNS = ["Time", "By", "Action", "Object", "Details"];
const STEP = 200;

export function auditView(context) {
  const list = h("div", {});
  const pager = h("div", { class: "pager" });
  let limit = STEP;
  return {
    title: "Audit",
    element: h("div", {}, heading("Audit"), list, pager),
    async refresh() {
      const { entries } = await api.get("audit", { limit });
      if (entries.length === 0) {
        show(list, empty("Nothing has been done yet.", "Publishing, pausing, rolling back and switching pipelines on or off is written down here."));
        return;
      }
      show(list, table({ label: "Audit", columns: COLUMNS, kind: "audit", rows: entries.map((entry) => ({
        cells: [at(entry.time), entry.actor, entry.action, entry.object, h("span", { class: "details" }, entry.details)],
      })) }));
      show(pager, entries.length >= limit && h("button", { type: "button", onclick: () => {
        limit += STEP;
        context.refresh();
      } }, "Show older"));
    },
  };
}
