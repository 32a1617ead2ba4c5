// The list of collectors, a page of it at a time.

import { h, show } from "./dom.js";
import * as api from "./api.js";
import { badge, none, plural, since, statusBadge } from "./format.js";
import { empty, failure, heading, table } from "./parts.js";

const COLUMNS = ["Collector", "Status", "Version", "Last seen", "Transport", "Pipelines", "Error"];
const PAGE = 100;
const TYPING = 300; // ms after the last key until the filter is applied
const STATUSES = [
  ["", "any status"], ["APPLIED", "applied"], ["APPLYING", "applying"], ["pending", "pending"], ["FAILED", "failed"],
  ["UNSET", "no report"], ["online", "online"], ["offline", "offline"], ["conflict", "ID in use twice"],
];

// A matcher as in Prometheus, quotes optional: env=prod, collector.os=~"linux|darwin".
const MATCHER = /([\p{L}\p{N}_.\-/]+)\s*(=~|!~|!=|=)\s*("(?:\\.|[^"\\])*"|[^\s,"]+)/gu;

// parseFilter parses what was typed: matchers for attributes, and words that a
// collector's name or id contains. All have to match.
export function parseFilter(text) {
  const matches = [];
  const words = text.replace(MATCHER, (_, name, operator, value) => {
    matches.push(name + operator + (value.startsWith('"') ? value : JSON.stringify(value)));
    return " ";
  });
  return [...matches, ...words.split(/[\s,]+/).filter((word) => word !== "")];
}

export function collectorsView(context, query) {
  const list = h("div", {});
  const pager = h("div", { class: "pager" });
  let start = [""]; // the start of each page up to this one
  let timer = 0;
  const filter = h("input", {
    id: "filter", type: "search", placeholder: "name, id, or env=prod", autocomplete: "off", spellcheck: "false",
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(changed, TYPING);
    },
  });
  filter.value = query.get("filter") || "";
  const status = h("select", { id: "status", onchange: () => changed() },
    STATUSES.map(([value, name]) => h("option", { value }, name)));
  status.value = STATUSES.some(([value]) => value === query.get("status")) ? query.get("status") : "";

  // changed updates the address, so that it can be shared. It adds no entry to the
  // browser's history for each letter.
  function changed() {
    const search = new URLSearchParams();
    if (filter.value.trim()) search.set("filter", filter.value.trim());
    if (status.value) search.set("status", status.value);
    const text = search.toString();
    history.replaceState(null, "", text ? `#/collectors?${text}` : "#/collectors");
    start = [""];
    context.refresh();
  }

  function turn(starts) {
    start = starts;
    context.refresh();
    document.querySelector("h1")?.scrollIntoView();
  }

  function draw({ collectors, total, next }) {
    if (collectors.length === 0 && start.length === 1) {
      const filtered = filter.value.trim() || status.value;
      show(list, filtered
        ? empty("No collector matches.", "Loosen the filter. Attributes are written like env=prod, region=~\"eu-.*\" or os!=windows.")
        : empty("No collector has connected yet.", "Configure the remote_config extension of one with this server's address and a token with the role collector; it shows up with its first poll."));
    } else {
      show(list, table({ label: "Collectors", columns: COLUMNS, kind: "collectors", rows: collectors.map(row) }));
    }
    show(pager,
      h("span", { class: "faint", role: "status" }, total === undefined ? "" : plural(total, "collector"),
        (next || start.length > 1) && `, page ${start.length}`),
      start.length > 1 && h("button", { key: "previous", type: "button", onclick: () => turn(start.slice(0, -1)) }, "Previous"),
      next && h("button", { key: "next", type: "button", onclick: () => turn([...start, next]) }, "Next"));
  }

  return {
    title: "Collectors",
    element: h("div", {}, heading("Collectors", null,
      h("form", { class: "filters", role: "search", onsubmit: (event) => {
        event.preventDefault();
        clearTimeout(timer);
        changed();
      } },
      h("label", { for: "filter", class: "hidden" }, "Filter by name, id or attribute"), filter,
      h("label", { for: "status", class: "hidden" }, "Status"), status)), list, pager),
    async refresh() {
      const asked = { match: parseFilter(filter.value), status: status.value, limit: PAGE, after: start.at(-1) };
      try {
        draw(await api.get("collectors", asked));
      } catch (error) {
        if (error.status !== 400) throw error;
        failure(list, error);
        show(pager);
      }
    },
  };
}

function row(collector) {
  const named = collector.name && collector.name !== collector.id;
  return {
    key: collector.id,
    linked: true,
    cells: [
      [h("a", { class: "row", href: `#/collectors/${api.pathOf(collector.id)}` }, collector.name || collector.id),
        named && h("div", { class: "faint small id", title: collector.id }, collector.id)],
      badges(collector),
      collector.version || none(),
      since(collector.last_seen),
      transport(collector.transport),
      pipelines(collector.pipelines),
      collector.error ? h("span", { class: "error clamp", title: collector.error }, collector.error) : none(),
    ],
  };
}

export function badges(collector) {
  return h("span", { class: "tally" },
    statusBadge(collector),
    !collector.online && badge("idle", "Offline"),
    collector.healthy === false && badge("bad", "Unhealthy", collector.health),
    collector.conflict && badge("bad", "ID in use twice", "two collectors report with this id"));
}

export function transport(name) {
  return { connect: "Connect", opamp: "OpAMP" }[name] || name;
}

export function pipelines(list) {
  if (!list || list.length === 0) return h("span", { class: "faint" }, "none");
  return h("span", { class: "tags" }, list.map(({ name, revision }) =>
    h("a", { class: "tag", href: `#/pipelines/${api.pathOf(name)}` }, name, h("span", { class: "faint" }, ` r${revision}`))));
}
