// The theme is set before anything is drawn, so that a dark page does not flash white. Therefore this is no module.
"use strict";

(() => {
	const themes = ["light", "dark"];
	let kept = null;
	try {
		kept = localStorage.getItem("l7-theme");
	} catch { /* storage is off: the system's theme then */ }
	if (themes.includes(kept)) document.documentElement.dataset.theme = kept;
})();
