// The section with a pipeline's YAML: a draft until it is published.

import { h, show } from "./dom.js";
import * as api from "./api.js";
import { Outcome, ask } from "./parts.js";
import { Editor } from "./editor.js";
import * as diff from "./diff.js";

// drafts are the unpublished texts by pipeline, with the version that they are based
// on. They are kept while another view is open.
const drafts = new Map();

window.addEventListener("beforeunload", (event) => {
  if (drafts.size > 0) event.preventDefault();
});

// Content distinguishes the draft, the server's version that it is based on, and the
// server's newest version. What is published is always compared with the newest.
export class Content {
  // name is null for a pipeline that does not exist yet: newName has its name then.
  constructor(context, name, newName) {
    this.context = context;
    this.name = name;
    this.newName = newName;
    this.newest = null;
    this.base = null;
    this.editor = new Editor({ label: "Pipeline as YAML", readOnly: !context.mayAct(), changed: () => this.changed() });
    this.notice = h("div", {});
    this.controls = h("div", { class: "buttons" });
    this.outcome = new Outcome();
    this.element = h("section", { "aria-label": "Content" }, h("h2", {}, "Content"),
      this.notice, this.editor.element, this.controls, this.outcome.element);
  }

  get draft() {
    return this.base !== null && this.editor.text !== this.base.content;
  }

  // update takes over what the server has. It never changes a draft.
  update({ content = "", etag }) {
    const first = this.newest === null;
    this.newest = { content, etag };
    if (first && drafts.has(this.name)) {
      const draft = drafts.get(this.name);
      this.base = draft.base;
      this.editor.text = draft.text;
    }
    if (!this.draft) {
      this.base = this.newest;
      this.editor.text = content;
    }
    this.draw();
  }

  changed() {
    if (this.name !== null) {
      if (this.draft) drafts.set(this.name, { base: this.base, text: this.editor.text });
      else drafts.delete(this.name);
    }
    this.draw();
  }

  draw() {
    const outdated = this.draft && this.base.etag !== this.newest.etag;
    show(this.notice, outdated && h("p", { class: "callout warn" },
      "The pipeline has changed on the server since you began. Your draft is kept; publishing it replaces the newer version, and shows you the difference first."));
    if (!this.context.mayAct()) return;
    const isNew = this.name === null;
    show(this.controls,
      h("button", { key: "publish", type: "button", class: "primary", disabled: !this.draft && !isNew, onclick: () => this.publish() }, "Review and publish…"),
      this.draft && !isNew && h("button", { key: "discard", type: "button", onclick: () => this.discard() }, "Discard draft"),
      this.draft && !isNew && h("span", { key: "count", class: "faint" }, `Draft: ${diff.count(this.newest.content, this.editor.text)}`));
  }

  discard() {
    this.editor.text = this.newest.content;
    this.base = this.newest;
    this.outcome.say("", "");
    this.changed();
  }

  async publish() {
    const name = this.name ?? this.newName();
    const text = this.editor.text;
    const { content, etag } = this.newest;
    if (name === "") {
      this.outcome.say("bad", "Give the pipeline a name first.");
      return;
    }
    const isNew = this.name === null;
    const done = await ask({
      title: `Publish ${name}?`,
      body: [
        h("p", {}, "The new revision goes out by the stages of its rollout, and is withdrawn if collectors report that it failed."),
        diff.view(isNew ? "" : content, text),
      ],
      confirm: "Publish",
      action: async () => {
        if (isNew && await exists(name)) throw new api.APIError(`A pipeline ${name} exists already: cancel and choose another name.`, 0);
        try {
          await api.put(api.pathOf("pipelines", name), text, etag);
        } catch (error) {
          if (error.status !== 412) throw error;
          this.context.refresh();
          throw new api.APIError(`${error.message}. Someone published in between: cancel and review again, against the newest version.`, 412);
        }
        drafts.delete(this.name);
      },
    });
    if (!done) return;
    if (isNew) {
      location.hash = `#/pipelines/${api.pathOf(name)}`;
      return;
    }
    this.base = { content: text, etag }; // it is no draft any more
    this.outcome.say("good", "Published.");
    this.context.refresh();
  }
}

async function exists(name) {
  try {
    await api.get(api.pathOf("pipelines", name));
    return true;
  } catch (error) {
    if (error.status === 404) return false;
    throw error;
  }
}
