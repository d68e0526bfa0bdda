// The two charts: what passed in the last five minutes, a point for each second.

import { byId, pairs, setAttribute, setOptions, setText } from "./dom.js";
import { count, millis, rate } from "./format.js";

const { uPlot } = window;
const seconds = 300;
const height = 180;
const steps = [0.1, 1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap((n) => [n, 2 * n, 5 * n]); // between the lines of a grid

/** colour resolves what the style says for a series: a canvas does not know CSS variables. */
function colour(series) {
	return getComputedStyle(byId(`key-${series}`)).color;
}

/** lonely finds points without a neighbour, which no line would show. */
function lonely(u, index) {
	const values = u.data[index];
	return values.flatMap((value, i) => (value !== null && values[i - 1] == null && values[i + 1] == null ? [i] : []));
}

function series(name, dash) {
	return { label: name, stroke: () => colour(name), width: 1.5, dash, points: { show: true, size: 4, fill: () => colour(name), filter: lonely } };
}

function axis(values, size) {
	const ink = () => getComputedStyle(byId("traffic-title")).getPropertyValue("color");
	const line = () => getComputedStyle(byId("plot-rate")).borderTopColor;
	return { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, values, size, font: "11px system-ui, sans-serif", gap: 4 };
}

function times(u, splits) {
	return splits.map((at) => {
		const date = new Date(at * 1000);
		return `${date.getHours()}:${String(date.getMinutes()).padStart(2, "0")}`;
	});
}

/** Plot is one chart of two lines. */
class Plot {
	constructor(id, names, write) {
		this.box = byId(id);
		this.names = names;
		this.write = write;
		const options = {
			width: this.box.clientWidth || 300,
			height,
			legend: { show: false },
			cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
			scales: { x: { time: true }, y: { range: (u, min, max) => [0, Math.max(max ?? 0, 1) * 1.1] } },
			series: [{}, series(names[0]), series(names[1], [5, 4])],
			axes: [
				{ ...axis(times, 24), incrs: [60, 120, 300], space: 40 },
				{ ...axis((u, splits) => splits.map((value) => (value ? write(value) : "0")), 56), incrs: steps },
			],
			hooks: { setCursor: [() => this.label()] },
		};
		this.plot = new uPlot(options, [[], [], []], this.box);
		new ResizeObserver(() => this.resize()).observe(this.box);
	}

	resize() {
		const width = this.box.clientWidth;
		if (width && width !== this.plot.width) this.plot.setSize({ width, height });
	}

	/** set draws other data. The scale is that of the last five minutes, however short the past is. */
	set(data, end) {
		this.end = end;
		this.plot.batch(() => {
			this.plot.setData(data, false);
			this.plot.setScale("x", { min: end - seconds, max: end });
		});
		this.label();
		this.describe();
	}

	/** label says the values under the cursor, and without one the last ones. */
	label() {
		if (!this.plot) return;
		const index = this.plot.cursor.idx ?? this.plot.data[0].length - 1;
		this.names.forEach((name, i) => {
			const value = this.plot.data[i + 1][index];
			setText(byId(`now-${name}`), value == null ? "–" : this.write(value));
		});
	}

	/** describe says in words what the lines show. */
	describe() {
		const parts = this.names.map((name, i) => {
			const values = this.plot.data[i + 1].filter((value) => value !== null);
			if (!values.length) return `${name}: nothing`;
			return `${name}: now ${this.write(values.at(-1))}, at most ${this.write(Math.max(...values))}`;
		});
		setAttribute(this.box, "aria-label", `Chart of the last five minutes. ${parts.join("; ")}.`);
	}
}

/** Charts are the charts of all backends or of one. */
export class Charts {
	constructor() {
		this.scope = byId("chart-scope");
		this.rate = new Plot("plot-rate", ["rate", "errors"], rate);
		this.time = new Plot("plot-time", ["p50", "p99"], millis);
		this.past = new Map(); // by backend; the empty name is all
		this.scope.addEventListener("change", () => this.draw());
		matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
	}

	/** redraw is for when the colours have changed. */
	redraw() {
		this.rate.plot.redraw(false);
		this.time.plot.redraw(false);
	}

	update(status) {
		this.status = status;
		setOptions(this.scope, status.backends.map((backend) => backend.name));
		const past = new Map([["", this.extend("", status.total)]]);
		for (const backend of status.backends) past.set(backend.name, this.extend(backend.name, backend.traffic));
		this.past = past;
		this.draw();
	}

	/** extend takes the past as l7 tells it, and where it tells none adds the present to what was told before. */
	extend(name, traffic) {
		if (traffic.history?.length) return traffic.history;
		const before = this.past.get(name) ?? [];
		return [...before.slice(-seconds), traffic];
	}

	draw() {
		if (!this.status) return;
		const points = this.past.get(this.scope.value) ?? [];
		const end = Math.floor(Date.parse(this.status.time) / 1000);
		const at = points.map((_, i) => end - (points.length - 1 - i));
		const quiet = (value, point) => (point.rate || value ? value : null);
		this.rate.set([at, points.map((p) => p.rate), points.map((p) => p.error_rate)], end);
		this.time.set([at, points.map((p) => quiet(p.p50_ms, p)), points.map((p) => quiet(p.p99_ms, p))], end);
		this.counts();
	}

	/** counts says what passed since the start, by answer and by cause of failure. */
	counts() {
		const chosen = this.status.backends.find((backend) => backend.name === this.scope.value);
		const traffic = chosen?.traffic ?? this.status.total;
		const entries = [["Requests since the start", count(traffic.requests)]];
		if (chosen) entries.push(["Retries", count(chosen.retries)], ["Waiting for a server", count(chosen.waiting)]);
		for (const [name, n] of Object.entries(traffic.statuses ?? {}).sort()) entries.push([name === "none" ? "no answer" : name, count(n)]);
		for (const [name, n] of Object.entries(traffic.causes ?? {}).sort((a, b) => b[1] - a[1])) entries.push([name, count(n)]);
		const key = entries.join("\n");
		if (this.counted === key) return;
		this.counted = key;
		pairs(byId("counts"), entries);
	}
}
