// The section with a pipeline's revisions, and the way back to one.

import { h, show } from "./dom.js";
import * as api from "./api.js";
import { at, badge } from "./format.js";
import { Outcome, ask, table } from "./parts.js";
import * as diff from "./diff.js";

const COLUMNS = ["Revision", "Time", "By", "State", "Actions"];

export class Revisions {
  constructor(context, path, act) {
    this.context = context;
    this.path = path;
    this.act = act;
    this.body = h("div", {});
    this.outcome = new Outcome();
    this.seen = "";
    this.revisions = [];
    this.element = h("section", { "aria-label": "Revisions" }, h("h2", {}, "Revisions"), this.outcome.element, this.body);
  }

  // update asks for the revisions when the pipeline's have changed: they come
  // with their contents, which are too much for every few seconds.
  async update(pipeline) {
    const rollout = pipeline.rollout || {};
    const version = JSON.stringify([pipeline.etag, pipeline.stable_revision, rollout.revision, rollout.state]);
    if (version !== this.seen) {
      const { revisions } = await api.get(`${this.path}/revisions`);
      this.revisions = [...revisions].sort((a, b) => b.revision - a.revision);
      this.seen = version;
    }
    if (this.revisions.length === 0) {
      show(this.body, h("p", { class: "faint" }, "No revision yet: the file has not been valid so far."));
      return;
    }
    show(this.body, table({ label: "Revisions", columns: COLUMNS, kind: "revisions", rows: this.revisions.map((revision, i) => ({
      key: revision.revision,
      cells: [
        String(revision.revision),
        at(revision.time),
        revision.actor,
        marks(revision, pipeline),
        this.actions(revision, this.revisions[i + 1], pipeline),
      ],
    })) }));
  }

  actions(revision, earlier, pipeline) {
    const back = this.context.mayAct() && (revision.revision !== pipeline.stable_revision || isMoving(pipeline));
    return h("span", { class: "buttons" },
      h("button", { key: "changes", type: "button", onclick: () => this.compare(revision, earlier), "aria-label": `Changes of revision ${revision.revision}` }, "Changes"),
      back && h("button", { key: "back", type: "button", onclick: () => this.rollBack(revision, pipeline), "aria-label": `Roll back to revision ${revision.revision}` }, "Roll back…"));
  }

  compare(revision, earlier) {
    ask({
      title: `Revision ${revision.revision}${earlier ? ` against ${earlier.revision}` : ""}`,
      body: diff.view(earlier ? earlier.content : "", revision.content),
    });
  }

  async rollBack(revision, pipeline) {
    const done = await ask({
      title: `Roll back to revision ${revision.revision}?`,
      body: [
        h("p", {}, "All matching collectors are offered it at once, without stages. These lines of the newest version change:"),
        diff.view(pipeline.content, revision.content),
      ],
      confirm: `Roll back to ${revision.revision}`,
      danger: true,
      action: this.act("rollback", { revision: revision.revision }),
    });
    if (done) this.outcome.say("good", `Rolled back to revision ${revision.revision}.`);
  }
}

function isMoving({ rollout }) {
  return rollout && (rollout.state === "running" || rollout.state === "paused");
}

function marks(revision, pipeline) {
  const rollout = pipeline.rollout || {};
  if (revision.revision === pipeline.stable_revision) return badge("good", "Stable");
  if (revision.revision !== rollout.revision) return "";
  if (rollout.state === "halted") return badge("bad", "Withdrawn");
  return isMoving(pipeline) ? badge("busy", "Rolling out") : "";
}
