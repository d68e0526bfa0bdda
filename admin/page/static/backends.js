// The table of backends and their servers. Each second its cells are changed in place, and rows are made and removed only when
// there are other servers: the keyboard's focus stays where it is. Of backends that are scrolled out of sight only the states are kept
// up to date, and the figures when they come into sight again: so hundreds of backends cost little.

import { byId, el, setAttribute, setHidden, setOff, setText } from "./dom.js";
import { count, millis, rate, since, span, tone } from "./format.js";
import { advice } from "./stream.js";

const manyServers = 60; // from here on backends are shown without their servers at first

const columns = [
	["weight", "Weight"], ["inflight", "In flight"], ["conns", "Conns"], ["rate", "Req/s"], ["errors", "Errors/s"], ["p50", "p50"], ["p99", "p99"],
];

/** badge is a state with its shape and colour. */
export function badge(state) {
	const text = el("span", {}, state);
	const made = el("span", { class: "badge", "data-tone": tone(state) }, el("span", { class: "mark", "aria-hidden": "true" }), text);
	made.l7State = text;
	text.l7Text = state;
	return made;
}

/** setBadge changes what a badge says. What fails is not well, whatever its state is. */
export function setBadge(made, state, failing) {
	const usual = tone(state);
	setText(made.l7State, state);
	setAttribute(made, "data-tone", failing && usual === "good" ? "wait" : usual);
}

/** isAble is true for a server that takes requests. */
const isAble = (server) => ["available", "full"].includes(server.state);

/** isFailing is true for one that takes requests and has failed the last one. */
const isFailing = (server) => isAble(server) && Boolean(server.last_failure);

/** Row is what a backend and a server have in common. */
class Row {
	constructor(kind, head) {
		this.badge = badge("not checked yet");
		this.reason = el("span", { class: "reason" });
		this.action = el("td", { class: "action", role: "cell" });
		this.cells = {};
		this.node = el("tr", { class: kind, role: "row" }, head, el("td", { class: "state", role: "cell" }, this.badge, " ", this.reason));
		for (const [name, label] of columns) {
			this.cells[name] = el("td", { class: "number", role: "cell", "data-label": label });
			this.node.append(this.cells[name]);
		}
		this.node.append(this.action);
	}

	figures(values) {
		for (const [name] of columns) setText(this.cells[name], values[name]);
		this.cells.errors.classList.toggle("bad", values.errors !== "0");
	}
}

/** ServerRow is a server of a backend. */
class ServerRow extends Row {
	constructor(backend, server, actions) {
		const note = el("span", { class: "note" });
		super("server", el("th", { scope: "row", role: "rowheader", class: "name" }, el("span", { class: "address" }, server.address), " ", note));
		this.note = note;
		this.actions = actions;
		const whose = ` ${server.address} of ${backend}`;
		this.verb = el("span", {}, "Drain");
		this.drain = el("button", { type: "button", class: "drain" }, this.verb, el("span", { class: "spoken" }, whose));
		this.why = el("button", { type: "button", class: "why" }, "History", el("span", { class: "spoken" }, whose));
		this.action.append(this.why, " ", this.drain);
		this.drain.addEventListener("click", () => actions.drain(backend, this.server));
		this.why.addEventListener("click", () => actions.history(backend, this.server));
	}

	update(server, now, near) {
		this.server = server;
		const failing = isFailing(server);
		setBadge(this.badge, server.state, failing);
		setText(this.verb, server.drained ? "Undrain" : "Drain");
		setOff(this.drain, this.actions.readOnly ? advice : null);
		if (!near) return;
		const changed = server.changed ? `for ${since(now - Date.parse(server.changed))}` : "";
		const until = server.drained_until ? `; undrained in ${span(Date.parse(server.drained_until) - now)}` : "";
		const failed = failing ? `failed ${since(now - Date.parse(server.last_failure.time))} ago: ${server.last_failure.reason}` : "";
		setText(this.reason, failed || [changed, server.reason].filter(Boolean).join(": ") + until);
		this.reason.classList.toggle("bad", failing);
		setText(this.note, [server.backup && "backup", server.drained && server.state !== "draining" && "drained by command"].filter(Boolean).join(", "));
		this.figures({
			weight: String(server.weight), inflight: count(server.in_flight), conns: count(server.connections), rate: rate(server.rate),
			errors: rate(server.error_rate), p50: millis(server.p50_ms), p99: millis(server.p99_ms),
		});
	}
}

/** Group is a backend with its servers: a body of the table. */
class Group {
	constructor(name, open, actions) {
		this.name = name;
		this.actions = actions;
		this.rows = new Map();
		this.toggle = el("button", { type: "button", class: "toggle", "aria-expanded": String(open) }, el("span", { class: "chevron", "aria-hidden": "true" }), el("span", { class: "address" }, name));
		this.note = el("span", { class: "note" });
		this.head = new Row("backend", el("th", { scope: "rowgroup", role: "rowheader", class: "name" }, this.toggle, " ", this.note));
		this.node = el("tbody", { role: "rowgroup" }, this.head.node);
		this.toggle.addEventListener("click", () => this.setOpen(!this.open));
		this.open = open;
		this.near = true;
	}

	/** come is called when the backend comes into sight, or goes out of it. */
	come(near) {
		const update = near && !this.near;
		this.near = near;
		if (update) this.update(this.backend, this.now);
	}

	setOpen(open) {
		this.open = open;
		setAttribute(this.toggle, "aria-expanded", String(open));
		this.list();
	}

	update(backend, now) {
		this.backend = backend;
		this.now = now;
		const able = backend.servers.filter(isAble).length;
		const failing = backend.servers.filter(isFailing).length;
		setBadge(this.head.badge, backend.state, failing > 0 && failing === able);
		this.troubled = backend.state !== "up" || able < backend.servers.length || failing > 0 || Boolean(backend.problem) || backend.traffic.error_rate > 0;
		if (this.near) this.summarise(backend, able, failing);
		this.list();
	}

	/** summarise fills the backend's own row. */
	summarise({ policy, problem, servers, traffic, waiting }, able, failing) {
		const parts = [servers.length ? `${able} of ${servers.length} available` : "no servers", failing && `${failing} failing`, waiting && `${count(waiting)} waiting`];
		const summary = parts.filter(Boolean).join(", ");
		setText(this.head.reason, [(servers.length || !problem) && summary, problem].filter(Boolean).join(": "));
		setText(this.note, policy);
		this.head.figures({
			weight: "", inflight: count(traffic.in_flight), conns: "", rate: rate(traffic.rate), errors: rate(traffic.error_rate),
			p50: millis(traffic.p50_ms), p99: millis(traffic.p99_ms),
		});
	}

	/** list has a row for each server while the backend is open, and none otherwise. */
	list() {
		const rows = new Map();
		if (this.open) {
			for (const server of this.backend.servers) {
				let key = server.address;
				while (rows.has(key)) key += "'"; // the same address twice
				const known = this.rows.get(key);
				const row = known ?? new ServerRow(this.name, server, this.actions);
				row.update(server, this.now, this.near || !known);
				rows.set(key, row);
			}
		}
		for (const [key, row] of this.rows) if (!rows.has(key)) row.node.remove();
		this.rows = rows;
		place(this.node, this.head.node, [...rows.values()]);
	}

	matches(word, troubleOnly) {
		if (troubleOnly && !this.troubled) return false;
		return this.name.toLowerCase().includes(word) || this.backend.servers.some((server) => server.address.toLowerCase().includes(word));
	}
}

/** place puts the nodes of items behind a first one in their order, and touches none that stands right. */
function place(parent, first, items) {
	let before = first;
	for (const { node } of items) {
		if (before.nextElementSibling !== node) before.after(node);
		before = node;
	}
}

/** BackendTable is all backends. actions has drain(backend, server) and history(backend, server). */
export class BackendTable {
	constructor(actions) {
		this.actions = actions;
		this.table = document.querySelector("table.servers");
		this.search = byId("backends-search");
		this.trouble = byId("backends-trouble");
		this.groups = new Map();
		this.sight = new IntersectionObserver((entries) => {
			for (const entry of entries) entry.target.l7Group.come(entry.isIntersecting);
		}, { rootMargin: "50%" });
		this.search.addEventListener("input", () => this.filter());
		this.trouble.addEventListener("change", () => this.filter());
		byId("expand-all").addEventListener("click", () => this.setOpen(true));
		byId("collapse-all").addEventListener("click", () => this.setOpen(false));
	}

	setOpen(open) {
		this.openNew = open;
		for (const group of this.groups.values()) group.setOpen(open);
	}

	update(status) {
		const now = Date.parse(status.time);
		this.actions.readOnly = Boolean(status.read_only);
		this.openNew ??= status.backends.reduce((sum, backend) => sum + backend.servers.length, 0) <= manyServers;
		const groups = new Map();
		for (const backend of status.backends) {
			const group = this.groups.get(backend.name) ?? this.make(backend.name);
			group.update(backend, now);
			groups.set(backend.name, group);
		}
		for (const [name, group] of this.groups) if (!groups.has(name)) this.forget(group);
		this.groups = groups;
		place(this.table, this.table.tHead, [...groups.values()]);
		this.filter();
	}

	make(name) {
		const group = new Group(name, this.openNew, this.actions);
		group.node.l7Group = group;
		this.sight.observe(group.node);
		return group;
	}

	forget(group) {
		this.sight.unobserve(group.node);
		group.node.remove();
	}

	/** filter hides what is not looked for. */
	filter() {
		const word = this.search.value.trim().toLowerCase();
		let shown = 0;
		for (const group of this.groups.values()) {
			const matches = group.matches(word, this.trouble.checked);
			setHidden(group.node, !matches);
			if (matches) shown++;
		}
		const all = this.groups.size;
		setText(byId("backends-count"), shown === all ? String(all) : `${shown} of ${all}`);
		setText(byId("backends-none"), all ? "No backend is like that." : "The config has no backends.");
		setHidden(byId("backends-none"), shown > 0);
		setHidden(byId("backends-box"), shown === 0);
	}

	/** isLast is true for a server without which its backend has nobody to take requests. */
	isLast(backend, server) {
		const servers = this.groups.get(backend)?.backend.servers ?? [];
		return isAble(server) && !servers.some((other) => other.address !== server.address && isAble(other));
	}

	/** replace shows a server as it is now, before the next second tells of it. */
	replace(backend, server) {
		const group = this.groups.get(backend);
		const found = group?.backend.servers.findIndex((known) => known.address === server.address) ?? -1;
		if (found < 0) return;
		group.backend.servers[found] = server;
		group.update(group.backend, group.now);
	}
}
