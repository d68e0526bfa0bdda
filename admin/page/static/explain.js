// The form that asks what would become of a request, and the answer.

import { byId, el, pairs } from "./dom.js";
import { post } from "./stream.js";
import { badge } from "./backends.js";
import { explainError } from "./dialog.js";

const result = byId("explain-result");

/** question is what the form holds. */
function question() {
	const text = (id) => byId(id).value.trim();
	const asked = { url: text("explain-url") };
	const fields = byId("explain-fields").value.split("\n").map((line) => line.trim()).filter(Boolean);
	if (text("explain-method")) asked.method = text("explain-method").toUpperCase();
	if (fields.length) asked.fields = fields;
	if (text("explain-from")) asked.from = text("explain-from");
	return asked;
}

/** verdict is the answer in a sentence. */
function verdict(decision) {
	const queue = decision.queue ? `, once it has waited in the queue: ${decision.queue}` : "";
	if (decision.cause === "ok") return `Passed on to backend ${decision.backend}${queue}.`;
	const error = decision.error ? `: ${decision.error}` : "";
	return `l7 answers with ${decision.status} itself (${decision.cause}${error}).`;
}

function facts(decision) {
	const list = el("dl", { class: "facts" });
	pairs(list, [
		["Request", decision.request], ["Listener", decision.listener || "–"], ["Client", decision.client], ["Backend", decision.backend ?? "none"], ["Login", decision.login || "none"],
		["Auth", decision.auth], ["Rate limit", decision.rate_limit], ["Policy", decision.policy || "–"],
	]);
	return list;
}

function servers(list) {
	const columns = [["Order", "number"], ["Server"], ["State"], ["Weight", "number"], ["In flight", "number"], ["Reason"]];
	const head = el("tr", {}, ...columns.map(([name, kind]) => el("th", { scope: "col", class: kind }, name)));
	const rows = list.map((server, i) => el("tr", {},
		el("td", { class: "number" }, String(i + 1)),
		el("th", { scope: "row" }, server.address + (server.backup ? " (backup)" : "")),
		el("td", {}, badge(server.state)),
		el("td", { class: "number" }, String(server.weight)),
		el("td", { class: "number" }, String(server.in_flight)),
		el("td", {}, server.reason)));
	const table = el("table", { class: "plain" }, el("thead", {}, head), el("tbody", {}, ...rows));
	return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Servers in the order in which they would be tried" }, table);
}

function lines(kind, sign, list) {
	return list.map((line) => el("li", { class: kind }, el("span", { class: "sign" }, `${sign} `), line));
}

/** draw shows a decision. */
function draw(decision) {
	const passes = decision.cause === "ok";
	const mark = el("span", { class: "mark", "aria-hidden": "true" });
	const parts = [el("p", { class: "verdict badge", "data-tone": passes ? "good" : "bad" }, mark, el("span", {}, verdict(decision))), facts(decision)];
	if (decision.servers?.length) parts.push(el("h3", {}, "Servers, in the order in which they would be tried"), servers(decision.servers));
	const changed = [...lines("removed", "−", decision.removed ?? []), ...lines("added", "+", decision.added ?? [])];
	if (changed.length) parts.push(el("h3", {}, "Header lines removed (−) and added (+)"), el("ul", { class: "diff" }, ...changed));
	if (decision.timeouts?.length) {
		const list = el("dl", { class: "facts" });
		pairs(list, decision.timeouts.map(({ name, limit }) => [name, limit === "0s" ? "no bound" : limit]));
		parts.push(el("h3", {}, "Timeouts"), list);
	}
	result.replaceChildren(...parts);
}

/** start makes the form work. */
export function start() {
	byId("explain-form").addEventListener("submit", async (event) => {
		event.preventDefault();
		try {
			draw(await post("api/explain", question()));
		} catch (problem) {
			const error = el("div", { class: "error" });
			explainError(error, problem);
			result.replaceChildren(error);
		}
	});
}
