// The frame of the page: who is signed in, which view the address names, the
// counts at the top, and a refresh every few seconds.
//
//	#/pipelines            #/pipelines/<name>     #/new-pipeline
//	#/collectors?filter=…  #/collectors/<id>
//	#/audit
//
// A view is {title, element, refresh()}. It is made when its address is opened, and
// refreshed until another address is.

import { h, show } from "./dom.js";
import * as api from "./api.js";
import { Outcome, empty } from "./parts.js";
import { pipelinesView } from "./pipelines.js";
import { newPipelineView, pipelineView } from "./pipeline.js";
import { collectorsView } from "./collectors.js";
import { collectorView } from "./collector.js";
import { auditView } from "./audit.js";

const EVERY = 5000; // ms between refreshes

const content = document.getElementById("content");
const tabs = document.getElementById("tabs");
const counts = document.getElementById("counts");
const session = document.getElementById("session");
const connection = document.getElementById("connection");

const context = {
  role: "",
  // mayAct reports whether to show actions. The server checks them itself.
  mayAct: () => context.role === "admin",
  refresh: () => refresh(),
};

let view = null;
let running = false;
let again = false;
let lastAnswer = null;

// route returns the view for the address.
function route() {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  let names;
  try {
    names = path.split("/").map(decodeURIComponent);
  } catch {
    names = ["unknown"];
  }
  const query = new URLSearchParams(search || "");
  const [section, name] = names;
  if (section === "" || (section === "pipelines" && !name)) return ["pipelines", pipelinesView(context)];
  if (section === "pipelines") return ["pipelines", pipelineView(context, names.slice(1).join("/"))];
  if (section === "new-pipeline") return ["pipelines", newPipelineView(context)];
  if (section === "collectors" && !name) return ["collectors", collectorsView(context, query)];
  if (section === "collectors") return ["collectors", collectorView(context, names.slice(1).join("/"))];
  if (section === "audit") return ["audit", auditView(context)];
  return ["", { title: "Not found", element: empty("There is no such page.", "Choose a section above."), refresh: async () => {} }];
}

// enter shows the view of the address. A refresh brings its data.
function enter() {
  const [tab, next] = route();
  view = next;
  document.title = `${next.title} · Invar fleet`;
  for (const link of tabs.querySelectorAll("a")) {
    if (link.dataset.tab === tab) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  content.replaceChildren(next.element);
}

function navigate() {
  if (!context.role) return; // the sign-in form stays, and then opens the address
  document.querySelector("dialog")?.close();
  enter();
  window.scrollTo(0, 0);
  content.querySelector("h1")?.focus({ preventScroll: true });
  refresh();
}

// refresh requests everything that is shown. There is one refresh at a time.
async function refresh() {
  again = true;
  if (running) return;
  running = true;
  try {
    while (again) {
      again = false;
      await once();
    }
  } finally {
    running = false;
  }
}

async function once() {
  try {
    const status = await api.get("status");
    const changed = context.role !== status.role;
    context.role = status.role;
    frame(status);
    if (changed) enter();
    await view.refresh();
    lastAnswer = Date.now();
    notice(status.error ? `The server reports: ${status.error}` : "");
  } catch (error) {
    if (!(error instanceof api.APIError)) throw error;
    if (error.status === 401 || (error.status === 403 && !context.role)) login(error);
    else lost(error);
  }
}

function lost(error) {
  const age = lastAnswer ? ` What is shown is from ${new Date(lastAnswer).toTimeString().slice(0, 8)}.` : "";
  notice(`Not up to date: ${error.message}.${age}`);
}

// notice shows a text below the header, or removes it for "". Screen readers read it once.
function notice(text) {
  if (connection.textContent !== text) connection.textContent = text;
  connection.hidden = text === "";
}

function frame(status) {
  tabs.hidden = false;
  const { total, online, applied, failed, pending } = status.collectors;
  const count = (key, value, name, href, kind) => h("a", { key, class: `count ${value ? kind : ""}`, href },
    h("span", { class: "value" }, value), h("span", { class: "name" }, name));
  show(counts,
    count("online", `${online}/${total}`, "online", "#/collectors?status=online", ""),
    count("applied", applied, "applied", "#/collectors?status=APPLIED", "good"),
    count("pending", pending, "pending", "#/collectors?status=pending", "warn"),
    count("failed", failed, "failed", "#/collectors?status=FAILED", "bad"));
  show(session,
    h("span", { class: "faint version" }, `version ${status.version}`),
    status.user && h("span", {}, status.user),
    h("span", { class: "role" }, status.role),
    api.signedIn() && h("button", { type: "button", class: "plain", onclick: signOut }, "Sign out"));
}

function signOut() {
  api.signOut();
  context.role = "";
  refresh();
}

// login shows the sign-in form instead of everything else.
function login(error) {
  context.role = "";
  view = null;
  tabs.hidden = true;
  notice("");
  counts.replaceChildren();
  session.replaceChildren();
  document.title = "Sign in · Invar fleet";
  const refused = api.signedIn();
  api.signOut();
  if (content.querySelector("form.login")) {
    if (refused) content.outcome.say("bad", error.message);
    return;
  }
  const outcome = new Outcome();
  content.outcome = outcome;
  const token = h("input", { id: "token", type: "password", autocomplete: "current-password", required: true });
  if (refused) outcome.say("bad", error.message);
  content.replaceChildren(h("form", { class: "login", onsubmit: (event) => {
    event.preventDefault();
    api.signIn(token.value.trim());
    token.value = "";
    refresh();
  } },
  h("h1", {}, "Sign in"),
  h("label", { for: "token" }, "Token"), token,
  h("p", { class: "faint" }, "One of the server's token file with the role admin or viewer. It is kept until this tab is closed."),
  h("button", { type: "submit", class: "primary" }, "Sign in"), outcome.element));
  token.focus();
}

document.getElementById("skip").onclick = (event) => {
  event.preventDefault(); // the address names the view
  content.focus();
};
window.addEventListener("hashchange", navigate);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setInterval(() => { if (!document.hidden && context.role) refresh(); }, EVERY);
refresh();
