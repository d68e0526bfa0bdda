// What somebody at night wants to know of, the newest first.

import { announce, byId, el, setHidden, setOptions } from "./dom.js";
import { clock } from "./format.js";
import { badge } from "./backends.js";

const kept = 256; // as many as l7 keeps itself

/** eventItem is one event as a list item. */
export function eventItem(event) {
	const at = el("time", { datetime: event.time }, clock(event.time));
	const where = [event.backend, event.server].filter(Boolean).join(" · ") || event.kind;
	return el("li", {}, at, " ", badge(event.state), " ", el("span", { class: "where" }, where), " ", el("span", { class: "reason" }, event.reason ?? ""));
}

/** Events is the list of the last events. */
export class Events {
	constructor() {
		this.list = byId("events-list");
		this.select = byId("events-backend");
		this.known = new Map(); // by ID
		this.unsaid = [];
		this.select.addEventListener("change", () => this.filter());
	}

	/** reset forgets everything: another process counts its events from 1 again. */
	reset() {
		this.known.clear();
		this.list.replaceChildren();
	}

	/** add takes events in any order, also such as are known. Those that happen now are said aloud. */
	add(events, aloud) {
		for (const event of [...events].sort((a, b) => a.id - b.id)) {
			if (this.known.has(event.id)) continue;
			const node = eventItem(event);
			this.known.set(event.id, { event, node });
			this.insert(event.id, node);
			if (aloud) this.say(event);
		}
		while (this.known.size > kept) this.forget(Math.min(...this.known.keys()));
		this.filter();
	}

	/** insert puts an event before the first that is older. */
	insert(id, node) {
		node.l7ID = id;
		const older = [...this.list.children].find((other) => other.l7ID < id);
		this.list.insertBefore(node, older ?? null);
	}

	forget(id) {
		this.known.get(id).node.remove();
		this.known.delete(id);
	}

	setBackends(names) {
		setOptions(this.select, names);
		if (this.shown !== this.select.value) this.filter();
	}

	filter() {
		this.shown = this.select.value;
		let visible = 0;
		for (const { event, node } of this.known.values()) {
			const matches = !this.shown || event.backend === this.shown;
			setHidden(node, !matches);
			if (matches) visible++;
		}
		setHidden(byId("events-none"), visible > 0);
		setHidden(this.list, visible === 0);
	}

	/** say collects what happens within a second, so that an outage is one sentence and not a hundred. */
	say(event) {
		this.unsaid.push(event);
		if (this.unsaid.length > 1) return;
		setTimeout(() => {
			const said = this.unsaid.slice(0, 3).map((e) => [e.backend, e.server, e.state, e.reason].filter(Boolean).join(" "));
			const more = this.unsaid.length - said.length;
			announce(said.join(". ") + (more > 0 ? `. And ${more} more events.` : "."));
			this.unsaid = [];
		}, 1000);
	}
}
