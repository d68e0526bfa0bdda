package top

import "strings"

// sparkline draws the last values, the newest at the right, in so many cells. Where there are more values than cells, a cell shows
// the largest of its own: a peak of one second is what people look for. Zero is the lowest block, and only zero; nothing is drawn
// where there was no value yet.
func sparkline(values []float64, wide int) string {
	if wide <= 0 {
		return ""
	}
	blocks := []rune("▁▂▃▄▅▆▇█")
	values = squeezed(values, wide)
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	line := strings.Repeat(" ", wide-len(values))
	for _, v := range values {
		level := 0
		if v > 0 {
			level = 1 + int(v/most*float64(len(blocks)-2)+0.5)
		}
		line += string(blocks[min(level, len(blocks)-1)])
	}
	return line
}

// squeezed is the largest of each so many values, so that no more are left than fit.
func squeezed(values []float64, wide int) []float64 {
	if len(values) <= wide {
		return values
	}
	out := make([]float64, wide)
	for i, v := range values {
		cell := i * wide / len(values)
		out[cell] = max(out[cell], v)
	}
	return out
}
