// What can be done with a server: drain it, undrain it, read its history.

import { announce, el } from "./dom.js";
import { count } from "./format.js";
import { get, post } from "./stream.js";
import { ask, show } from "./dialog.js";
import { eventItem } from "./events.js";

/** askDrain asks whether a server is to be drained, or undrained where it is drained already; done gets it as it is then. The last one of a backend is
 *  drained as any other, but whoever does that should know. */
export function askDrain(backend, server, isLast, done) {
	const verb = server.drained ? "Undrain" : "Drain";
	const length = el("select", {},
		el("option", { value: "0" }, "until it is undrained"), el("option", { value: "300" }, "for 5 minutes"),
		el("option", { value: "900" }, "for 15 minutes"), el("option", { value: "3600" }, "for an hour"));
	const open = `${count(server.in_flight)} in flight now.`;
	const warning = isLast ? [el("p", { class: "error", role: "alert" }, `No other server of ${backend} takes requests: without this one it is down.`)] : [];
	const content = server.drained
		? [el("p", {}, "It takes new requests again, as soon as it is healthy.")]
		: [el("p", {}, `It gets no new requests; those in flight come to their end. ${open}`), ...warning, el("label", { class: "inline" }, "Drained ", length)];
	ask({
		title: `${verb} ${server.address} of ${backend}?`,
		content,
		verb,
		run: async () => {
			const path = server.drained ? "api/undrain" : "api/drain";
			const question = { backend, server: server.address };
			if (Number(length.value) && !server.drained) question.for_seconds = Number(length.value);
			const now = await post(path, question);
			done(backend, now);
			announce(`${now.address} of ${backend} is ${now.state}.`);
		},
	});
}

/** showHistory opens the last changes of a server's state. */
export async function showHistory(backend, server) {
	const title = `History of ${server.address}`;
	try {
		const list = await get(`api/history?server=${encodeURIComponent(server.address)}&backend=${encodeURIComponent(backend)}`);
		const changes = list.flatMap((history) => history.changes).reverse();
		const content = changes.length ? el("ol", { class: "events", tabindex: "0", "aria-label": "Changes, the newest first" }, ...changes.map(eventItem)) : el("p", {}, "Its state has not changed yet.");
		show({ title, content: [content] });
	} catch (problem) {
		show({ title, content: [el("p", { class: "error" }, problem.message)] });
	}
}
