// What comes from l7: the stream of figures and events, and answers to single questions.

const silence = 5000; // milliseconds without a status after which the connection counts as lost
const firstPause = 1000;
const longestPause = 10_000;

/** address is where a path of the API is. Where the page's own address has a login in it, fetch refuses what is relative to it. */
function address(path) {
	return new URL(path, location.origin + location.pathname).href;
}

/** Stream keeps a connection to api/stream. It is closed while nobody looks at the page, which costs l7 and the browser something. */
export class Stream {
	/** handlers: status(Status), event(Event), opened(), lost(). */
	constructor(handlers) {
		this.handlers = handlers;
		this.pause = firstPause;
		document.addEventListener("visibilitychange", () => this.look());
		this.look();
	}

	look() {
		if (document.hidden) {
			this.close();
		} else if (!this.source) {
			this.open();
		}
	}

	open() {
		this.close();
		this.source = new EventSource(address("api/stream"));
		this.source.addEventListener("open", () => this.handlers.opened());
		this.source.addEventListener("error", () => this.fail());
		this.source.addEventListener("status", (message) => {
			this.pause = firstPause;
			this.watch();
			this.handlers.status(JSON.parse(message.data));
		});
		this.source.addEventListener("event", (message) => this.handlers.event(JSON.parse(message.data)));
		this.watch();
	}

	/** watch takes a connection that has become silent for lost: its other end may be gone without a word. */
	watch() {
		clearTimeout(this.watchdog);
		this.watchdog = setTimeout(() => this.fail(), silence);
	}

	/** fail tries again after a while. The browser's own trying ends for good at the first answer that is no stream. */
	fail() {
		this.close();
		this.handlers.lost();
		this.retry = setTimeout(() => this.open(), this.pause);
		this.pause = Math.min(this.pause * 2, longestPause);
	}

	close() {
		clearTimeout(this.watchdog);
		clearTimeout(this.retry);
		this.source?.close();
		this.source = null;
	}
}

/** advice is what to do where nothing may be changed. */
export const advice = "What changes something needs a login here. Give admin.users in the config of l7 and load this page again, " +
	"or use the commands of l7 over the admin socket: l7 drain, l7 undrain, l7 reload.";

/** Refused is an answer that says no. */
export class Refused extends Error {
	constructor(status, text) {
		super(text);
		this.status = status;
	}

	/** advice is what to do about it, empty where the answer says enough. */
	get advice() {
		return this.status === 401 || this.status === 403 ? advice : "";
	}
}

/** get asks for something. */
export function get(path) {
	return ask(path, { method: "GET" });
}

/** post tells l7 to do something. Answers whose status is in allowed are not an error. */
export function post(path, question, allowed = []) {
	return ask(path, {
		method: "POST",
		headers: { "Content-Type": "application/json" },
		body: JSON.stringify(question),
	}, allowed);
}

async function ask(path, options, allowed = []) {
	let answer;
	try {
		answer = await fetch(address(path), { ...options, cache: "no-store" });
	} catch {
		throw new Refused(0, "l7 cannot be reached.");
	}
	const text = await answer.text();
	let content = null;
	try {
		content = JSON.parse(text);
	} catch { /* not from l7, or cut off */ }
	if (content !== null && (answer.ok || allowed.includes(answer.status))) return content;
	throw new Refused(answer.status, content?.error ?? `l7 answered with ${answer.status} ${answer.statusText}.`);
}
