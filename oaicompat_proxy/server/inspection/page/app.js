// The inspector's page. All texts come from clients and agents: they are only ever set as text, never as HTML.
"use strict";

const API = "inspect/api";
const $ = id => document.getElementById(id);
const OUTCOMES = {
  success: ["good", "success"], agent_error: ["bad", "agent error"], upstream_error: ["bad", "gateway error"],
  timeout: ["bad", "timeout"], internal_error: ["bad", "proxy error"], refused: ["warn", "refused"],
  client_gone: ["violet", "client left"], shutdown: ["warn", "shutdown"],
};
const FILTERS = [["all", "All"], ["live", "Live"], ["success", "Success"], ["failed", "Failed"], ["other", "Other"]];
const LANES = [["tick", "Ticks"], ["reasoning", "Reasoning"], ["text", "Text"], ["call", "Calls"], ["tool", "Tools"],
  ["child", "Children"], ["question", "Questions"], ["failure", "Failures"]];
const USES = { sent: "became events", part: "became a part of the whole answer", read: "read, not shown to the client", skipped: "not needed", late: "behind the end" };
const BATCH = 300; // groups that are shown at once

let state = null, skew = 0, source = null, current = null;
const rows = new Map();
const wanted = { text: "", outcome: "all" };

// Building blocks

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter(child => child != null && child !== ""));
  return node;
}

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

// Control characters and marks of direction become visible, so that no text can pretend to be another one.
function visible(text) {
  text = String(text);
  const parts = [];
  let place = 0;
  for (const found of text.matchAll(HIDDEN)) {
    parts.push(text.slice(place, found.index));
    const code = found[0].codePointAt(0).toString(16).padStart(4, "0");
    parts.push(make("span", { class: "ctl" }, "\\u" + code));
    place = found.index + found[0].length;
  }
  parts.push(text.slice(place));
  return parts;
}

const plain = text => String(text).replace(HIDDEN, mark => "\\u" + mark.codePointAt(0).toString(16).padStart(4, "0"));

function size(bytes) {
  if (bytes == null) return "–";
  for (const unit of ["B", "KB", "MB", "GB"]) {
    if (bytes < 1000 || unit === "GB") return (unit === "B" || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)) + " " + unit;
    bytes /= 1024;
  }
}
function seconds(value) {
  if (value == null) return "–";
  if (value < .01 && value > 0) return (value * 1000).toFixed(1) + " ms";
  if (value < 1) return Math.round(value * 1000) + " ms";
  if (value < 60) return value.toFixed(value < 10 ? 2 : 1) + " s";
  return value < 3600 ? Math.floor(value / 60) + " min " + Math.floor(value % 60) + " s" : Math.floor(value / 3600) + " h " + Math.floor(value % 3600 / 60) + " min";
}
const ms = value => "+" + seconds(value / 1000);
const now = () => Date.now() / 1000 + skew;
function age(run) {
  const old = Math.max(0, Math.floor(now() - run.arrived));
  return old < 1 ? "now" : old < 60 ? old + " s" : old < 3600 ? Math.floor(old / 60) + " min" : old < 172800 ? Math.floor(old / 3600) + " h" : Math.floor(old / 86400) + " days";
}
const count = (number, word) => number.toLocaleString("en") + " " + word + (number === 1 ? "" : "s");

function badge(run) {
  if (run.state === "waiting") return ["warn", "waits for " + (run.waits_for === "session" ? "its session" : "a free run")];
  if (run.state === "reading") return ["info", "reading request"];
  if (run.state === "running") return ["info", run.first_event == null ? "agent is called" : "running"];
  return OUTCOMES[run.outcome] || ["", run.outcome];
}
const badgeNode = run => { const [kind, text] = badge(run); return make("span", { class: "badge " + kind }, visible(text)); };
const tokens = run => run.input_tokens == null ? "–" : run.input_tokens.toLocaleString("en") + " → " + run.output_tokens.toLocaleString("en");
const took = run => run.duration != null ? seconds(run.duration) : seconds(Math.max(0, now() - run.arrived));

function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("on");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => $("toast").classList.remove("on"), 3200);
}

// The state of the whole

function showState() {
  const open = state.content;
  $("privacy").textContent = open ? "content shown" : "texts masked";
  $("privacy").className = "chip" + (open ? " open" : "");
  $("privacy").title = open ? "Prompts and answers are shown: --inspect-content is on." : "Each letter of a prompt, an answer, an argument or a result is an x. --inspect-content shows them.";
  $("worker").hidden = state.source !== "file" && state.workers < 2;
  $("worker").textContent = state.source === "file" ? "a recording" : "worker " + state.worker + " of " + state.workers + ": only its runs";
  $("leave").hidden = !state.keys;
  $("left-out").hidden = !state.left_out;
  $("left-out").textContent = count(state.left_out, "run") + " not kept, because all " + state.most_runs + " kept ones still went on (--inspect-runs).";
  const tiles = [];
  for (const each of state.gateways) {
    const where = state.gateways.length > 1 ? " " + each.prefix : "";
    tiles.push(tile("Running" + where, each.running, "of " + each.max_runs.toLocaleString("en"), each.running / each.max_runs));
    tiles.push(tile("Waiting" + where, each.waiting, "of " + each.max_waiting.toLocaleString("en"), each.waiting / each.max_waiting));
    tiles.push(tile("Sessions" + where, each.sessions ?? "?", "kept"));
    tiles.push(tile("Locks" + where, each.locks, "held"));
    tiles.push(tile("Ending" + where, each.finalizing + each.closing, "sessions"));
  }
  if (state.source === "server") tiles.push(tile("Kept here", size(state.held_bytes), "of " + size(state.most_bytes), state.held_bytes / state.most_bytes));
  $("tiles").replaceChildren(...tiles);
}

function tile(title, value, more, share) {
  const meter = share == null ? null : make("div", { class: "meter" + (share >= 1 ? " full" : "") }, make("i"));
  if (meter) meter.firstChild.style.width = Math.min(100, share * 100) + "%";
  return make("div", { class: "tile", role: "listitem" }, make("h2", {}, visible(title)), make("b", {}, String(value)), make("small", {}, more), meter);
}

// The list

const isFailed = run => ["agent_error", "upstream_error", "timeout", "internal_error"].includes(run.outcome);
const KINDS = {
  all: () => true, live: run => run.state !== "over", success: run => run.outcome === "success", failed: isFailed,
  other: run => run.state === "over" && run.outcome !== "success" && !isFailed(run),
};

function matches(run) {
  const text = [run.model, run.key, run.session, run.id, run.request_id, run.client, run.api, run.error, run.outcome, run.state].join(" ").toLowerCase();
  return wanted.text.toLowerCase().split(/\s+/).every(word => text.includes(word));
}

function showList() {
  const found = [...rows.values()].filter(matches);
  $("outcomes").replaceChildren(...FILTERS.map(([name, title]) => make("button", {
    type: "button", "aria-pressed": String(wanted.outcome === name), onclick: () => { wanted.outcome = name; showList(); $("outcomes").children[FILTERS.findIndex(each => each[0] === name)].focus(); },
  }, title, make("small", {}, String(found.filter(KINDS[name]).length)))));
  const shown = found.filter(KINDS[wanted.outcome]).reverse();
  const old = new Map([...$("rows").children].map(row => [row.dataset.id, row]));
  const list = shown.map(run => fillRow(old.get(run.id) || newRow(run), run));
  const same = list.length === $("rows").children.length && list.every((row, index) => $("rows").children[index] === row);
  if (!same) {
    const focused = document.activeElement;
    $("rows").replaceChildren(...list);
    if (focused && $("rows").contains(focused)) focused.focus();
  }
  $("empty").hidden = shown.length > 0;
  document.querySelector(".runs").hidden = shown.length === 0;
  if (!shown.length) showEmpty();
}

function showEmpty() {
  if (rows.size) return $("empty").replaceChildren("No run matches the filter.");
  const url = location.origin + (state && state.gateways[0] ? state.gateways[0].prefix : "/v1") + "/chat/completions";
  const command = "curl -N " + url + " -H 'Content-Type: application/json' \\\n  -d '{\"model\": \"default\", \"stream\": true, \"messages\": [{\"role\": \"user\", \"content\": \"Add 19 and 23 with a tool.\"}]}'";
  $("empty").replaceChildren("No run yet. The next request appears here at once:", make("br"), make("pre", {}, command));
}

function newRow(run) {
  const row = make("tr", { "data-id": run.id, onclick: event => { if (!event.target.closest("a")) location.hash = "#/run/" + encodeURIComponent(run.id); } });
  for (const label of ["", "", "", "", "Age", "Ticks", "Tokens", "First token", "Duration"]) row.append(make("td", label ? { class: "num", "data-label": label } : {}));
  row.children[2].className = row.children[3].className = "clip";
  return row;
}

function fillRow(row, run) {
  const [name, status, key, session, old, ticks, used, first, whole] = row.children;
  const mark = JSON.stringify(run);
  if (row.dataset.seen !== mark) {
    row.dataset.seen = mark;
    const link = name.querySelector("a") || make("a", { class: "name", href: "#/run/" + encodeURIComponent(run.id) });
    link.replaceChildren(...visible(run.model));
    name.replaceChildren(link, make("small", {}, visible(run.api + (run.stream ? " · stream" : "") + " · " + run.request_id)));
    status.replaceChildren(badgeNode(run), run.error && run.state === "over" && run.error !== run.outcome ? make("small", {}, visible(run.error)) : "");
    key.replaceChildren(...visible(run.key === "-" ? "no key" : run.key));
    session.replaceChildren(...visible(run.session || "–"));
    session.title = plain(run.session);
    ticks.textContent = run.ticks || "–";
    used.textContent = tokens(run);
    first.textContent = seconds(run.first_token);
  }
  old.textContent = age(run);
  whole.textContent = took(run);
  for (const cell of [session, ticks, used, first]) cell.classList.toggle("none", cell.textContent === "–");
  return row;
}

// One run

class RunPage {
  constructor(id) {
    this.id = id;
    this.run = this.found = null;
    this.frames = [];
    this.events = [];
    this.open = new Set();
    this.shown = BATCH;
    this.nodes = {};
    $("run").replaceChildren(make("p", { class: "empty" }, "Loading …"));
  }

  take(found) {
    const isNew = !this.run;
    this.run = found.run;
    this.found = { ...this.found, ...found }; // the request and the turns come only when they have changed
    this.frames.push(...found.frames);
    this.events.push(...found.events);
    if (isNew) this.build();
    this.fill();
  }

  build() {
    const part = (name, tag, attributes) => this.nodes[name] = make(tag, attributes);
    $("run").replaceChildren(
      make("a", { class: "back", href: "#/" }, "← All runs"),
      part("head", "div", { class: "head" }), part("ids", "p", { class: "ids mono" }), part("facts", "dl", { class: "facts" }),
      part("error", "div", {}), part("replay", "div", {}), part("line", "div", { class: "panel" }),
      part("sides", "div", { class: "panel sides" }), part("asked", "div", { class: "pair" }));
    this.nodes.head.append(
      part("title", "h1", { id: "run-title" }), part("badge", "span", {}),
      make("div", { class: "actions" },
        part("stop", "button", { class: "ghost danger", type: "button", onclick: () => this.askToStop() }),
        part("curl", "button", { class: "ghost", type: "button", onclick: () => this.copy() }),
        part("save", "a", { class: "button ghost", href: this.path("recording"), download: true }),
        part("again", "button", { class: "ghost", type: "button", onclick: () => this.replay() })));
    this.nodes.stop.append("Stop run");
    this.nodes.curl.append("Copy as curl");
    this.nodes.save.append("Download recording");
    this.nodes.again.append("Replay");
    this.nodes.again.title = "Today’s translation of the recorded frames. The agent is not called.";
  }

  path(what) { return API + "/runs/" + encodeURIComponent(this.id) + (what ? "/" + what : ""); }

  fill() {
    const run = this.run, nodes = this.nodes;
    document.title = plain(run.model) + " · run";
    nodes.title.replaceChildren(...visible(run.model));
    nodes.badge.replaceChildren(badgeNode(run));
    nodes.stop.hidden = !run.can_stop;
    const hasFrames = Boolean(this.found.options.dialect) && run.kept !== "dropped";
    nodes.save.hidden = nodes.again.hidden = !hasFrames;
    nodes.curl.hidden = !this.found.request.bytes; // a recording has no request
    nodes.ids.replaceChildren(...visible(run.request_id + " · " + (run.stream ? "streamed" : "sent whole") + (state && state.source === "file" ? "" : " · " + new Date(run.arrived * 1000).toLocaleString()) + (run.session ? " · session " + run.session : "")));
    this.fillFacts();
    this.fillError();
    this.fillLine();
    this.fillSides();
    const key = JSON.stringify([this.found.request.bytes, this.found.turns.length]);
    if (this.asked !== key) { this.asked = key; this.fillAsked(); }
  }

  fillFacts() {
    const run = this.run;
    const facts = [["Key", run.key === "-" ? "no key" : run.key], ["API", run.api],
      ["Duration", took(run)], ["First token", seconds(run.first_token)], ["Waited", seconds(run.waited)], ["Ticks", Math.max(run.ticks, this.found.spans.filter(span => span.lane === "tick").length)],
      ["Tokens in → out", tokens(run)], ["Finish", run.finish_reason || (run.state === "over" ? run.error || "–" : "–")],
      ["From the agent", size(this.found.frames_total && run.received_bytes)], ["To the client", size(this.sentBytes())]];
    this.nodes.facts.replaceChildren(...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", { title: plain(value) }, visible(value)))));
  }

  // The count of the run is of answers that are over; of others it is what was written.
  sentBytes() { return Math.max(this.run.sent_bytes, this.events.reduce((sum, each) => sum + each.bytes, 0)); }

  fillError() {
    const error = this.found.error, notes = [];
    if (error) {
      const span = this.found.spans.find(each => each.lane === "failure");
      notes.push(make("div", { class: "panel failure", role: "alert" },
        make("h2", {}, visible((error.code || error.kind) + " · " + error.status)), make("p", {}, visible(error.message)),
        error.causes.length ? make("ul", {}, error.causes.map(cause => make("li", {}, visible(cause)))) : "",
        span ? make("p", {}, make("button", { class: "ghost", type: "button", onclick: () => this.jump(span.frame) }, "Show frame #" + span.frame + ", which said so")) : ""));
    }
    if (this.run.kept !== "whole") notes.push(make("p", { class: "note" }, this.run.kept === "cut" ? "Only the beginning of this run is kept: it was larger than its share of --inspect-bytes." : "The bytes of this run were dropped to make room for newer runs (--inspect-bytes)."));
    const key = JSON.stringify([error, this.run.kept]);
    if (this.errorKey !== key) { this.errorKey = key; this.nodes.error.replaceChildren(...notes); }
  }

  // The time line

  end() {
    const last = Math.max(0, ...[this.frames.at(-1), this.events.at(-1)].filter(Boolean).map(each => each.ms));
    return Math.max(1, this.run.duration != null ? this.run.duration * 1000 : Math.max(last, 1000 * (now() - this.run.arrived)), last);
  }

  fillLine() {
    const end = this.end(), lanes = [];
    const at = (node, begin, until) => { node.style.left = 100 * begin / end + "%"; if (until != null) node.style.width = Math.max(0, 100 * (Math.min(until, end) - begin) / end) + "%"; return node; };
    const lane = (title, ...nodes) => lanes.push(make("div", { class: "lane" }, make("span", {}, title), make("div", { class: "track" }, nodes)));
    for (const [name, title] of LANES) {
      const spans = this.found.spans.filter(each => each.lane === name);
      if (spans.length) lane(title, spans.map(span => {
        const text = (span.name || title) + ", " + ms(span.begin) + ", " + seconds(((span.end ?? end) - span.begin) / 1000) + (span.failed ? ", failed" : "");
        const button = make("button", { type: "button", class: span.failed ? "k-failed" : "k-" + name, title: plain(text), "aria-label": plain(text), onclick: () => this.jump(span.frame) });
        if (100 * ((span.end ?? end) - span.begin) / end > 5) button.append(...visible(span.name || ""));
        else button.style.padding = "0";
        return at(button, span.begin, span.end ?? end);
      }));
    }
    lane("Agent", this.pauses().map(([begin, until]) => at(make("i", { class: "pause", title: "silent for " + seconds((until - begin) / 1000) }), begin, until)), this.density(this.frames, end).map(x => { const mark = at(make("i"), x); mark.style.background = "var(--tick)"; return mark; }));
    lane("Client", this.slow(end).map(([begin, until]) => at(make("i", { class: "slow", title: "the client read slowly for " + seconds((until - begin) / 1000) }), begin, until)),
      this.density(this.events, end).map(x => at(make("i"), x)),
      this.found.marks.filter(mark => mark.kind === "ping").map(mark => at(make("i", { class: "ping", title: "keep-alive at " + ms(mark.ms) }), mark.ms)));
    const pings = this.found.marks.filter(mark => mark.kind === "ping").length, slow = this.slow(end).length, silent = this.pauses().length;
    const notes = [silent && count(silent, "pause"), pings && count(pings, "keep-alive"), slow && "the client read slowly " + count(slow, "time")].filter(Boolean).join(", ");
    const axis = make("div", {}, ...[0, .25, .5, .75, 1].map(part => make("span", {}, seconds(part * end / 1000))));
    if (this.nodes.line.contains(document.activeElement)) return;
    this.nodes.line.replaceChildren(
      make("h2", {}, "Time line", make("small", {}, notes), legend([silent && "pause", pings && "ping", slow && "slow"])),
      make("div", { class: "lanes" }, lanes, make("div", { class: "axis" }, make("span"), axis)));
  }

  density(list, end) {
    const seen = new Set();
    for (const each of list) seen.add(Math.round(400 * each.ms / end));
    return [...seen].map(place => place * end / 400);
  }

  pauses() {
    const limit = Math.max(400, this.end() * .06), found = [];
    for (let i = 1; i < this.frames.length; i++) {
      const gap = this.frames[i].ms - this.frames[i - 1].ms;
      if (gap > limit) found.push([this.frames[i - 1].ms, this.frames[i].ms]);
    }
    return found;
  }

  slow(end) {
    const found = [];
    for (const mark of this.found.marks) {
      if (mark.kind === "slow") found.push([mark.ms, end]);
      else if (mark.kind === "quick" && found.length) found.at(-1)[1] = mark.ms;
    }
    return found;
  }

  // Both sides

  groups() {
    const byFrame = new Map(), groups = [];
    for (const event of this.events) {
      if (!byFrame.has(event.frame)) byFrame.set(event.frame, []);
      byFrame.get(event.frame).push(event);
    }
    if (byFrame.has(null)) groups.push({ kind: this.found.error && !this.frames.length ? "bad" : "end", use: "none", frames: [], events: byFrame.get(null) });
    const isWhole = !this.run.stream;
    for (const frame of this.frames) {
      const events = byFrame.get(frame.n) || [], kind = kindOf(frame, events), last = groups.at(-1);
      const unseen = frame.use === "sent" && !events.length && (isWhole || this.run.state === "over");
      const use = unseen ? isWhole && this.events.length && !this.found.error ? "part" : "read" : frame.use;
      const joins = last && last.use === use && last.frames.length && (use === "skipped" || use === "late" || (last.kind === kind && last.frames[0].name === frame.name));
      if (joins) { last.frames.push(frame); last.events.push(...events); }
      else groups.push({ kind, use, frames: [frame], events: [...events] });
    }
    return groups;
  }

  fillSides() {
    const groups = this.groups(), nodes = [];
    const skipped = this.frames.filter(frame => frame.use === "skipped");
    const note = count(this.found.frames_total, "frame") + " became " + count(this.found.events_total, "event") +
      (skipped.length ? "; " + skipped.length + " not needed (" + size(skipped.reduce((sum, each) => sum + each.bytes, 0)) + ")" : "");
    const known = this.groupNodes || new Map(), next = new Map();
    groups.slice(0, this.shown).forEach((group, index) => {
      const key = index + ":" + (group.frames[0] ? group.frames[0].n : "-"), mark = group.frames.length + ":" + group.events.length + ":" + group.use;
      const old = known.get(key);
      const entry = old && old.mark === mark ? old : { mark, node: this.groupNode(group, key) };
      next.set(key, entry);
      nodes.push(entry.node);
    });
    this.groupNodes = next;
    this.all = groups;
    if (!this.body) {
      this.note = make("small");
      this.body = make("div");
      this.nodes.sides.replaceChildren(make("h2", {}, "Both sides", this.note),
        make("div", { class: "cols", "aria-hidden": "true" }, make("span", {}, "What the agent sent"), make("span", {}, "What the client got")), this.body);
    }
    this.note.textContent = note;
    const rest = groups.length - this.shown;
    if (rest > 0) nodes.push(make("button", { class: "ghost more", type: "button", onclick: () => { this.shown += BATCH; this.fillSides(); } }, "Show " + Math.min(rest, BATCH) + " of " + rest + " more"));
    if (!groups.length) nodes.push(make("p", { class: "note more" }, this.run.state === "over" ? "The agent was not called, or nothing of it is kept." : "Nothing yet."));
    const children = this.body.children;
    nodes.forEach((node, index) => { if (children[index] !== node) this.body.insertBefore(node, children[index] || null); });
    while (children.length > nodes.length) children[children.length - 1].remove();
  }

  groupNode(group, key) {
    const dim = group.use === "skipped" || group.use === "late";
    const box = make("div", { class: "grp t-" + group.kind, role: "group", "aria-label": groupLabel(group) });
    const names = [...new Set(group.frames.map(frame => frame.name || "frame"))];
    const left = group.frames.length ? this.cell(key + "l", dim ? (group.use === "late" ? "behind the end" : "not needed") : names[0], group.frames, dim, dim ? names.join(", ") : saying(group.frames)) : make("div", { class: "cell dim own" }, "by the proxy itself, before the agent’s first frame");
    const link = make("div", { class: "link" + (group.events.length ? "" : dim ? " none" : group.use === "part" ? " kept part" : " kept"), title: USES[group.use] || "" });
    const right = group.events.length ? this.cell(key + "r", namesOf(group.events), group.events, false, preview(group.events)) : make("div");
    if (group.events.length) right.classList.add("right");
    box.append(left, link, right);
    return box;
  }

  cell(key, title, items, dim, peek) {
    const total = items.reduce((sum, each) => sum + each.bytes, 0), body = make("div", { class: "items" });
    const isOpen = this.open.has(key);
    const button = make("button", { type: "button", "aria-expanded": String(isOpen) },
      make("span", { class: "name" }, visible(title)), items.length > 1 ? make("b", {}, "×" + items.length) : "",
      make("span", { class: "meta" }, ms(items[0].ms) + " · " + size(total)));
    const cell = make("div", { class: "cell" + (dim ? " dim" : "") }, button, peek ? make("div", { class: "peek" }, visible(peek)) : "", body);
    const fill = () => body.replaceChildren(...items.slice(0, 500).map(item => itemNode(item, items.length === 1)));
    body.hidden = !isOpen;
    if (isOpen) fill();
    button.addEventListener("click", () => {
      const opens = body.hidden;
      button.setAttribute("aria-expanded", String(opens));
      body.hidden = !opens;
      if (opens) { this.open.add(key); fill(); } else this.open.delete(key);
    });
    return cell;
  }

  jump(frame) {
    const index = this.all.findIndex(group => group.frames.some(each => each.n === frame));
    if (index < 0) return;
    if (index >= this.shown) { this.shown = index + BATCH; this.fillSides(); }
    const node = this.body.children[index];
    node.scrollIntoView({ block: "center" });
    node.classList.remove("flash");
    void node.offsetWidth;
    node.classList.add("flash");
    const button = node.querySelector("button");
    if (button) button.focus({ preventScroll: true });
  }

  // The request and the turn

  fillAsked() {
    const { request, turns } = this.found;
    const panel = (title, more, ...texts) => make("details", { class: "panel", open: true }, make("summary", {}, title, make("small", {}, visible(more))), texts.map(text => make("pre", { tabindex: "0" }, visible(text))));
    const head = [request.method + " " + request.url, ...Object.entries(request.headers).map(([name, value]) => name + ": " + value)].join("\n");
    const first = panel("The request, as the client sent it", size(request.bytes) + (request.whole ? "" : ", only its beginning"), head, pretty(request.text));
    const second = turns.length ? panel("The turn, as the agent got it", turns.map(turn => turn.path + " " + size(turn.bytes)).join(", "), ...turns.map(turn => pretty(turn.text))) : make("div", { class: "panel" }, make("h2", {}, "The turn", make("small", {}, "the agent was not called")));
    this.nodes.asked.replaceChildren(first, second);
  }

  copy() {
    const { request } = this.found, quote = text => "'" + String(text).replaceAll("'", "'\\''") + "'";
    const parts = ["curl -N " + quote(request.url)];
    if (state && state.keys) parts.push("-H \"Authorization: Bearer $OAICOMPAT_KEY\"");
    for (const [name, value] of Object.entries(request.headers)) if (!/^(user-agent|accept)$/i.test(name)) parts.push("-H " + quote(name + ": " + value));
    if (request.text) parts.push("--data-binary " + quote(request.text));
    $("copy-text").value = parts.join(" \\\n  ");
    $("copy-note").textContent = state && state.content ? "The request as it came; a key has to be put in." : "The texts are masked here, too: the command has the form of the request, not its words.";
    $("copy").showModal();
    $("copy-text").focus();
    $("copy-text").setSelectionRange(0, 0);
  }

  async replay() {
    this.nodes.again.disabled = true;
    try {
      const found = await ask(this.path("replay"));
      const difference = found.difference;
      const verdict = difference == null ? "nothing was recorded to compare with" : difference.length ? "it differs from what was sent" : "the same as was sent";
      const text = difference && difference.length ? difference.map(line => make("div", { class: line[0] === "+" ? "add" : line[0] === "-" ? "del" : "" }, visible(line))) : visible(found.text.slice(0, 200000));
      this.nodes.replay.replaceChildren(make("details", { class: "panel diff", open: true },
        make("summary", {}, "Replay: ", verdict, make("small", {}, "status " + found.status + ", " + size(found.bytes) + "; today’s translation, the agent was not called")), make("pre", { tabindex: "0" }, text)));
      this.nodes.replay.scrollIntoView({ block: "nearest" });
    } catch (error) {
      toast(error.message);
    }
    this.nodes.again.disabled = false;
  }

  askToStop() {
    $("confirm-run").replaceChildren(...visible(this.run.model + " · " + this.run.request_id));
    $("confirm").returnValue = "";
    $("confirm").onclose = () => { if ($("confirm").returnValue === "stop") this.stop(); };
    $("confirm").showModal();
  }

  async stop() {
    try {
      const { stopped } = await ask(this.path("stop"), { method: "POST" });
      toast(stopped ? "The run was stopped." : "The run could not be stopped any more.");
    } catch (error) {
      toast(error.message);
    }
  }
}

function kindOf(frame, events) {
  if (frame.kinds.some(kind => kind.endsWith("Failed"))) return "bad";
  if (frame.kinds.some(kind => kind.startsWith("Text") || kind === "MessageCompleted")) return "text";
  if (frame.kinds.some(kind => kind.startsWith("Reasoning"))) return "reasoning";
  if (frame.kinds.some(kind => /^(ToolStarted|ToolFinished|ToolCallHandled)$/.test(kind))) return "tool";
  if (frame.kinds.some(kind => kind.startsWith("ToolCall") || kind === "ConfirmationRequired")) return "call";
  if (frame.kinds.includes("SubagentFinished")) return "child";
  return events.length ? "end" : "step";
}

function namesOf(events) {
  const names = [...new Set(events.map(event => event.name || "event"))];
  return names.length > 2 ? names[0] + " … " + names.at(-1) : names.join(", ");
}

function groupLabel(group) {
  const frames = group.frames.length ? count(group.frames.length, "frame") + " from #" + group.frames[0].n : "no frame";
  return frames + ": " + (group.events.length ? "became " + count(group.events.length, "event") : USES[group.use] || "");
}

function itemNode(item, isOpen) {
  const body = make("pre", { tabindex: "0" });
  const fill = () => body.replaceChildren(...visible(pretty(item.text) + (item.whole ? "" : "\n… (" + size(item.bytes) + " in all)")));
  const button = make("button", { type: "button", "aria-expanded": String(isOpen) },
    make("span", { class: "no" }, "#" + item.n), make("span", {}, visible(item.name || "")), make("span", { class: "raw" }, visible(short(item.text))),
    make("span", { class: "meta" }, ms(item.ms) + " · " + size(item.bytes)));
  body.hidden = !isOpen;
  if (isOpen) fill();
  button.addEventListener("click", () => {
    body.hidden = !body.hidden;
    button.setAttribute("aria-expanded", String(!body.hidden));
    if (!body.hidden) fill();
  });
  return make("div", { class: "item" }, button, body);
}

const dataOf = text => text.split(/\r\n|\n|\r/).filter(line => line.startsWith("data:")).map(line => line.slice(5).trimStart()).join("\n") || text;
const short = text => { const data = dataOf(text), inner = data.search(/"(?:delta|data|text)":/); return (inner > 0 ? data.slice(inner) : data).slice(0, 160); };

function pretty(text) {
  try {
    const lines = text.split(/\r\n|\n|\r/), event = lines.find(line => line.startsWith("event:"));
    return (event ? event + "\n" : "") + JSON.stringify(JSON.parse(dataOf(text)), null, 2);
  } catch { return text; }
}

// What some frames say, if they are pieces of a text or of a call.
function saying(frames) {
  const words = [];
  for (const frame of frames.slice(0, 400)) {
    try {
      const found = JSON.parse(dataOf(frame.text)), data = found.data || found;
      if (typeof data.delta === "string") words.push(data.delta);
      else if (frame.kinds.includes("ToolCallStarted") || frame.kinds.includes("ToolStarted")) words.push(data.name || data.toolCallName || "");
      else if (data.error) words.push(data.error.message || data.error);
    } catch { return ""; }
  }
  return words.join("").slice(0, 600);
}

// The words of some events, as the client's program shows them, and what else they say.
function preview(events) {
  const words = [], says = [];
  for (const event of events.slice(0, 400)) {
    let data;
    try { data = JSON.parse(dataOf(event.text)); } catch { if (event.name === "done") says.push("[DONE]"); continue; }
    const choice = data.choices && data.choices[0], delta = (choice && (choice.delta || choice.message)) || data.delta;
    const error = data.error || (data.response && data.response.error), item = data.content_block || (event.name.endsWith(".added") && data.item);
    if (error) says.push(error.message ?? "error");
    if (item && item.name) says.push(item.type + " " + item.name);
    if (typeof data.delta === "string") words.push(data.delta);
    else if (choice && typeof choice.text === "string") words.push(choice.text);
    else if (delta) words.push(wordsOf(delta));
    else for (const part of data.output || data.content || []) words.push(wordsOf(part.content && part.content[0] ? part.content[0] : part));
    if (choice && choice.finish_reason) says.push("finish: " + choice.finish_reason);
    if (delta && delta.stop_reason) says.push("stop reason: " + delta.stop_reason);
    if (data.usage && !choice) says.push("usage");
  }
  return [words.join("").slice(0, 600), ...says].filter(Boolean).join(" · ");
}

function wordsOf(part) {
  const call = part.tool_calls && part.tool_calls[0] && part.tool_calls[0].function;
  return [part.content, part.text, part.reasoning_content, part.reasoning, part.thinking, part.partial_json, call && (call.name || "") + (call.arguments || "")].find(text => text && typeof text === "string") || "";
}

const MARKS = { pause: "silent", ping: "keep-alive", slow: "client reads slowly" };

// `marks`: those that this run has.
function legend(marks) {
  const entry = (look, title) => make("span", {}, make("i", { class: look }), title);
  return make("span", { class: "legend", "aria-hidden": "true" },
    ["text", "reasoning", "call", "tool", "child", "failure"].map(kind => entry("k-" + kind, kind)),
    marks.filter(Boolean).map(kind => entry(kind, MARKS[kind])));
}

// Talking to the proxy

// With several workers each connection may reach another one, so a run that is not here is asked for again.
async function ask(path, how) {
  let answer;
  for (let left = state && state.workers > 1 ? 20 : 1; left > 0; left--) {
    answer = await fetch(path, { cache: "no-store", ...how });
    if (answer.status !== 404) break;
  }
  const data = await answer.json().catch(() => ({}));
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw new Error((data.error && data.error.message) || "The proxy answered " + answer.status + ".");
  return data;
}

function live(text, on) {
  $("live").classList.toggle("on", on);
  $("live").lastElementChild.textContent = text;
}

function listen() {
  if (source) source.close();
  const query = current ? "?run=" + encodeURIComponent(current.id) : "";
  const mine = source = new EventSource(API + "/events" + query);
  let isFirst = true;
  const on = (name, take) => mine.addEventListener(name, event => { if (mine === source) take(JSON.parse(event.data)); });
  on("state", found => {
    live("live", true);
    state = found;
    skew = found.now - Date.now() / 1000;
    showState();
  });
  on("runs", found => {
    if (isFirst) { isFirst = false; rows.clear(); }
    for (const run of found.runs) rows.set(run.id, run);
    for (const id of found.gone) rows.delete(id);
    if (current && current.run && rows.has(current.id)) current.run = rows.get(current.id);
    if (!current) showList();
  });
  on("run", found => { if (current && current.id === found.run.id) current.take(found); });
  mine.onerror = () => {
    if (mine !== source) return;
    live("not connected; trying again", false);
    mine.close();
    clearTimeout(listen.timer);
    listen.timer = setTimeout(reconnect, state && state.workers > 1 ? 250 : 1500);
  };
}

async function reconnect() {
  try {
    await ask(current ? current.path("") : API + "/runs");
    if (current) current = new RunPage(current.id);
  } catch (error) {
    if (current && /no such run/i.test(error.message)) return showGone(error.message);
  }
  listen();
}

function showGone(text) {
  live("live", true);
  $("run").replaceChildren(make("a", { class: "back", href: "#/" }, "← All runs"), make("p", { class: "empty" }, visible(text)));
  current = null;
  listen();
}

function route() {
  const found = location.hash.match(/^#\/run\/(.+)$/);
  current = found ? new RunPage(decodeURIComponent(found[1])) : null;
  $("home").hidden = Boolean(current);
  $("run").hidden = !current;
  if (!current) { document.title = "Runs · oaicompat-proxy"; showList(); }
  scrollTo(0, 0);
  $("main").focus({ preventScroll: true });
  listen();
}

$("filter").addEventListener("input", event => { wanted.text = event.target.value; showList(); });
$("copy-button").addEventListener("click", async () => {
  $("copy-text").select();
  try { await navigator.clipboard.writeText($("copy-text").value); } catch { document.execCommand("copy"); }
  $("copy").close();
  toast("Copied.");
});
addEventListener("keydown", event => {
  if (event.target.matches("input, textarea") || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) {
    if (event.key === "Escape" && event.target === $("filter")) event.target.blur();
    return;
  }
  if (event.key === "/" && !current) { event.preventDefault(); $("filter").focus(); }
  if (event.key === "Escape" && current) location.hash = "#/";
  if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
});

// j and k go through the runs, or through what is beside each other in a run.
function step(by) {
  const stops = [...document.querySelectorAll(current ? ".grp .cell:first-child > button" : ".runs a.name")];
  const place = stops.indexOf(document.activeElement);
  const next = stops[place < 0 ? (by > 0 ? 0 : stops.length - 1) : Math.max(0, Math.min(stops.length - 1, place + by))];
  if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
}

addEventListener("hashchange", route);
setInterval(() => {
  if (!current) { for (const row of $("rows").children) if (rows.has(row.dataset.id)) fillRow(row, rows.get(row.dataset.id)); }
  else if (current.run && current.run.state !== "over") { current.fillFacts(); current.fillLine(); }
}, 1000);
addEventListener("pagehide", () => source && source.close());
route();
