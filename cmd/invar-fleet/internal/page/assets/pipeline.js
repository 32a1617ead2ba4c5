// One pipeline: what it is doing, its rollout, switching it on and off, its
// content and its earlier revisions.

import { h, show } from "./dom.js";
import * as api from "./api.js";
import { isTime, lasting, plural, rolloutBar, rolloutText, tally, until } from "./format.js";
import { Outcome, ask, facts, failure, heading } from "./parts.js";
import { matchersText, stateCell } from "./pipelines.js";
import { Content } from "./content.js";
import { Revisions } from "./revisions.js";

const LIST = { href: "#/pipelines", text: "Pipelines" };
const DURATIONS = [["15m", "15 minutes"], ["1h", "1 hour"], ["4h", "4 hours"]];

const TEMPLATE = `# Which collectors get it; none means all.
matchers:
  - env="dev"
enabled: true
rollout:
  stages: [5, 25, 100] # percent of the matching collectors
  wait: 10m
  max_failed: 0
config:
  receivers:
    host_metrics:
      scrapers: {cpu: , memory: }
  exporters:
    otlp_http:
      endpoint: https://otlp.example.org
  service:
    pipelines:
      metrics: {receivers: [host_metrics], exporters: [otlp_http]}
`;

export function pipelineView(context, name) {
  const path = api.pathOf("pipelines", name);
  const act = (verb, body) => async () => {
    await api.post(`${path}/${verb}`, body);
    context.refresh();
  };
  const state = h("span", { class: "state" });
  const summary = h("div", {});
  const rollout = new Rollout(context, act);
  const activation = new Activation(context, act);
  const content = new Content(context, name);
  const revisions = new Revisions(context, path, act);
  const sections = h("div", {}, summary, rollout.element, activation.element, content.element, revisions.element);
  const missing = h("div", {});
  return {
    title: name,
    element: h("div", {}, heading(name, LIST, state), missing, sections, context.mayAct() && removal(name, path)),
    async refresh() {
      let pipeline;
      try {
        pipeline = await api.get(path);
      } catch (error) {
        if (error.status !== 404) throw error;
        sections.hidden = true;
        failure(missing, error);
        return;
      }
      sections.hidden = false;
      show(missing);
      show(state, stateCell(pipeline));
      show(summary, overview(pipeline));
      rollout.update(pipeline);
      activation.update(pipeline);
      content.update(pipeline);
      await revisions.update(pipeline);
    },
  };
}

function overview(pipeline) {
  const counts = pipeline.collectors;
  const filter = new URLSearchParams({ filter: (pipeline.matchers || []).join(" ") });
  return [
    pipeline.error && h("p", { class: "callout bad", key: "error" },
      h("strong", {}, "The file is not in force: "), pipeline.error,
      pipeline.stable_revision ? ` Revision ${pipeline.stable_revision} stays in force.` : ""),
    facts([
      ["Matchers", matchersText(pipeline.matchers)],
      ["Collectors", [h("a", { href: `#/collectors?${filter}` }, plural(counts.matching, "collector")), " ", counts.matching > 0 && tally(counts)]],
      ["Stable revision", pipeline.stable_revision || "none"],
      ["Stands in for", (pipeline.replaces || []).map((name) =>
        h("a", { href: `#/pipelines/${api.pathOf(name)}` }, name)).flatMap((link, i) => (i ? [", ", link] : [link]))],
    ].filter(([, value]) => !Array.isArray(value) || value.length > 0)),
  ];
}

// Rollout is the section on the newest revision's way to all collectors.
class Rollout {
  constructor(context, act) {
    this.context = context;
    this.act = act;
    this.body = h("div", {});
    this.outcome = new Outcome();
    this.element = h("section", { "aria-label": "Rollout" }, h("h2", {}, "Rollout"), this.body, this.outcome.element);
  }

  update({ rollout, collectors }) {
    this.element.hidden = !rollout || rollout.state === "none";
    if (this.element.hidden) return;
    const moving = rollout.state === "running" || rollout.state === "paused";
    show(this.body,
      rollout.state === "halted" && h("p", { class: "callout bad", key: "reason" },
        h("strong", {}, `Revision ${rollout.revision} was withdrawn: `), rollout.reason || "no reason was given"),
      rollout.state === "done"
        ? h("p", { key: "done" }, `Revision ${rollout.revision} is in force everywhere`, isTime(rollout.since) && [", for ", lasting(rollout.since)], ".")
        : h("div", { key: "progress" }, h("div", { class: "progress wide" }, rolloutBar(rollout)), this.words(rollout, moving)),
      this.context.mayAct() && rollout.state !== "done" && h("div", { class: "buttons", key: "buttons" },
        rollout.state === "running" && this.button("pause", "Pause", "Paused."),
        rollout.state === "paused" && this.button("resume", "Resume", "Resumed."),
        rollout.state === "halted" && this.button("resume", "Try again", "The rollout goes on."),
        moving && rollout.percent < 100 && h("button", { key: "promote", type: "button", onclick: () => this.promote(rollout, collectors) }, "Promote to 100 %…")));
  }

  words(rollout, moving) {
    const stages = (rollout.stages || []).map((stage) => `${stage} %`).join(", ");
    const pause = wait(rollout);
    return [
      h("p", {}, h("strong", {}, `Revision ${rollout.revision}: `), rolloutText(rollout), isTime(rollout.since) && [", for ", lasting(rollout.since)]),
      moving && h("p", { class: "faint" }, `Stages ${stages}. `, pause
        ? `Each is passed ${pause} after all its collectors have applied the revision.`
        : "Each is passed when all its collectors have applied the revision."),
    ];
  }

  button(verb, text, success) {
    return h("button", {
      key: verb, type: "button",
      onclick: (event) => this.outcome.of(event.currentTarget, this.act(verb), success),
    }, text);
  }

  async promote(rollout, collectors) {
    const done = await ask({
      title: `Promote revision ${rollout.revision}?`,
      body: h("p", {}, `${plural(collectors.matching, "matching collector")} will be offered it at once, without further stages.`),
      confirm: "Promote",
      action: this.act("promote"),
    });
    if (done) this.outcome.say("good", `Revision ${rollout.revision} is offered to all.`);
  }
}

// wait writes Go's durations shorter: 10m0s is 10m.
function wait(rollout) {
  return String(rollout.wait || "").replace(/([hm])0s$/, "$1").replace(/h0m$/, "h").replace(/^0s$/, "");
}

// Activation is the section that switches the pipeline on or off for a while.
class Activation {
  constructor(context, act) {
    this.context = context;
    this.act = act;
    this.body = h("div", {});
    this.outcome = new Outcome();
    this.element = h("section", { "aria-label": "On and off" }, h("h2", {}, "On and off"), this.body, this.outcome.element);
  }

  update(pipeline) {
    show(this.body,
      h("p", {}, this.explain(pipeline)),
      this.context.mayAct() && h("div", { class: "buttons" },
        (!pipeline.active || isTime(pipeline.active_until)) && this.control("activate", "Activate", [...DURATIONS, ["", "until deactivated"]], pipeline.enabled ? "" : "1h"),
        pipeline.active && this.control("deactivate", "Deactivate", [...DURATIONS, ["", "until activated again"]], "1h")));
  }

  explain({ enabled, active, active_until: onUntil, inactive_until: offUntil }) {
    const file = enabled ? "enabled" : "disabled";
    if (active && isTime(onUntil)) return ["On for ", until(onUntil), "; then it is as its file says: ", file, "."];
    if (!active && isTime(offUntil)) return ["Off for ", until(offUntil), "; then it is as its file says: ", file, "."];
    if (active !== enabled) return active ? "On, although its file says disabled." : "Deactivated, although its file says enabled.";
    return active ? "On: enabled by its file." : "Off: disabled by its file. It can be switched on for a while and reverts by itself.";
  }

  control(verb, text, durations, preset) {
    const id = `for-${verb}`;
    return h("span", { class: "control", key: verb },
      h("label", { for: id, class: "hidden" }, `${text} for`),
      h("select", { id }, durations.map(([value, name]) =>
        h("option", { value, selected: value === preset }, value ? `for ${name}` : name))),
      h("button", { type: "button", onclick: (event) => {
        const choice = document.getElementById(id).value;
        this.outcome.of(event.currentTarget, this.act(verb, choice ? { for: choice } : {}), `${text}d${choice ? ` for ${choice}` : ""}.`);
      } }, text));
  }
}

function removal(name, path) {
  return h("section", { class: "removal", "aria-label": "Delete" },
    h("button", { type: "button", class: "danger plain", onclick: async () => {
      const done = await ask({
        title: `Delete ${name}?`,
        body: h("p", {}, "Its file is removed, and the collectors that run it stop it with their next poll."),
        confirm: "Delete the pipeline",
        danger: true,
        action: () => api.remove(path),
      });
      if (done) location.hash = LIST.href;
    } }, "Delete this pipeline…"));
}

export function newPipelineView(context) {
  const name = h("input", { id: "name", required: true, autocomplete: "off", spellcheck: "false", maxlength: 128 });
  const content = new Content(context, null, () => name.value.trim());
  content.update({ name: "", content: TEMPLATE, etag: "" });
  return {
    title: "New pipeline",
    element: h("div", {}, heading("New pipeline", LIST),
      context.mayAct()
        ? [h("p", { class: "field" }, h("label", { for: "name" }, "Name"), name), content.element]
        : h("p", { class: "callout" }, "The role viewer cannot make pipelines.")),
    refresh: async () => {},
  };
}

