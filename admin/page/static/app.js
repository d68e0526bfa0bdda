// The status page of l7: what the stream tells goes to the parts of the page.

import { announce, byId, setAttribute, setHidden, setText } from "./dom.js";
import { clock, count, millis, rate, since, span, tone } from "./format.js";
import { Stream, get } from "./stream.js";
import { BackendTable } from "./backends.js";
import { Charts } from "./charts.js";
import { Config } from "./config.js";
import { Events } from "./events.js";
import { mayNot } from "./dialog.js";
import { askDrain, showHistory } from "./servers.js";
import { start as startExplain } from "./explain.js";

const charts = new Charts();
const events = new Events();
const config = new Config();
const backends = new BackendTable({
	drain: (backend, server) => {
		if (last.read_only) return mayNot();
		return askDrain(backend, server, backends.isLast(backend, server), (name, now) => backends.replace(name, now));
	},
	history: showHistory,
});

let last = null; // the last status
let lost = false;

function showState(state) {
	setText(byId("state-text"), state);
	setAttribute(byId("state"), "data-tone", tone(state));
}

/** showProcess fills the header and the figures of everything. */
function showProcess(status) {
	const { total } = status;
	showState(status.state);
	setText(byId("version"), status.version);
	setText(byId("config-file"), status.config_file || "none: arguments and environment");
	setText(byId("generation"), String(status.generation));
	setText(byId("listeners"), status.listeners.join(", ") || "–");
	setText(byId("uptime"), span(Date.parse(status.time) - Date.parse(status.started)));
	setText(byId("pid"), String(status.pid));
	showCertificates(status.certificates ?? [], Date.parse(status.time));
	setHidden(byId("dropped-box"), !status.log_dropped);
	setText(byId("dropped"), count(status.log_dropped));
	setText(byId("total-rate"), rate(total.rate));
	setText(byId("total-errors"), rate(total.error_rate));
	byId("total-errors").classList.toggle("bad", total.error_rate > 0);
	setText(byId("total-p50"), millis(total.p50_ms));
	setText(byId("total-p99"), millis(total.p99_ms));
	setText(byId("total-inflight"), count(total.in_flight));
	setText(byId("connections"), count(status.connections));
}

const fewCertificates = 3;
const endsSoon = 14 * 86_400_000; // l7 warns of those in its log

/** showCertificates tells of the certificates that end first. */
function showCertificates(certificates, now) {
	const nearest = certificates.map(({ names, file, until }) => ({ name: names?.[0] ?? file, left: Date.parse(until) - now })).sort((a, b) => a.left - b.left);
	const texts = nearest.slice(0, fewCertificates).map(({ name, left }) => left > 0 ? `${name} in ${since(left)}` : `${name} ${since(-left)} ago`);
	if (nearest.length > fewCertificates) texts.push(`and ${nearest.length - fewCertificates} more`);
	setHidden(byId("certificates-box"), !nearest.length);
	setText(byId("certificates"), texts.join(", "));
	byId("certificates").classList.toggle("bad", nearest[0]?.left < endsSoon);
}

function onStatus(status) {
	if (last && (last.started !== status.started || last.pid !== status.pid)) {
		events.reset();
		loadEvents();
	}
	last = status;
	showProcess(status);
	charts.update(status);
	backends.update(status);
	events.setBackends(status.backends.map((backend) => backend.name));
	config.update(status);
}

/** loadEvents asks for the past; what happens meanwhile comes by the stream. */
async function loadEvents() {
	try {
		events.add(await get("api/events"), false);
	} catch { /* the stream says that the connection is lost */ }
}

function onOpened() {
	if (lost) announce("Connected again.");
	lost = false;
	setHidden(byId("lost"), true);
	document.body.classList.remove("stale");
	loadEvents();
}

function onLost() {
	lost = true;
	showState("connection lost");
	setText(byId("lost-text"), last ? `Connection lost. The figures are of ${clock(last.time)}. Trying again…` : "l7 cannot be reached. Trying again…");
	setHidden(byId("lost"), false);
	document.body.classList.add("stale");
}

/** startTheme lets people choose another theme than the system's. theme.js sets the one that was kept. */
function startTheme() {
	const select = byId("theme");
	select.value = document.documentElement.dataset.theme ?? "";
	select.addEventListener("change", () => {
		if (select.value) {
			document.documentElement.dataset.theme = select.value;
		} else {
			delete document.documentElement.dataset.theme;
		}
		try {
			localStorage.setItem("l7-theme", select.value);
		} catch { /* storage is off: it is not kept */ }
		charts.redraw();
	});
}

startTheme();
startExplain();
new Stream({ status: onStatus, event: (event) => events.add([event], true), opened: onOpened, lost: onLost });
