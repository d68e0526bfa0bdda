// The one dialog of the page: it asks before something is changed, and says what came of it.

import { byId, el, setHidden } from "./dom.js";
import { advice } from "./stream.js";

const dialog = byId("dialog");
const body = byId("dialog-body");
const error = byId("dialog-error");
const cancel = byId("dialog-cancel");
const confirm = byId("dialog-confirm");

let act = null;

/** ask opens the dialog. run is called when it is confirmed; what it throws is shown, and where it returns elements they take
 *  the place of the question. */
export function ask({ title, content, verb, run }) {
	byId("dialog-title").textContent = title;
	body.replaceChildren(...content);
	confirm.textContent = verb;
	cancel.textContent = "Cancel";
	setHidden(confirm, false);
	confirm.disabled = false;
	setHidden(error, true);
	act = run;
	dialog.showModal();
	confirm.focus();
}

/** show opens the dialog to read something. */
export function show({ title, content }) {
	ask({ title, content, verb: "", run: null });
	finish();
}

/** mayNot says why nothing can be changed. */
export function mayNot() {
	show({ title: "Nothing can be changed here", content: [el("p", {}, advice)] });
}

/** finish leaves nothing to do but close. */
function finish() {
	setHidden(confirm, true);
	cancel.textContent = "Close";
	cancel.focus();
}

/** explainError shows why something could not be done. */
export function explainError(node, problem) {
	node.replaceChildren(el("p", {}, problem.message), ...(problem.advice ? [el("p", { class: "advice" }, problem.advice)] : []));
	setHidden(node, false);
}

async function confirmed() {
	confirm.disabled = true;
	setHidden(error, true);
	try {
		const result = await act();
		if (!dialog.open) return;
		if (!result) {
			dialog.close();
			return;
		}
		byId("dialog-title").textContent = result.title;
		body.replaceChildren(...result.content);
		finish();
	} catch (problem) {
		explainError(error, problem);
		confirm.disabled = false;
		confirm.focus();
	}
}

confirm.addEventListener("click", confirmed);
cancel.addEventListener("click", () => dialog.close());
