// How values are shown. All functions return text or elements made by h.

import { h, s } from "./dom.js";
import { now } from "./api.js";

// plural returns a count with its noun: "1 collector", "2 collectors".
export function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

// none returns a dash for a missing value.
export function none() {
  return h("span", { class: "faint none" }, "–");
}

// span returns a duration in ms in its one or two largest units.
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 7 ? `${days} d ${hours % 24} h` : `${days} d`;
}

// local returns a time in the reader's zone: 2026-11-20 14:05:09.
function local(date) {
  const two = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function exact(date) {
  return `${local(date)} (${date.toISOString().replace(/\.\d+Z$/, "Z")})`;
}

// isTime reports whether text is a time. Go's zero time is none.
export function isTime(text) {
  const at = Date.parse(text);
  return Number.isFinite(at) && at > 0;
}

// since shows how long ago a time was, the exact time on hover.
export function since(text) {
  if (!isTime(text)) return h("span", { class: "faint" }, "never");
  const date = new Date(text);
  const age = now() - date.getTime();
  return h("time", { datetime: text, title: exact(date) }, age < 1500 ? "just now" : `${span(age)} ago`);
}

// lasting shows how long ago a time was, without "ago".
export function lasting(text) {
  const date = new Date(text);
  return h("time", { datetime: text, title: exact(date) }, span(now() - date.getTime()));
}

// until shows how long it is until a time.
export function until(text) {
  const date = new Date(text);
  return h("time", { datetime: text, title: exact(date) }, `${span(date.getTime() - now())} more`);
}

// at shows a time in full.
export function at(text) {
  if (!isTime(text)) return none();
  return h("time", { datetime: text, title: `${span(now() - Date.parse(text))} ago` }, local(new Date(text)));
}

// badge shows a state with a text and a shape, not with colour alone.
export function badge(kind, text, title) {
  return h("span", { class: `badge ${kind}`, title }, h("span", { class: "dot", "aria-hidden": "true" }), text);
}

const STATUSES = {
  APPLIED: ["good", "Applied"],
  APPLYING: ["busy", "Applying"],
  FAILED: ["bad", "Failed"],
  UNSET: ["idle", "No report"],
};

// statusBadge shows what became of a collector's configuration.
export function statusBadge(collector) {
  const [kind, text] = STATUSES[collector.status] || ["idle", String(collector.status)];
  if (collector.status === "APPLIED" && !collector.up_to_date) {
    return badge("warn", "Pending", "it runs an earlier configuration than the one it is offered");
  }
  if (collector.status === "UNSET" && collector.up_to_date) return badge("idle", "No pipelines", "no pipeline is offered to it");
  return badge(kind, text);
}

// pipelineState names what a pipeline is doing, the most pressing first.
export function pipelineState(pipeline) {
  const rollout = pipeline.rollout || {};
  if (pipeline.error) return ["bad", "File error"];
  if (rollout.state === "halted") return ["bad", "Halted"];
  if (!pipeline.active) return ["idle", isTime(pipeline.inactive_until) ? "Off for now" : "Off"];
  if (rollout.state === "paused") return ["warn", "Paused"];
  if (rollout.state === "running") return ["busy", "Rolling out"];
  if (isTime(pipeline.active_until)) return ["warn", "On for now"];
  return ["good", "On"];
}

// rolloutBar draws how far a rollout is: its stages as marks, the share of
// collectors that are offered the revision as the filled part. One that was
// halted is shown as far as it got.
export function rolloutBar(rollout) {
  const stages = rollout.stages || [];
  const halted = rollout.state === "halted";
  const percent = halted ? stages[rollout.stage] || 0 : rollout.percent || 0;
  return s("svg", {
    class: `rollout ${rollout.state}`, viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img",
    "aria-label": `${halted ? "halted at " : ""}${percent} % of the matching collectors`,
  },
  s("rect", { class: "track", width: 100, height: 8 }),
  s("rect", { class: "filled", width: percent, height: 8 }),
  stages.filter((stage) => stage < 100).map((stage) =>
    s("line", { class: "mark", x1: stage, x2: stage, y1: 0, y2: 8, "vector-effect": "non-scaling-stroke" })));
}

// rolloutText says the same in words.
export function rolloutText(rollout) {
  const stages = (rollout.stages || []).length;
  const stage = stages ? `, stage ${Math.min(rollout.stage + 1, stages)} of ${stages}` : "";
  switch (rollout.state) {
    case "running": return `${rollout.percent} %${stage}`;
    case "paused": return `paused at ${rollout.percent} %${stage}`;
    case "halted": return `halted${stage}`;
    case "done": return "done";
    default: return "";
  }
}

// tally shows how many of a pipeline's collectors are in which state.
export function tally(counts) {
  const parts = [["applied", "good"], ["applying", "busy"], ["pending", "warn"], ["failed", "bad"]]
    .filter(([name]) => counts[name] > 0)
    .map(([name, kind]) => badge(kind, `${counts[name]} ${name}`));
  if (parts.length === 0) return h("span", { class: "faint" }, counts.matching ? `${counts.matching} matching` : "none match");
  return h("span", { class: "tally" }, parts);
}
