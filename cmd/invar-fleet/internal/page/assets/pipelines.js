// The list of pipelines.

import { h, show } from "./dom.js";
import * as api from "./api.js";
import { badge, isTime, none, pipelineState, rolloutBar, rolloutText, since, tally, until } from "./format.js";
import { empty, heading, table } from "./parts.js";

const COLUMNS = ["Pipeline", "State", "Matchers", "Revision", "Rollout", "Collectors", "Last error"];

export function pipelinesView(context) {
  const list = h("div", { "aria-live": "off" });
  const create = context.mayAct() && h("a", { class: "button", href: "#/new-pipeline" }, "New pipeline");
  return {
    title: "Pipelines",
    element: h("div", {}, heading("Pipelines", null, create), list),
    async refresh() {
      const { pipelines } = await api.get("pipelines");
      if (pipelines.length === 0) {
        show(list, empty("There are no pipelines yet.",
          context.mayAct()
            ? "Make one with “New pipeline”, or put a YAML file into the server's --pipelines folder."
            : "Someone with the role admin can make one here, or put a YAML file into the server's --pipelines folder."));
        return;
      }
      show(list, table({ label: "Pipelines", columns: COLUMNS, kind: "pipelines", rows: pipelines.map(row) }));
    },
  };
}

function row(pipeline) {
  const rollout = pipeline.rollout || { state: "none" };
  return {
    key: pipeline.name,
    linked: true,
    cells: [
      h("a", { class: "row", href: `#/pipelines/${api.pathOf(pipeline.name)}` }, pipeline.name),
      stateCell(pipeline),
      matchersText(pipeline.matchers),
      revisionText(pipeline, rollout),
      rolloutCell(rollout),
      tally(pipeline.collectors),
      lastError(pipeline, rollout),
    ],
  };
}

export function stateCell(pipeline) {
  const [kind, text] = pipelineState(pipeline);
  const end = pipeline.active ? pipeline.active_until : pipeline.inactive_until;
  return [badge(kind, text), isTime(end) && h("div", { class: "faint" }, until(end))];
}

export function matchersText(matchers) {
  if (!matchers || matchers.length === 0) return h("span", { class: "faint" }, "all collectors");
  return matchers.map((matcher) => h("code", { class: "line" }, matcher));
}

function revisionText(pipeline, rollout) {
  const stable = pipeline.stable_revision || null;
  const moving = rollout.state === "running" || rollout.state === "paused";
  if (moving && rollout.revision !== stable) return `${stable || "none"} → ${rollout.revision}`;
  return stable || h("span", { class: "faint" }, "none");
}

function rolloutCell(rollout) {
  if (!["running", "paused", "halted"].includes(rollout.state)) {
    return rollout.state === "done" ? h("span", { class: "faint" }, "done ", isTime(rollout.since) && since(rollout.since)) : none();
  }
  return h("div", { class: "progress" }, rolloutBar(rollout), h("span", { class: "small" }, rolloutText(rollout)));
}

function lastError(pipeline, rollout) {
  const text = pipeline.error || rollout.reason;
  return text ? h("span", { class: "error clamp", title: text }, text) : none();
}
