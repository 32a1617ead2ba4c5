// What changes between two texts, line by line.

import { h } from "./dom.js";

const CONTEXT = 3; // unchanged lines shown around a change
const BOUND = 1500; // maximum of changed lines for a shortest list

// lines compares two texts and returns [{kind: " " | "-" | "+", text, left, right}]
// with line numbers from 1. The list of changes is a shortest one (Myers, "An
// O(ND) Difference Algorithm and Its Variations", 1986); texts with little in
// common are shown as one removed and one added.
export function lines(before, after) {
  const a = split(before), b = split(after);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const kinds = [
    ...Array(head).fill(" "),
    ...changes(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
    ...Array(tail).fill(" "),
  ];
  let left = 0, right = 0;
  return kinds.map((kind) => {
    const text = kind === "+" ? b[right] : a[left];
    if (kind !== "+") left++;
    if (kind !== "-") right++;
    return { kind, text, left: kind === "+" ? null : left, right: kind === "-" ? null : right };
  });
}

function split(text) {
  const all = text.replace(/\r\n/g, "\n").split("\n");
  if (all[all.length - 1] === "") all.pop();
  return all;
}

// changes walks the furthest points that d changes reach on each diagonal
// k = x − y, for growing d, and then back along the points that it kept.
function changes(a, b) {
  const all = () => [...a.map(() => "-"), ...b.map(() => "+")];
  if (a.length === 0 || b.length === 0) return all();
  const reached = [];
  let furthest = new Map([[1, 0]]);
  for (let d = 0; d <= Math.min(a.length + b.length, BOUND); d++) {
    reached.push(furthest);
    const next = new Map();
    for (let k = -d; k <= d; k += 2) {
      let x = comesDown(furthest, k, d) ? furthest.get(k + 1) : furthest.get(k - 1) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      next.set(k, x);
      if (x >= a.length && x - k >= b.length) return back(reached, a.length, b.length);
    }
    furthest = next;
  }
  return all();
}

function comesDown(furthest, k, d) {
  return k === -d || (k !== d && furthest.get(k - 1) < furthest.get(k + 1));
}

function back(reached, x, y) {
  const kinds = [];
  for (let d = reached.length - 1; d > 0; d--) {
    const k = x - y;
    const down = comesDown(reached[d], k, d);
    const from = down ? k + 1 : k - 1;
    const fromX = reached[d].get(from), fromY = fromX - from;
    const startX = down ? fromX : fromX + 1;
    while (x > startX) {
      kinds.push(" ");
      x--;
    }
    kinds.push(down ? "+" : "-");
    x = fromX;
    y = fromY;
  }
  while (x-- > 0) kinds.push(" ");
  return kinds.reverse();
}

// view shows the changes from one text to another, with some lines around each.
export function view(before, after) {
  const all = lines(before, after);
  if (all.every((line) => line.kind === " ")) return h("p", { class: "faint" }, "No difference.");
  const near = new Uint8Array(all.length);
  all.forEach((line, i) => {
    if (line.kind === " ") return;
    near.fill(1, Math.max(0, i - CONTEXT), i + CONTEXT + 1);
  });
  const rows = [];
  let skipped = 0;
  all.forEach((line, i) => {
    if (!near[i]) {
      skipped++;
      return;
    }
    rows.push(gap(skipped), row(line));
    skipped = 0;
  });
  rows.push(gap(skipped));
  return h("div", { class: "diff", tabindex: "0", role: "group", "aria-label": "Changes" }, h("table", {}, h("tbody", {}, rows)));
}

function gap(count) {
  if (count === 0) return null;
  return h("tr", { class: "gap" }, h("td", { colspan: 4 }, `${count} unchanged line${count === 1 ? "" : "s"}`));
}

function row({ kind, text, left, right }) {
  const name = { "+": "added", "-": "removed", " ": "same" }[kind];
  return h("tr", { class: name },
    h("td", { class: "number" }, left),
    h("td", { class: "number" }, right),
    h("td", { class: "sign" }, kind === "-" ? "−" : kind),
    h("td", { class: "text" }, text));
}

// count returns how many lines were added and removed, in words.
export function count(before, after) {
  const all = lines(before, after);
  const of = (kind) => all.filter((line) => line.kind === kind).length;
  return `${of("+")} added, ${of("-")} removed`;
}
