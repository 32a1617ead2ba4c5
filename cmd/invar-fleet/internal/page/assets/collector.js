// One collector: who it is, what it was offered, what it runs.

import { h, show } from "./dom.js";
import * as api from "./api.js";
import { plural, since, at } from "./format.js";
import { ask, facts, failure, heading } from "./parts.js";
import { badges, pipelines, transport } from "./collectors.js";

const LIST = { href: "#/collectors", text: "Collectors" };

export function collectorView(context, id) {
  const path = api.pathOf("collectors", id);
  const title = h("span", {}, id);
  const state = h("span", { class: "state" });
  const body = h("div", {});
  return {
    title: id,
    element: h("div", {}, heading(title, LIST, state), body, context.mayAct() && forget(id, path)),
    async refresh() {
      let collector;
      try {
        collector = await api.get(path);
      } catch (error) {
        if (error.status !== 404) throw error;
        failure(body, error);
        return;
      }
      show(title, collector.name || id);
      show(state, badges(collector));
      show(body, overview(collector), effective(collector.effective), components(collector.components));
    },
  };
}

function overview(collector) {
  const attributes = Object.entries(collector.attributes || {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    collector.error && h("div", { class: "callout bad", key: "error" },
      h("strong", {}, "It reports:"), h("pre", { class: "wrap" }, collector.error)),
    collector.conflict && h("p", { class: "callout bad", key: "conflict" },
      "Two collectors report with this id. Give each an id of its own: remove the copied id file, or set the extension's id."),
    collector.healthy === false && h("p", { class: "callout bad", key: "health" }, h("strong", {}, "Unhealthy: "), collector.health),
    h("section", { key: "facts", "aria-label": "Overview" }, facts([
      ["ID", h("code", {}, collector.id)],
      ["Version", collector.version],
      ["Transport", transport(collector.transport)],
      ["Address", collector.address],
      ["Last seen", since(collector.last_seen)],
      ["First seen", at(collector.first_seen)],
      ["Health", collector.healthy === true ? collector.health || "healthy" : null],
      ["Pipelines", pipelines(collector.pipelines)],
      ["Configuration", configuration(collector)],
    ])),
    h("section", { key: "attributes", "aria-label": "Attributes" }, h("h2", {}, "Attributes"),
      attributes.length === 0
        ? h("p", { class: "faint" }, "None. Pipelines with matchers do not reach it.")
        : h("dl", { class: "attributes" }, attributes.map(([name, value]) =>
          h("div", { key: name }, h("dt", {}, name), h("dd", {}, value))))),
  ];
}

function configuration({ hash, offered_hash: offered, up_to_date: current }) {
  const short = (text) => (text ? h("code", { title: text }, text.slice(0, 12)) : h("span", { class: "faint" }, "none"));
  return current ? [short(hash), " up to date"] : ["has ", short(hash), ", is offered ", short(offered)];
}

function effective(configs) {
  const names = Object.keys(configs || {}).sort();
  return h("section", { key: "effective", "aria-label": "Effective configuration" }, h("h2", {}, "Effective configuration"),
    names.length === 0
      ? h("p", { class: "faint" }, "It has not reported one.")
      : names.map((name) => h("details", { key: name, open: names.length === 1 },
        h("summary", {}, name || "collector"), h("pre", { class: "yaml", tabindex: "0" }, configs[name]))));
}

function components(list) {
  if (!list || list.length === 0) return null;
  return h("section", { key: "components", "aria-label": "Components" }, h("h2", {}, "Components"),
    h("details", {}, h("summary", {}, plural(list.length, "component")), h("p", { class: "tags" }, list.map((name) => h("span", { class: "tag" }, name)))));
}

function forget(id, path) {
  return h("section", { class: "removal", "aria-label": "Forget" },
    h("button", { type: "button", class: "danger plain", onclick: async () => {
      const done = await ask({
        title: "Forget this collector?",
        body: h("p", {}, "What the server knows of it is removed. A collector that is still running comes back with its next poll."),
        confirm: "Forget",
        danger: true,
        action: () => api.remove(path),
      });
      if (done) location.hash = LIST.href;
    } }, "Forget this collector…"));
}
