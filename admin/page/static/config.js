// The config in force, and what came of the last reload.

import { byId, el, setHidden, setOff, setText } from "./dom.js";
import { clock } from "./format.js";
import { advice, get, post } from "./stream.js";
import { ask, explainError, mayNot } from "./dialog.js";

const text = byId("config-text");
const button = byId("config-show");

/** outcome is a reload in a line. */
function outcome(reload) {
	if (reload.problems?.length) return `Refused: nothing was changed, generation ${reload.generation} stays in force`;
	if (reload.changes?.length) return `Reloaded: generation ${reload.generation} is in force`;
	return `Reloaded: nothing in the config has changed, generation ${reload.generation}`;
}

/** details are the lines of a reload. */
function details(reload) {
	const part = (name, lines, kind) => (lines?.length ? [el("h3", {}, name), el("ul", { class: `lines ${kind}` }, ...lines.map((line) => el("li", {}, line)))] : []);
	return [...part("Problems", reload.problems, "problem"), ...part("Changes", reload.changes, ""), ...part("Warnings", reload.warnings, "warning")];
}

/** colour shows the comments, which say where values come from, less prominent than the values. */
function colour(yaml) {
	return yaml.split("\n").flatMap((line) => {
		const at = line.search(/(^|\s)#/);
		if (at < 0) return [line, "\n"];
		return [line.slice(0, at), el("span", { class: "comment" }, line.slice(at)), "\n"];
	});
}

/** Config is the section of the config. */
export class Config {
	constructor() {
		button.addEventListener("click", () => this.toggle());
		byId("reload").addEventListener("click", () => this.askReload());
	}

	update(status) {
		this.status = status;
		setOff(byId("reload"), status.read_only ? advice : null);
		const stale = this.loaded && !text.hidden && this.loaded !== status.generation;
		setText(byId("config-generation"), stale ? `generation ${this.loaded} is shown, ${status.generation} is in force` : `generation ${status.generation}`);
		const { reload } = status;
		const failed = Boolean(reload?.problems?.length);
		setHidden(byId("refused"), !failed);
		if (failed) setText(byId("refused-text"), `The last reload, at ${clock(reload.time)}, was refused. Generation ${status.generation} stays in force.`);
		if (reload && this.drawn !== reload.time + reload.generation) this.draw(reload);
		if (stale) this.load();
	}

	/** draw shows the last reload. */
	draw(reload) {
		this.drawn = reload.time + reload.generation;
		byId("last-reload").replaceChildren(el("p", {}, `Last reload, ${clock(reload.time)}. ${outcome(reload)}.`), ...details(reload));
	}

	toggle() {
		if (text.hidden) {
			this.load();
			return;
		}
		setHidden(text, true);
		this.label();
	}

	label() {
		button.textContent = text.hidden ? "Show" : "Hide";
		button.setAttribute("aria-expanded", String(!text.hidden));
	}

	async load() {
		if (this.loading) return;
		this.loading = true;
		setHidden(byId("config-error"), true);
		try {
			const config = await get("api/config");
			this.loaded = config.generation;
			text.replaceChildren(...colour(config.yaml));
			setHidden(text, false);
		} catch (problem) {
			this.loaded = null; // no second try each second
			explainError(byId("config-error"), problem);
		}
		this.loading = false;
		this.label();
	}

	askReload() {
		if (this.status?.read_only) {
			mayNot();
			return;
		}
		const from = this.status?.config_file || "arguments and environment";
		ask({
			title: "Reload the config?",
			content: [el("p", {}, `l7 reads ${from} again. A config with a problem changes nothing.`)],
			verb: "Reload",
			run: async () => {
				const reload = await post("api/reload", {}, [422]);
				this.draw(reload);
				return { title: reload.problems?.length ? "The reload was refused" : "Reloaded", content: [el("p", {}, `${outcome(reload)}.`), ...details(reload)] };
			},
		});
	}
}
