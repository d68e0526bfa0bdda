// Small helpers to build and change the page. Data becomes text here and nowhere HTML.

/** byId returns an element that the page has. */
export function byId(id) {
	const found = document.getElementById(id);
	if (!found) throw new Error(`BUG: the page has no element ${id}`);
	return found;
}

/** el makes an element. Attributes that are null are left out; children are elements or texts. */
export function el(tag, attributes = {}, ...children) {
	const made = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (value !== null && value !== undefined) made.setAttribute(name, value);
	}
	made.append(...children);
	return made;
}

/** setText changes the text of an element when it is another one: each second most are the same. */
export function setText(node, text) {
	if (node.l7Text === text) return;
	node.l7Text = text;
	node.textContent = text;
}

/** setAttribute changes an attribute when it is another one; null removes it. */
export function setAttribute(node, name, value) {
	if (value === null) {
		node.removeAttribute(name);
	} else if (node.getAttribute(name) !== value) {
		node.setAttribute(name, value);
	}
}

/** setOff has a button look as one that does nothing, and say why; null: it does what it says. It stays where the keyboard finds it, and who presses it
 *  has to be told why as well: not everybody can hover. */
export function setOff(button, why) {
	setAttribute(button, "aria-disabled", why ? "true" : null);
	setAttribute(button, "title", why);
}

/** setHidden hides or shows an element. */
export function setHidden(node, hidden) {
	if (node.hidden !== hidden) node.hidden = hidden;
}

/** setOptions gives a select the names after its first option, and keeps what is chosen. */
export function setOptions(select, names) {
	const key = names.join("\n");
	if (select.l7Names === key) return;
	select.l7Names = key;
	const chosen = select.value;
	select.replaceChildren(select.options[0], ...names.map((name) => el("option", { value: name }, name)));
	select.value = names.includes(chosen) ? chosen : "";
}

/** pairs fills a description list. */
export function pairs(list, entries) {
	list.replaceChildren(...entries.map(([term, text]) => el("div", {}, el("dt", {}, term), el("dd", {}, text))));
}

/** announce tells people who hear the page rather than see it. */
export function announce(text) {
	byId("announcer").textContent = text;
}
