// Figures, times and states as people read them.

/** rate is a number per second. */
export function rate(value) {
	if (!value) return "0";
	if (value < 0.05) return "<0.1";
	if (value < 99.95) return value.toFixed(1);
	return count(value);
}

/** count is a whole number, shortened from 100,000 on. */
export function count(value) {
	if (!value) return "0";
	const rounded = Math.round(value);
	if (rounded < 100_000) return rounded.toLocaleString("en");
	if (rounded < 100_000_000) return `${(rounded / 1e6).toFixed(rounded < 10_000_000 ? 2 : 1)} M`;
	return `${(rounded / 1e9).toFixed(2)} G`;
}

/** millis is a time given in milliseconds. None is a dash: nothing was measured. */
export function millis(value) {
	if (!value) return "–";
	if (value < 0.095) return "<0.1 ms";
	if (value < 9.95) return `${value.toFixed(1)} ms`;
	if (value < 999.5) return `${Math.round(value)} ms`;
	return `${(value / 1000).toFixed(value < 9950 ? 2 : 1)} s`;
}

/** span is a length of time in two units at most. */
export function span(ms) {
	const seconds = Math.max(0, Math.floor(ms / 1000));
	const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
	const first = units.findIndex(([, size]) => seconds >= size);
	if (first < 0) return "0 s";
	const [name, size] = units[first];
	const text = `${Math.floor(seconds / size)} ${name}`;
	const next = units[first + 1];
	const rest = next ? Math.floor((seconds % size) / next[1]) : 0;
	return rest ? `${text} ${rest} ${next[0]}` : text;
}

/** since is span in one unit, for what need not be exact. */
export function since(ms) {
	return span(ms).split(" ").slice(0, 2).join(" ");
}

/** clock is the time of day, with the date where that is another day. */
export function clock(text) {
	const at = new Date(text);
	const two = (n) => String(n).padStart(2, "0");
	const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
	if (at.toDateString() === new Date().toDateString()) return time;
	return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}

const tones = {
	good: ["available", "up", "serving", "healthy", "readmitted", "reloaded", "started"],
	bad: ["unhealthy", "ejected", "down", "refused", "connection lost"],
	wait: ["draining", "full", "connecting"],
};

/** tone is how good a state is, for its colour and shape: good, bad, wait or idle. */
export function tone(state) {
	return Object.keys(tones).find((name) => tones[name].includes(state)) ?? "idle";
}
